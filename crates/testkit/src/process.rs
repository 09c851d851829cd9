//! Processes that do not outlive their test.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long a test waits for what must come: long, for machines are slow at times.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process in a group of its own, all of which gets a `kill -9` when this is dropped.
pub struct Process {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it, with its output and errors listened to.
    pub fn start(command: &mut Command) -> Self {
        let command =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
        let said = Arc::new(Mutex::new(Vec::new()));
        if let Some(stdout) = child.stdout.take() {
            listen(stdout, said.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            listen(stderr, said.clone());
        }
        Self { child, said }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines of output and errors, as they have come so far.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("no panic").clone()
    }

    /// Waits for a line that contains `marker`.
    ///
    /// # Panics
    /// If the process ends without such a line, or a minute goes by.
    pub fn wait_for(&mut self, marker: &str) {
        let mut until = Instant::now() + PATIENCE;
        loop {
            if self.said().iter().any(|line| line.contains(marker)) {
                return;
            }
            assert!(Instant::now() < until, "no `{marker}` in: {:#?}", self.said());
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                // Its last words may still be on their way.
                until = until.min(Instant::now() + Duration::from_millis(500));
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// `kill -9`, for it and all that it started.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.child.wait().expect("a process of our own")
    }

    /// `kill -9` as soon as a line contains `marker`, or so much later.
    ///
    /// # Panics
    /// As [`wait_for`](Self::wait_for).
    pub fn kill_at(&mut self, marker: &str, delay: Duration) -> ExitStatus {
        self.wait_for(marker);
        sleep(delay);
        self.kill()
    }

    /// Asks it to stop, by `TERM`, and waits for it.
    ///
    /// # Panics
    /// If it goes on for a minute.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it goes on for a minute.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a process of our own") {
                return status;
            }
            assert!(Instant::now() < until, "a process goes on and on: {:#?}", self.said());
            sleep(Duration::from_millis(2));
        }
    }

    fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // It may have ended by itself.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Not reaped yet, its number is still its own.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

fn listen(stream: impl Read + Send + 'static, said: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            said.lock().expect("no panic").push(String::from_utf8_lossy(&line).into_owned());
        }
    });
}

/// A port of this machine that nobody listens on. Somebody else may take it meanwhile: a server that can't have it is
/// to be started again on another.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Waits until it is so.
///
/// # Panics
/// If that takes a minute.
pub fn soon(what: &str, so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < until, "never came: {what}");
        sleep(Duration::from_millis(2));
    }
}
