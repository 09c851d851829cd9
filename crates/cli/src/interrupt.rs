//! Ctrl-C and SIGTERM: the run is told to stop, and whatever it has begun is rolled back.

use std::sync::Arc;

use dumprestore::{Cancel, Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::console::Console;

/// Turns Ctrl-C and SIGTERM into a wish to stop, from now on. Further ones change nothing: a rollback that is
/// interrupted is what leaves a mess.
///
/// # Errors
/// If the signals can't be had.
pub(crate) fn watch(console: &Arc<Console>) -> Result<Cancel> {
    let failed = |error| Error::io("can't watch for Ctrl-C", error);
    let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let cancel = Cancel::default();
    tokio::spawn(heed(interrupt, terminate, console.clone(), cancel.clone()));
    Ok(cancel)
}

async fn heed(mut interrupt: Signal, mut terminate: Signal, console: Arc<Console>, cancel: Cancel) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if cancel.is_cancelled() {
            console.urge("still rolling back: it goes on to the end, whatever you press");
        } else {
            console.urge("stopping, and rolling back what was begun");
            cancel.cancel();
        }
    }
}
