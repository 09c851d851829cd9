//! What a restore calls its databases.

use dumprestore_driver::Result;
use sha2::{Digest, Sha256};

use crate::connect::Session;
use crate::quote;

/// The longest name of a database, in characters.
const LONGEST: usize = 64;

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
        let id = hex::encode(digest.get(..4).unwrap_or_default());
        Self {
            staging: suffixed(live, &format!("_dumprestore_new_{id}")),
            old: suffixed(live, &format!("_dumprestore_old_{id}")),
            lock: format!("dumprestore_{}", hex::encode(digest.get(..16).unwrap_or_default())),
            live: live.to_owned(),
        }
    }

    /// What a login must be granted everything on, as `GRANT` says it.
    pub(crate) fn grantable(live: &str) -> String {
        let kept: String = live.chars().take(LONGEST - "_dumprestore_new_".len() - 8).collect();
        let escaped = kept.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%");
        format!("`{}\\_dumprestore\\_%`.*", escaped.replace('`', "``"))
    }
}

/// Whether old tables of a live database may be in one of that name.
pub(crate) fn is_old(database: &str, live: &str) -> bool {
    let id = database.chars().count().saturating_sub(8);
    let beginning: String = database.chars().take(id).collect();
    beginning == suffixed(live, "_dumprestore_old_00000000").trim_end_matches('0')
}

fn suffixed(name: &str, suffix: &str) -> String {
    name.chars().take(LONGEST - suffix.len()).chain(suffix.chars()).collect()
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
    fn one_grant_fits_all_names_of_a_database() {
        assert_eq!(Names::grantable("my_shop"), "`my\\_shop\\_dumprestore\\_%`.*");
    }
}
