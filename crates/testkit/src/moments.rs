//! Fault injection: one run is a sequence of moments, and at one of them something happens.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dumprestore_driver::{Cancel, Error, ErrorKind, Result};

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Fault {
    /// The stream fails, or another node does.
    Fail,
    /// The user presses Ctrl-C.
    Cancel,
    /// The process gets a `kill -9` so much later.
    Die(Duration),
}

/// Counts the moments of a run (before and after each call of the driver, each read and write), and lets a [`Fault`] happen at one of
/// them.
#[derive(Debug, Default)]
pub struct Faulty {
    passed: AtomicU64,
    plan: Option<(u64, Fault)>,
    deed: Option<(u64, Deed)>,
    cancel: Cancel,
    names: Mutex<Vec<&'static str>>,
}

/// What else happens: not to the run, but to what it works on.
struct Deed(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deed")
    }
}

/// The message of every injected failure.
pub const INJECTED: &str = "a failure that the test kit injected";

impl Faulty {
    /// A run in which nothing happens.
    pub fn never() -> Self {
        Self::default()
    }

    /// A run in which `fault` happens at the moment of that number, from 0.
    pub fn at(moment: u64, fault: Fault) -> Self {
        Self { plan: Some((moment, fault)), ..Self::default() }
    }

    /// A run in which something is done at that moment to what it works on: its server is killed, say. The run waits for
    /// it.
    pub fn doing(moment: u64, deed: impl Fn() + Send + Sync + 'static) -> Self {
        Self { deed: Some((moment, Deed(Box::new(deed)))), ..Self::default() }
    }

    /// The run's cancellation.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// The names of the moments that have passed.
    pub fn passed(&self) -> Vec<&'static str> {
        self.names.lock().expect("no panic").clone()
    }

    /// Before a call of the driver.
    ///
    /// # Errors
    /// If the run fails now. A cancelled run goes on: the driver is to notice.
    pub fn before(&self, call: &'static str) -> Result<()> {
        match self.next(call) {
            Some(Fault::Fail) => Err(injected()),
            _ => Ok(()),
        }
    }

    /// After a call of the driver, before anything is journalled.
    ///
    /// # Errors
    /// If the run fails now, or was cancelled meanwhile.
    pub fn after(&self, done: &'static str) -> Result<()> {
        self.io(done)
    }

    /// Before a read or a write.
    ///
    /// # Errors
    /// If it fails, or if the run is or was cancelled.
    pub fn io(&self, what: &'static str) -> Result<()> {
        match self.next(what) {
            Some(Fault::Fail) => Err(injected()),
            _ => self.cancel.check(),
        }
    }

    fn next(&self, name: &'static str) -> Option<Fault> {
        let moment = self.passed.fetch_add(1, Ordering::SeqCst);
        self.names.lock().expect("no panic").push(name);
        if let Some((_, deed)) = self.deed.as_ref().filter(|(at, _)| *at == moment) {
            (deed.0)();
        }
        let (_, fault) = self.plan.filter(|(at, _)| *at == moment)?;
        match fault {
            Fault::Fail => {}
            Fault::Cancel => self.cancel.cancel(),
            Fault::Die(delay) if delay.is_zero() => die(),
            Fault::Die(delay) => drop(std::thread::spawn(move || {
                std::thread::sleep(delay);
                die()
            })),
        }
        Some(fault)
    }
}

fn injected() -> Error {
    Error::new(ErrorKind::Environment, INJECTED)
}

fn die() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // The signal is on its way.
    loop {
        std::thread::park();
    }
}

/// The numbers of these moments, with at most `most` of those that there may be many of.
pub(crate) fn worth_trying(moments: &[&'static str], most: u64) -> Vec<u64> {
    let (many, few): (Vec<_>, Vec<_>) = (0..)
        .zip(moments)
        .partition(|(_, name)| matches!(**name, "read" | "write" | "load" | "dump" | "end of part"));
    let some = spread(many.len() as u64, most).into_iter();
    let some = some.filter_map(|at| many.get(usize::try_from(at).ok()?));
    let mut numbers: Vec<u64> = few.iter().chain(some).map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    numbers
}

/// At most `most` of the numbers below `count`: all if there are few, else the first, the last, and some between.
pub fn spread(count: u64, most: u64) -> Vec<u64> {
    if count <= most {
        return (0..count).collect();
    }
    let mut picked: Vec<u64> = (0..most).map(|at| at * (count - 1) / (most - 1)).collect();
    picked.dedup();
    picked
}
