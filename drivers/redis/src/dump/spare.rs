//! Databases that are there for restores alone, and that no application knows of.

use std::collections::{BTreeMap, BTreeSet};

use dumprestore_driver::Result;

use crate::config::{Meant, Setup};
use crate::connect::{Info, Session};
use crate::restore::MARK;

/// What the mark says of a database that holds keys which are not live: not yet, or not any more.
const NOT_LIVE: [&[u8]; 4] = [b"staged", b"ready", b"old", b"kept"];

/// Those of them that would be dumped only because all are. The session is then in another database.
///
/// # Errors
/// If the server refuses.
pub(super) fn spare(session: &mut Session, setup: &Setup, info: &Info) -> Result<BTreeSet<u64>> {
    let mut spare = BTreeSet::new();
    if setup.databases != Meant::All {
        return Ok(spare);
    }
    for (database, _) in info.keyspace() {
        if database != 0 || setup.target.index() != 0 {
            session.select(database)?;
        }
        // What is of another type is not ours.
        let kind: String = session.query(redis::cmd("TYPE").arg(MARK))?;
        if kind != "hash" {
            continue;
        }
        let fields: BTreeMap<Vec<u8>, Vec<u8>> = session.query(redis::cmd("HGETALL").arg(MARK))?;
        if fields.values().any(|value| NOT_LIVE.contains(&value.as_slice())) {
            spare.insert(database);
        }
    }
    Ok(spare)
}
