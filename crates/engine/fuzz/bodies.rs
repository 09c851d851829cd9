//! What must hold for any input whatever: the function takes bytes and panics if it does not.

use crate::fixture::{origin, registry};
use dumprestore::{BackupSet, Overrides};

/// What every variable holds. It has something of all that needs escaping somewhere.
const VALUE: &str = "Zq9#s\"e'n\\t\ni\u{7f}n€l: [x";

/// Pieces of it that must show nowhere.
const TELLING: [&str; 3] = ["Zq9#s", "n€l", "e'n"];

/// A configuration of any bytes: it is read, or refused in words that show no value of a variable.
pub fn config(data: &[u8]) {
    let environment = |name: &str| match name {
        "UNSET" => None,
        "N" => Some("7".to_owned()),
        _ if name.ends_with("_FILE") => None,
        _ => Some(VALUE.to_owned()),
    };
    let told = match BackupSet::from_yaml(data, &origin(), &registry(), &environment, &Overrides::none()) {
        Ok(set) => {
            let mut reverse = set.restore_order();
            reverse.reverse();
            assert_eq!(reverse, set.dump_order());
            assert!(!set.dump_order().is_empty());
            assert!(
                set.dump_order()
                    .iter()
                    .all(|path| set.node(path).is_some_and(|node| node.driver().is_some()))
            );
            set.config().to_string()
        }
        Err(error) => {
            let told = format!("{error}\n{}", error.hint().unwrap_or_default());
            assert!(told.len() < 20_000, "too long: {} bytes", told.len());
            assert!(
                !told.contains(|c: char| c.is_control() && c != '\n'),
                "a terminal would obey this: {told:?}"
            );
            told
        }
    };
    for piece in TELLING {
        let written = data.windows(piece.len()).any(|window| window == piece.as_bytes());
        assert!(written || !told.contains(piece), "a value shows: {told}");
    }
}
