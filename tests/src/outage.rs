//! A server that is killed in the middle of a run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use dumprestore_testkit::{Faulty, MysqlServer, PostgresServer, RedisServer};

/// A server that can be killed.
pub trait Mortal: Send + Sync + 'static {
    /// `kill -9`.
    fn kill(&self);
    /// Starts it again, and waits until it takes connections.
    fn restart(&self);
}

impl Mortal for PostgresServer {
    fn kill(&self) {
        Self::kill(self);
    }

    fn restart(&self) {
        Self::restart(self);
    }
}

impl Mortal for MysqlServer {
    fn kill(&self) {
        Self::kill(self);
    }

    fn restart(&self) {
        Self::restart(self);
    }
}

impl Mortal for RedisServer {
    fn kill(&self) {
        Self::kill(self);
    }

    fn restart(&self) {
        Self::restart(self);
    }
}

/// What a server does at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It gets a `kill -9`, and stays down until the run has ended.
    StaysDown,
    /// It gets a `kill -9`, and takes connections again before the run goes on: only its sessions are gone.
    ComesBack,
    /// It gets a `kill -9` so much later, in the middle of something, and stays down.
    Later(Duration),
}

/// One server's outage.
pub struct Blackout {
    server: Arc<dyn Mortal>,
    is_down: Arc<AtomicBool>,
    has_begun: Arc<AtomicBool>,
    late: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Blackout {
    /// A run at one of whose moments that happens to the server.
    pub fn at<S: Mortal>(server: &Arc<S>, moment: u64, outage: Outage) -> (Self, Faulty) {
        let server: Arc<dyn Mortal> = server.clone();
        let blackout = Self {
            server: server.clone(),
            is_down: Arc::default(),
            has_begun: Arc::default(),
            late: Arc::default(),
        };
        let (server, is_down) = (server.clone(), blackout.is_down.clone());
        let (has_begun, late) = (blackout.has_begun.clone(), blackout.late.clone());
        let faults = Faulty::doing(moment, move || {
            has_begun.store(true, Ordering::SeqCst);
            let (server, is_down) = (server.clone(), is_down.clone());
            let kill = move |server: &dyn Mortal| {
                server.kill();
                is_down.store(true, Ordering::SeqCst);
            };
            match outage {
                Outage::StaysDown => kill(&*server),
                Outage::ComesBack => {
                    server.kill();
                    server.restart();
                }
                Outage::Later(delay) => {
                    let killing = std::thread::spawn(move || {
                        std::thread::sleep(delay);
                        kill(&*server);
                    });
                    *late.lock().unwrap() = Some(killing);
                }
            }
        });
        (blackout, faults)
    }

    /// Ends it, after the run. False if the run never came to its moment.
    pub fn end(self) -> bool {
        if let Some(killing) = self.late.lock().unwrap().take() {
            killing.join().unwrap();
        }
        if self.is_down.load(Ordering::SeqCst) {
            self.server.restart();
        }
        self.has_begun.load(Ordering::SeqCst)
    }
}
