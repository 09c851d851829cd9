//! The threads that talk to stores. An archive is written and read by threads of its own, which wait for these.

use std::future::Future;
use std::sync::OnceLock;
use std::sync::mpsc;

use dumprestore_driver::{Error, Result};
use tokio::runtime::{Builder, Handle, Runtime};

/// Enough to keep several connections busy: encrypting and hashing go on elsewhere.
const THREADS: usize = 2;

/// One for the whole process: connections are kept open by it, and outlive the archive that they were opened for.
static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();

pub(crate) fn handle() -> Result<&'static Handle> {
    let made = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().worker_threads(THREADS).thread_name("transfers").enable_all().build().ok()
    });
    made.as_ref()
        .map(Runtime::handle)
        .ok_or_else(|| Error::environment("can't start the threads that talk to stores"))
}

/// Waits for `work`, on whatever thread that is: it may be one that drives other tasks.
pub(crate) fn wait<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let (send, receive) = mpsc::sync_channel(1);
    handle()?.spawn(async move {
        // Whoever waited is still there: it does nothing else.
        let _ = send.send(work.await);
    });
    receive.recv().unwrap_or_else(|_| Err(Error::defect("what talks to a store panicked")))
}
