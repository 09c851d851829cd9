//! Sequences, set so that a rollback sets them back: `setval` alone is of no transaction.

use dumprestore_driver::{LedgerEntry, Result};

use super::relations;
use crate::archived::Sequence;
use crate::connect::Connection;
use crate::quote;

/// Sets sequences that were there before the transaction to where they were in the dump. Those that are there already
/// are left alone: then they need not be the login's own.
pub(super) async fn rewind(session: &Connection, sequences: &[Sequence]) -> Result<()> {
    let failed = |error| session.fault(error, "can't set a sequence to where it was");
    for sequence in sequences {
        let name = quote::qualified(&sequence.schema, &sequence.name);
        let stands = format!("SELECT last_value, is_called FROM {name}");
        let row = session.query_one(&stands, &[]).await.map_err(failed)?;
        if (row.get::<_, i64>(0), row.get::<_, bool>(1)) == (sequence.last_value, sequence.is_called) {
            continue;
        }
        // That gives it new storage, which nobody else sees before the commit; `setval` then acts on that.
        let statement = format!(
            "ALTER SEQUENCE {name} RESTART WITH {value}; SELECT pg_catalog.setval({text}, {value}, {called})",
            value = sequence.last_value,
            text = quote::literal(&name),
            called = sequence.is_called,
        );
        session.batch_execute(&statement).await.map_err(failed)?;
    }
    Ok(())
}

/// Those of `sequences` that are members of extensions, and thus were there before.
pub(super) async fn of_extensions(session: &Connection, sequences: &[Sequence]) -> Result<Vec<Sequence>> {
    let asked = "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        JOIN pg_catalog.pg_depend d ON d.objid = c.oid AND d.deptype = 'e' \
            AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass WHERE c.relkind = 'S'";
    let rows = session.query(asked, &[]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't list the sequences of extensions"))?;
    let is_member = |sequence: &&Sequence| {
        rows.iter()
            .any(|row| (row.get::<_, &str>(0), row.get::<_, &str>(1)) == (&sequence.schema, &sequence.name))
    };
    Ok(sequences.iter().filter(is_member).cloned().collect())
}

/// Those of `sequences` that are there, and what there is to say of the others.
pub(super) async fn there(
    session: &Connection,
    sequences: &[Sequence],
) -> Result<(Vec<Sequence>, Vec<LedgerEntry>)> {
    let found = relations::all(session).await?;
    let mut members = of_extensions(session, sequences).await?;
    let is_there = |sequence: &&Sequence| {
        let name = (&sequence.schema, &sequence.name);
        found.iter().any(|found| found.kind == 'S' && (&found.name.0, &found.name.1) == name)
    };
    let told = |sequence: &Sequence| {
        let what = format!("sequence `{}.{}`", sequence.schema, sequence.name);
        LedgerEntry::degrading(what, "it is not there, and can't be set to where it was")
    };
    let (there, gone): (Vec<&Sequence>, Vec<&Sequence>) =
        sequences.iter().filter(|sequence| !members.contains(sequence)).partition(is_there);
    let ledger = gone.into_iter().map(told).collect();
    members.extend(there.into_iter().cloned());
    Ok((members, ledger))
}
