//! What restores have left in databases: those that are there for restores alone, and those that are half restored.

use std::collections::{BTreeMap, BTreeSet};

use dumprestore_driver::{Error, Result};

use super::shard::Shard;
use crate::config::Meant;
use crate::connect::{Server, Session, is_refusal};
use crate::restore::MARK;

/// What the mark says of a database that holds keys which are not live: not yet, or not any more.
const NOT_LIVE: [&[u8]; 4] = [b"staged", b"ready", b"old", b"kept"];
/// What it says of one that holds some keys of before a restore, and some of after it.
const HALF: [&[u8]; 2] = [b"moving", b"renaming"];

/// Those that no application knows of, and that would be dumped only because all are. The session is then in another database.
///
/// # Errors
/// If one that is meant is half restored, or the server refuses.
pub(super) fn spare(session: &mut Session, shard: &Shard, server: &Server) -> Result<BTreeSet<u64>> {
    let (setup, mut spare) = (&shard.setup, BTreeSet::new());
    // Of a cluster, one primary has the mark.
    let may_be_marked = match &shard.primary {
        Some(primary) => primary.has(MARK.as_bytes()),
        None => !server.cluster,
    };
    if !may_be_marked {
        return Ok(spare);
    }
    for (database, _) in server.info.keyspace() {
        if !setup.databases.has(database) {
            continue;
        }
        session.select(database)?;
        let marks = match marks(session) {
            // Who may not look dumps what is named; of all databases some may not be live.
            Err(error) if is_refusal(&error) && setup.databases != Meant::All => return Ok(spare),
            marks => marks?,
        };
        if marks.iter().any(|mark| HALF.contains(&mark.as_slice())) {
            return Err(Error::environment(
                "a restore is under way in a database, or was cut off: its keys are half old, half new",
            )
            .with_context("database", database)
            .with_hint("wait until it has ended, or end it with `dumprestore recover`"));
        }
        if setup.databases == Meant::All && marks.iter().any(|mark| NOT_LIVE.contains(&mark.as_slice())) {
            spare.insert(database);
        }
    }
    Ok(spare)
}

/// What restores say in the database that the session is in.
fn marks(session: &mut Session) -> Result<Vec<Vec<u8>>> {
    // What is of another type is not ours.
    let kind: String = session.query(redis::cmd("TYPE").arg(MARK))?;
    if kind != "hash" {
        return Ok(Vec::new());
    }
    let fields: BTreeMap<Vec<u8>, Vec<u8>> = session.query(redis::cmd("HGETALL").arg(MARK))?;
    Ok(fields.into_values().collect())
}
