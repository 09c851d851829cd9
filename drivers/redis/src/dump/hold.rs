//! Keeps writers waiting, for as long as we are there.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dumprestore_driver::{Cancel, Error, Result};

use crate::connect::{Server, Session, Target};

/// Writers wait for so long, unless it is said again: not much longer than our process lives.
const LEASE: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(500);

/// Writers wait until this is let go.
pub(super) struct Hold {
    stop: Sender<()>,
    /// Gives whether they have waited all the time.
    thread: Option<JoinHandle<Result<()>>>,
    begun: Instant,
}

impl Hold {
    /// Has writers wait.
    ///
    /// # Errors
    /// If the server can't do that, or the login may not ask for it.
    pub(super) fn begin(target: &Target, cancel: &Cancel) -> Result<Self> {
        let mut session = Session::open_for(target, cancel)?;
        let server = Server::of(&mut session)?;
        if !server.is_since(6, 2) {
            return Err(Error::unsupported("the server can't keep writers waiting, and let others read")
                .with_context("server", server.title())
                .with_hint("use Redis 6.2 or newer, or a policy for `coherence` other than `lock`"));
        }
        let begun = Instant::now();
        pause(&mut session)?;
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || go_on(session, &stopped, begun));
        Ok(Self { stop, thread: Some(thread), begun })
    }

    /// Lets them go on. Gives for how long they have waited.
    ///
    /// # Errors
    /// If they went on before.
    pub(super) fn end(mut self) -> Result<Duration> {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_else(|_| Err(Error::defect("a thread of a dump has ended")))?;
        }
        Ok(self.begun.elapsed())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        // Whoever drops it is to find that writers go on.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn pause(session: &mut Session) -> Result<()> {
    let lease = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
    session.query(redis::cmd("CLIENT").arg("PAUSE").arg(lease).arg("WRITE"))
}

/// Says it again and again, until it is to stop.
fn go_on(mut session: Session, stopped: &Receiver<()>, mut since: Instant) -> Result<()> {
    let mut held = Ok(());
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(AGAIN) {
        let now = Instant::now();
        let said = pause(&mut session);
        if said.is_err() || since.elapsed() >= LEASE {
            held = Err(Error::environment("writers did not wait until the references were checked")
                .with_hint("the server was too slow, or was started again: run it again"));
        }
        said?;
        since = now;
    }
    let freed: Result<()> = session.query(redis::cmd("CLIENT").arg("UNPAUSE"));
    if since.elapsed() >= LEASE && held.is_ok() {
        return Err(Error::environment("writers did not wait until the references were checked"));
    }
    freed.and(held)
}
