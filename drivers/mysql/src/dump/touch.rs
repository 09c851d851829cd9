//! Touching tables: from then on nobody can change them until the transaction ends, and nothing of them is read.

use dumprestore_driver::{Error, Result};
use futures_util::future::try_join_all;

use crate::connect::{Session, code};
use crate::quote;

/// In seconds; a table's metadata lock is not waited for longer at the pin, lest others queue behind us.
const TOUCH: u32 = 1;
/// Under the lock each session touches that many tables at the most, which takes a tenth of a second; of more, the first one
/// alone does.
pub(super) const TOUCHED_BY_ALL: usize = 1000;

/// From then on a session waits for no lock for long.
pub(super) fn hasty() -> String {
    format!("SET SESSION lock_wait_timeout = {TOUCH}")
}

/// A query that opens a table, and reads nothing of it.
pub(super) fn touch(table: &str) -> String {
    format!("SELECT 1 FROM {} LIMIT 0", quote::name(table))
}

/// It takes longer than others may wait for it.
pub(super) fn late() -> Error {
    Error::environment("the tables can't be opened as fast as others can wait for that at the cut")
}

/// What a session found when it touched all tables.
enum Touched {
    /// All are as they were at the snapshot, and will stay so.
    AsAtTheCut,
    /// One of them is another than at the snapshot, or gone.
    Changed,
    /// Somebody holds one of them.
    Locked(Error),
}

/// Whether all of these sessions found all tables as they were at the snapshot. `waited`: who was in the way.
pub(super) async fn touch_by_all(
    lanes: impl Iterator<Item = &mut Session>,
    touches: &[String],
    waited: &mut Option<Error>,
) -> Result<bool> {
    let mut as_at_the_cut = true;
    for touched in try_join_all(lanes.map(|lane| touch_all(lane, touches))).await? {
        match touched {
            Touched::AsAtTheCut => continue,
            Touched::Changed => {}
            Touched::Locked(error) => *waited = Some(error),
        }
        as_at_the_cut = false;
    }
    Ok(as_at_the_cut)
}

async fn touch_all(lane: &mut Session, touches: &[String]) -> Result<Touched> {
    for touch in touches {
        let error = match lane.run(touch).await {
            Ok(done) if done.in_transaction => continue,
            // It was rolled back meanwhile.
            Ok(_) => return Ok(Touched::Changed),
            Err(error) => error,
        };
        return match code(&error) {
            Some(1412 | 1146 | 1051) => Ok(Touched::Changed),
            Some(1205 | 1213) => Ok(Touched::Locked(error)),
            Some(1142 | 1143) => Err(error.with_hint(
                "grant the login `SELECT` on all tables of the database, or leave tables out with `exclude_tables`",
            )),
            _ => Err(error),
        };
    }
    Ok(Touched::AsAtTheCut)
}
