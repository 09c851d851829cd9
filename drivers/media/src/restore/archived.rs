//! The archive's listing, line by line.

use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Cancel, Error, Result};
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use super::chosen::Chosen;
use crate::line::{Lines, ObjectLine};

/// As many lines go from the thread that reads to where they are looked at.
const AT_ONCE: usize = 256;

/// A line that is meant.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Which line it is, from 1.
    pub(super) number: u64,
    pub(super) line: ObjectLine,
}

/// All lines that are meant, read on a thread of their own.
///
/// # Errors
/// If the listing can't be read, or what was named is not in it.
pub(super) fn wanted(
    archived: Arc<dyn ArchivedNode>,
    chosen: Chosen,
    cancel: Cancel,
) -> BoxStream<'static, Result<Wanted>> {
    let (give, take) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read(&*archived, &chosen, &cancel, &give) {
            // Whoever does not listen any more has failed for another reason.
            let _heard = give.blocking_send(Err(error));
        }
    });
    let batches =
        try_unfold(take, async |mut take: mpsc::Receiver<Result<Vec<Wanted>>>| match take.recv().await {
            // Only so does it end: a list that was cut off would have all that follows pass for extras.
            Some(Ok(batch)) if batch.is_empty() => Ok(None),
            Some(Ok(batch)) => Ok(Some((batch, take))),
            Some(Err(error)) => Err(error),
            None => Err(Error::defect("reading the list of the archive's objects broke off")),
        });
    batches.map_ok(|batch| futures_util::stream::iter(batch.into_iter().map(Ok))).try_flatten().boxed()
}

fn read(
    archived: &dyn ArchivedNode,
    chosen: &Chosen,
    cancel: &Cancel,
    give: &mpsc::Sender<Result<Vec<Wanted>>>,
) -> Result<()> {
    let mut batch = Vec::with_capacity(AT_ONCE);
    for (number, line) in (1..).zip(Lines::of(archived)?) {
        let line = line?;
        if chosen.takes_archived(&line.key) {
            batch.push(Wanted { number, line });
        }
        if batch.len() == AT_ONCE {
            cancel.check()?;
            if give.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return Ok(());
            }
        }
    }
    chosen.check_met()?;
    if !batch.is_empty() {
        // Whoever does not listen any more has failed for another reason.
        let _heard = give.blocking_send(Ok(batch));
    }
    let _heard = give.blocking_send(Ok(Vec::new()));
    Ok(())
}
