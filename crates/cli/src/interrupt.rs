//! Ctrl-C, SIGTERM and SIGHUP: the run is told to stop, and whatever it has begun is rolled back, where there
//! still is a way back.

use std::sync::Arc;

use dumprestore::{Cancel, Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::console::Console;
use crate::exit::Exit;

/// What a second signal does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Second {
    /// Nothing: a rollback that is interrupted is what leaves a mess.
    Waits,
    /// It ends the process: the command changes nothing, and what it may leave the next one removes.
    Ends,
}

/// Turns Ctrl-C, SIGTERM and SIGHUP (a connection that is lost) into a wish to stop, from now on.
///
/// # Errors
/// If the signals can't be had.
pub(crate) fn watch(console: &Arc<Console>, second: Second) -> Result<Cancel> {
    let failed = |error| Error::io("can't watch for Ctrl-C", error);
    let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    let cancel = Cancel::default();
    tokio::spawn(heed([interrupt, terminate, hang_up], console.clone(), cancel.clone(), second));
    Ok(cancel)
}

async fn heed(signals: [Signal; 3], console: Arc<Console>, cancel: Cancel, second: Second) {
    let [mut interrupt, mut terminate, mut hang_up] = signals;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        match (cancel.is_cancelled(), second) {
            (false, _) => {
                console.urge("stopping: what was begun is rolled back, if there still is a way back");
                cancel.cancel();
            }
            (true, Second::Waits) => {
                console.urge("still rolling back, or finishing: it goes on to the end, whatever you press");
            }
            (true, Second::Ends) => {
                console.urge("ended at once; the next run removes what is left");
                std::process::exit(Exit::Interrupted.code().into());
            }
        }
    }
}
