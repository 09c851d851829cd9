//! Looks at what was made, before it is swapped in.

use dumprestore_driver::{Error, Result};

use crate::archived::Contents;
use crate::catalog;
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
    let mut found = catalog::unchecked(session).await?;
    found.retain(|unchecked| contents.unchecked.binary_search(unchecked).is_err());
    if found.is_empty() {
        return Ok(());
    }
    let names: Vec<String> =
        found.iter().map(|one| format!("{}.{}.{}", one.schema, one.of, one.name)).collect();
    Err(Error::environment("constraints of the restored database were not checked")
        .with_context("constraints", names.join(", "))
        .with_hint("run it again; if it happens again, see the server's log"))
}

async fn named(session: &Connection, query: &str) -> Result<Vec<String>> {
    let found = session
        .query(query, &[])
        .await
        .map_err(|error| session.fault(error, "can't check the restored database"))?;
    Ok(found.iter().map(|row| row.get(0)).collect())
}
