//! Where sequences stand.
//!
//! Sequences belong to no snapshot. They are read after the pin, and never before: whoever wrote a row that the snapshot
//! has, had taken its number from the sequence before that, so that the sequence read later is at that number or past
//! it. A restored sequence thus gives no number that a row of the dump has; at the worst it leaves some out.

use dumprestore_driver::{Error, Result};
use tokio_postgres::SimpleQueryMessage;

use super::rows;
use crate::archived::Sequence;
use crate::connect::Connection;
use crate::quote;

/// How many are read by one statement.
const AT_ONCE: usize = 200;

/// A sequence that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SequenceName {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) is_unlogged: bool,
    /// Whether an extension made it, and says that where it stands is the user's.
    pub(crate) of_extension: bool,
    pub(crate) may_read: bool,
}

const NAMES: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text, c.relpersistence = 'u',
        COALESCE(pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                 AND pg_catalog.has_sequence_privilege(c.oid, 'SELECT'), false),
        c.oid IN (SELECT pg_catalog.unnest(extconfig) FROM pg_catalog.pg_extension)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND c.relpersistence <> 't'
        AND pg_catalog.left(n.nspname::text, 3) <> 'pg_' AND n.nspname <> 'information_schema'
        AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                         WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid
                             AND e.deptype = 'e')
             OR c.oid IN (SELECT pg_catalog.unnest(extconfig) FROM pg_catalog.pg_extension))
    ORDER BY n.nspname, c.relname";

/// All sequences, by name.
pub(crate) async fn sequence_names(connection: &Connection) -> Result<Vec<SequenceName>> {
    let rows = rows(connection, "can't list the sequences", NAMES, &[]).await?;
    let name = |row: &tokio_postgres::Row| SequenceName {
        oid: row.get(0),
        schema: row.get(1),
        name: row.get(2),
        is_unlogged: row.get(3),
        may_read: row.get(4),
        of_extension: row.get(5),
    };
    Ok(rows.iter().map(name).collect())
}

/// Where these sequences stand now.
///
/// # Errors
/// Also if the login may not read one.
pub(crate) async fn sequences(connection: &Connection, names: &[SequenceName]) -> Result<Vec<Sequence>> {
    if let Some(name) = names.iter().find(|name| !name.may_read) {
        return Err(Error::environment("the login may not read a sequence")
            .with_context("sequence", format!("{}.{}", name.schema, name.name))
            .with_hint("grant it `SELECT` on all sequences, or use the owner's login"));
    }
    let mut sequences = Vec::with_capacity(names.len());
    for names in names.chunks(AT_ONCE) {
        sequences.extend(read(connection, names).await?);
    }
    Ok(sequences)
}

async fn read(connection: &Connection, names: &[SequenceName]) -> Result<Vec<Sequence>> {
    let selects = names.iter().enumerate().map(|(at, name)| {
        format!("SELECT {at}, last_value, is_called FROM {}", quote::qualified(&name.schema, &name.name))
    });
    let sql = selects.collect::<Vec<_>>().join(" UNION ALL ");
    let what = "can't read where sequences stand";
    let said = connection.simple_query(&sql).await.map_err(|error| connection.fault(error, what))?;
    let mut sequences = Vec::with_capacity(names.len());
    for row in said.iter() {
        let SimpleQueryMessage::Row(row) = row else { continue };
        let name = row.get(0).and_then(|at| names.get(at.parse::<usize>().ok()?));
        let last_value = row.get(1).and_then(|value| value.parse().ok());
        let (Some(name), Some(last_value)) = (name, last_value) else {
            return Err(Error::environment(what));
        };
        sequences.push(Sequence {
            schema: name.schema.clone(),
            name: name.name.clone(),
            last_value,
            is_called: row.get(2) == Some("t"),
        });
    }
    Ok(sequences)
}
