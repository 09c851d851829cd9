//! Keys, and the parts that hold their objects.

use dumprestore_driver::{PartName, Result};

/// The folder of the parts that are objects.
const OBJECTS: &str = "objects";

/// The name of the part for the object of that key: between slashes, what a part name can't have becomes `%XX`. So does
/// the slash before an empty name, and one at the end: `a//b` is `a/%2Fb`, and `a/` is `a%2F`.
///
/// # Errors
/// If the key is empty, or too long.
pub(crate) fn part_name(key: &str) -> Result<PartName> {
    let mut name = String::with_capacity(OBJECTS.len() + 1 + key.len());
    name.push_str(OBJECTS);
    name.push('/');
    let last = key.trim_end_matches('/').len();
    let mut begun = 0;
    for (at, _) in key.match_indices('/').filter(|(at, _)| *at < last) {
        if at > begun {
            name.push_str(PartName::escape_component(&key.as_bytes()[begun..at])?.as_str());
            name.push('/');
            begun = at + 1;
        }
    }
    name.push_str(PartName::escape_component(&key.as_bytes()[begun..])?.as_str());
    PartName::new(name)
}

/// The key of the object that a part holds; `None` if it holds none.
pub(crate) fn key_of(part: &PartName) -> Option<String> {
    String::from_utf8(part.below(OBJECTS)?.unescape()).ok()
}

/// A key, for people: one line, whatever is in it.
pub(crate) fn shown(key: &str) -> String {
    match key.chars().any(char::is_control) {
        true => key.escape_debug().to_string(),
        false => key.to_owned(),
    }
}

/// Whether a request can name it: clients and servers take `.` and `..` between slashes for steps on a way, and OpenDAL a
/// single slash for the prefix itself.
pub(crate) fn can_be_asked_for(key: &str) -> bool {
    !key.is_empty() && key != "/" && !key.split('/').any(|name| matches!(name, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_readable_where_a_part_name_can_be() {
        let pairs = [
            ("a/b.jpg", "objects/a/b.jpg"),
            ("a/", "objects/a%2F"),
            ("a//", "objects/a%2F%2F"),
            ("a//b", "objects/a/%2Fb"),
            ("/a", "objects/%2Fa"),
            ("//", "objects/%2F%2F"),
            ("a/../b", "objects/a/%2E%2E/b"),
            ("50% \\ \u{7}", "objects/50%25 %5C %07"),
            ("ü/名", "objects/ü/名"),
        ];
        for (key, part) in pairs {
            assert_eq!(part_name(key).unwrap().as_str(), part);
        }
        assert!(part_name("").is_err());
        assert!(!can_be_asked_for("/") && !can_be_asked_for("a/../b") && can_be_asked_for("a/..b/"));
        assert_eq!(key_of(&PartName::new("objects.jsonl").unwrap()), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_key_has_a_part_of_its_own(key in "([a/.%\\\\ ü]{1,8}|\\PC{1,20}|[\\x00-\\x20/]{1,5})") {
            let part = part_name(&key).unwrap();
            prop_assert_eq!(key_of(&part), Some(key));
        }
    }
}
