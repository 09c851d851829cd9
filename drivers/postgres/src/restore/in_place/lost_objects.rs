//! Rows that name large objects which are not there: these are not restored with some tables alone.

use dumprestore_driver::{LedgerEntry, Result};

use super::choice::{Chosen, TableName};
use crate::connect::Connection;
use crate::quote;

/// What a plan says of it.
pub(super) const STAY: &str =
    "large objects stay as they are now: those that rows name may be others, or gone";

/// Columns that can name one: of the type `oid`, or of a domain over it.
const COLUMNS: &str = "SELECT a.attname::text FROM pg_catalog.pg_attribute a \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    WHERE a.attrelid = $1::text::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped \
    AND 'pg_catalog.oid'::pg_catalog.regtype IN (t.oid, t.typbasetype) ORDER BY a.attnum";

/// Counts them, by table and column. A database that has large objects rarely has other numbers in such columns.
pub(super) async fn named(session: &Connection, chosen: &Chosen) -> Result<Vec<LedgerEntry>> {
    let mut ledger = Vec::new();
    if !chosen.leaves_large_objects {
        return Ok(ledger);
    }
    for table in chosen.contents.tables.iter().filter(|table| !table.parts.is_empty()) {
        let own = (table.schema.clone(), table.name.clone());
        ledger.extend(named_by(session, table.load_through.as_ref().unwrap_or(&own)).await?);
    }
    ledger.dedup();
    Ok(ledger)
}

async fn named_by(session: &Connection, (schema, name): &TableName) -> Result<Vec<LedgerEntry>> {
    let failed = |error| session.fault(error, "can't look for large objects that rows name");
    let quoted = quote::qualified(schema, name);
    let mut ledger = Vec::new();
    for column in &session.query(COLUMNS, &[&quoted]).await.map_err(failed)? {
        let column: &str = column.get(0);
        let asked = format!(
            "SELECT pg_catalog.count(*) FROM {quoted} t WHERE t.{0} <> 0 AND NOT EXISTS \
             (SELECT FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid = t.{0})",
            quote::name(column)
        );
        let lost: i64 = session.query_one(&asked, &[]).await.map_err(failed)?.get(0);
        if lost > 0 {
            let what = format!("large objects named by `{schema}.{name}.{column}`");
            let why =
                format!("{lost} rows name one that is not there: they are restored with the whole node only");
            ledger.push(LedgerEntry::degrading(what, why));
        }
    }
    Ok(ledger)
}
