//! What a restore calls its databases.

use dumprestore_driver::Result;
use sha2::{Digest, Sha256};

use crate::connect::Session;
use crate::quote;

/// The longest name of a database, in characters.
const LONGEST: usize = 64;

/// Between the name of a live database, and what tells a run from others.
const NEW: &str = "_dumprestore_new_";
/// As long as the other.
const OLD: &str = "_dumprestore_old_";

/// How many hexadecimal digits tell a run from others.
const ID: usize = 8;

/// In each of our databases: whose it is, and what definitions belong to the tables in it.
pub(crate) const DEFINITIONS: &str = "dumprestore_definitions";

/// Moves with the tables, from the database that they come from into the one that the live ones go to: so it tells
/// which of them are live.
pub(crate) const MARKER: &str = "dumprestore_marker";

/// Whether a table is one of ours, by its name.
pub(crate) fn is_ours(table: &str) -> bool {
    [DEFINITIONS, MARKER].iter().any(|ours| ours.eq_ignore_ascii_case(table))
}

/// The name of a database as the server has it: where case does not count in names, it need not be that of the
/// configuration, and is never told as that.
pub(crate) async fn as_server_has(session: &mut Session, name: &str) -> Result<String> {
    let literal = quote::literal(name);
    let asked = format!("SELECT @@lower_case_table_names, LOWER(CONVERT({literal} USING utf8mb3))");
    let rows = session.rows(asked).await?;
    let Some(row) = rows.first() else { return Ok(name.to_owned()) };
    match row.bytes(0) {
        Some(b"0") => Ok(name.to_owned()),
        Some(b"1") => row.text(1).map(str::to_owned),
        // It is kept as it was made, and found in any case.
        _ => {
            let listed =
                format!("SELECT schema_name FROM information_schema.schemata WHERE schema_name = {literal}");
            let rows = session.rows(listed).await?;
            rows.first().map_or(Ok(name), |row| row.text(0)).map(str::to_owned)
        }
    }
}

/// The names that a restore of one database in one run uses. The same for the same run, so that they are found again
/// after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// The database that applications use.
    pub(crate) live: String,
    /// What is loaded, until its tables are moved into the live one.
    pub(crate) staging: String,
    /// Where the live tables of before are moved to.
    pub(crate) old: String,
    /// The name of a lock that whoever changes the live database holds: a later process finds by it whom a killed one
    /// has left at the server.
    pub(crate) lock: String,
}

impl Names {
    pub(crate) fn new(live: &str, run: &str) -> Self {
        let digest = Sha256::new().chain_update(live).chain_update([0]).chain_update(run).finalize();
        let id = hex::encode(digest.get(..ID / 2).unwrap_or_default());
        let kept = kept(live);
        Self {
            staging: format!("{kept}{NEW}{id}"),
            old: format!("{kept}{OLD}{id}"),
            lock: format!("dumprestore_{}", hex::encode(digest.get(..16).unwrap_or_default())),
            live: live.to_owned(),
        }
    }

    /// What a login must be granted everything on, as `GRANT` says it.
    pub(crate) fn grantable(live: &str) -> String {
        let escaped = kept(live).replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%");
        format!("{}.*", quote::name(&format!("{escaped}\\_dumprestore\\_%")))
    }
}

/// Whether old tables of a live database may be in one of that name.
pub(crate) fn is_old(database: &str, live: &str) -> bool {
    let id = database.strip_prefix(&kept(live)).and_then(|rest| rest.strip_prefix(OLD));
    id.is_some_and(is_id)
}

/// Whether a restore of a live database may have made one of that name.
pub(crate) fn is_of_a_restore(database: &str, live: &str) -> bool {
    let id = database.strip_prefix(&kept(live)).and_then(|rest| rest.strip_prefix(NEW));
    id.is_some_and(is_id) || is_old(database, live)
}

fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What our names keep of that of a live database.
fn kept(live: &str) -> String {
    live.chars().take(LONGEST - NEW.len() - ID).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_however_long_the_live_one_is() {
        for live in ["a", "shop", &"x".repeat(41), &"x".repeat(64), &"ü".repeat(64)] {
            let names = Names::new(live, "20260101T000000Z-0a0b0c0d");
            assert!(is_old(&names.old, live) && !is_old(&names.staging, live) && !is_old(live, live));
            for name in [&names.staging, &names.old, &names.lock] {
                assert!(name.chars().count() <= LONGEST, "{name}");
                assert_ne!(*name, names.live);
            }
        }
    }

    #[test]
    fn databases_with_a_long_beginning_in_common_and_other_runs_have_names_of_their_own() {
        let beginning = "x".repeat(60);
        let one = Names::new(&format!("{beginning}1"), "r");
        let two = Names::new(&format!("{beginning}2"), "r");
        let three = Names::new(&format!("{beginning}1"), "s");
        for other in [&two, &three] {
            assert_ne!(one.staging, other.staging);
            assert_ne!(one.old, other.old);
            assert_ne!(one.lock, other.lock);
        }
        assert_eq!(one, Names::new(&format!("{beginning}1"), "r"));
    }

    #[test]
    fn databases_of_restores_are_told_from_others() {
        assert!(is_of_a_restore("shop_dumprestore_new_00ff00ff", "shop"));
        assert!(is_of_a_restore("shop_dumprestore_old_00ff00ff", "shop"));
        for other in [
            "shop",
            "shop2_dumprestore_new_00ff00ff",
            "sho_dumprestore_new_00ff00ff",
            "shop_dumprestore_new_x",
        ] {
            assert!(!is_of_a_restore(other, "shop"), "{other}");
        }
        let long = "x".repeat(64);
        assert!(is_of_a_restore(&format!("{}_dumprestore_old_00ff00ff", "x".repeat(39)), &long));
    }

    #[test]
    fn one_grant_fits_all_names_of_a_database() {
        assert_eq!(Names::grantable("my_shop"), "`my\\_shop\\_dumprestore\\_%`.*");
    }
}
