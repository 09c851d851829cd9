//! Looks at what was made, before it is swapped in.

use dumprestore_driver::{Error, Result};

use crate::archived::Contents;
use crate::connect::Connection;

/// Every index must be of use, and every constraint hold that did in the dump.
pub(crate) async fn check(session: &Connection, contents: &Contents) -> Result<()> {
    // An index of a partitioned table is invalid as long as a partition has none, which may be as it was in the dump.
    let invalid = "SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_index i \
        JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind = 'i' AND NOT (i.indisvalid AND i.indisready)";
    let found = named(session, invalid).await?;
    if !found.is_empty() {
        return Err(Error::environment("indexes of the restored database are not valid")
            .with_context("indexes", found.join(", "))
            .with_hint("run it again; if it happens again, see the server's log"));
    }
    let unproved = "SELECT n.nspname || '.' || c.conname FROM pg_catalog.pg_constraint c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace \
        WHERE NOT c.convalidated AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";
    let mut found = named(session, unproved).await?;
    let not_valid = |name: &str| {
        let name = name.split_once('.').map_or(name, |(_, name)| name);
        contents.items.iter().any(|item| item.sql.contains("NOT VALID") && item.sql.contains(name))
            || contents.items.iter().any(|item| item.sql.contains("NOT ENFORCED") && item.sql.contains(name))
    };
    found.retain(|name| !not_valid(name));
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::environment("constraints of the restored database were not checked")
        .with_context("constraints", found.join(", "))
        .with_hint("run it again; if it happens again, see the server's log"))
}

async fn named(session: &Connection, query: &str) -> Result<Vec<String>> {
    let found = session
        .query(query, &[])
        .await
        .map_err(|error| session.fault(error, "can't check the restored database"))?;
    Ok(found.iter().map(|row| row.get(0)).collect())
}
