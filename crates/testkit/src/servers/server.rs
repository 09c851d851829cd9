//! What servers have in common: where they live, and how they come up on ports that nobody else has.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Keeper, has_ended};

/// How long a server may take to be ready: machines are slow at times.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often somebody else may take a port that was free.
const MOST_TRIES: u32 = 10;

/// The folder of a server, and the keeper who ends it and removes the folder.
pub(super) struct Home {
    folder: PathBuf,
    keeper: Mutex<Keeper>,
}

impl Home {
    /// For a server that is started by `command`, and asked to stop by the signal `ending`.
    pub(super) fn new(folder: PathBuf, ending: &str, command: &[String]) -> Self {
        let keeper = Mutex::new(Keeper::new(&folder, ending, command));
        Self { folder, keeper }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn log(&self) -> String {
        let log = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub(super) fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that can be started.
pub(super) trait Server {
    /// What its log says where it can't have its port.
    const PORT_IS_TAKEN: &'static str;

    /// What to call it where it does not start.
    fn name(&self) -> String;

    /// Where it lives.
    fn home(&self) -> &Home;

    /// Takes ports that are free, and writes them where the server will look.
    fn choose_ports(&mut self);

    /// Whether the server, which is the process `pid`, does its work.
    fn is_ready(&self, pid: u32) -> bool;

    /// Starts it for the first time.
    ///
    /// # Panics
    /// If it does not come up: with what its log says.
    fn start_on_free_ports(&mut self) {
        for _ in 0..MOST_TRIES {
            self.choose_ports();
            match self.try_to_start() {
                Ok(()) => return,
                Err(log) if log.contains(Self::PORT_IS_TAKEN) => {}
                Err(log) => panic!("{} does not start: {log}", self.name()),
            }
        }
        panic!("no port is free for {}: {}", self.name(), self.home().log());
    }

    /// Starts it again, on the ports that it had.
    ///
    /// # Panics
    /// The same.
    fn start_again(&self) {
        let until = Instant::now() + PATIENCE;
        while let Err(log) = self.try_to_start() {
            // What it was may still be on its way out, or its port be taken for a moment by a client's end of some
            // other connection.
            assert!(Instant::now() < until, "{} does not start again: {log}", self.name());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts it, and waits until it is ready. An error is its log.
    fn try_to_start(&self) -> Result<(), String> {
        self.home().keeper().start();
        let pid = self.home().keeper().pid();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && !has_ended(pid) {
            if self.is_ready(pid) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(4));
        }
        Err(self.home().log())
    }
}
