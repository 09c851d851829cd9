//! Sequences, set so that a rollback sets them back: `setval` alone is of no transaction.

use std::cmp::Ordering;

use dumprestore_driver::{LedgerEntry, Result};

use super::super::prepare;
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

/// What there is to say of sequences that are not restored, and that restored tables take values from: those that stand
/// behind where they stood in the dump give values that its rows have.
pub(super) async fn behind(session: &Connection, lent: &[Sequence]) -> Result<Vec<LedgerEntry>> {
    let mut told = Vec::new();
    for sequence in lent {
        told.extend(why_behind(session, sequence).await?.map(|why| {
            LedgerEntry::degrading(format!("sequence `{}.{}`", sequence.schema, sequence.name), why)
        }));
    }
    Ok(told)
}

async fn why_behind(session: &Connection, sequence: &Sequence) -> Result<Option<String>> {
    let failed = |error| session.fault(error, "can't read where a sequence stands");
    let asked = "SELECT s.seqincrement < 0, pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
            AND pg_catalog.has_sequence_privilege(c.oid, 'SELECT') \
        FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = $1 AND c.relname = $2 AND NOT s.seqcycle";
    let found = session.query_opt(asked, &[&sequence.schema, &sequence.name]).await.map_err(failed)?;
    // One that is gone gives no values, and one that goes round gives them again anyway.
    let Some(found) = found else { return Ok(None) };
    let name = quote::qualified(&sequence.schema, &sequence.name);
    let must = format!(
        "it is not restored with the tables that take values from it: set it with `{}`",
        prepare::of_sequence(sequence)
    );
    if !found.get::<_, bool>(1) {
        return Ok(Some(format!(
            "the login may not see whether it is behind where it was in the dump, and {must}"
        )));
    }
    let stands = format!("SELECT last_value, is_called FROM {name}");
    let row = session.query_one(&stands, &[]).await.map_err(failed)?;
    let (now, then) = ((row.get(0), row.get(1)), (sequence.last_value, sequence.is_called));
    let is_behind = is_behind(now, then, found.get(0));
    Ok(is_behind.then(|| {
        format!(
            "it stands at {}, behind {} of the dump, may give values that restored rows have, and {must}",
            now.0, then.0
        )
    }))
}

/// Whether a sequence that stands at `now`, its last value and whether that was given, has to give values again that it
/// had given `then`.
fn is_behind(now: (i64, bool), then: (i64, bool), descends: bool) -> bool {
    match now.0.cmp(&then.0) {
        Ordering::Less => !descends,
        Ordering::Equal => then.1 && !now.1,
        Ordering::Greater => descends,
    }
}

#[cfg(test)]
mod tests {
    use super::is_behind;

    #[test]
    fn what_has_to_give_values_again_is_behind() {
        for (now, then, descends, expected) in [
            ((1, true), (5, true), false, true),
            ((5, true), (5, true), false, false),
            ((5, false), (5, true), false, true),
            ((5, true), (5, false), false, false),
            ((6, false), (5, true), false, false),
            ((-1, true), (-5, true), true, true),
            ((-6, true), (-5, true), true, false),
            ((-5, false), (-5, true), true, true),
        ] {
            assert_eq!(is_behind(now, then, descends), expected, "{now:?} {then:?}");
        }
    }
}
