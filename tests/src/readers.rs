//! Clients that read all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use mysql_async::prelude::Queryable as _;

use crate::Bazaar;

/// How many refusals are kept.
const MOST_TOLD: usize = 5;

/// Applications that hold sessions of a bazaar's `db` open, and read it in short transactions all the time. They go when
/// this is dropped.
pub struct Readers {
    stop: Arc<AtomicBool>,
    read: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Readers {
    /// Three of them.
    pub fn of(bazaar: &Bazaar) -> Self {
        let (stop, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |_| {
            let (stop, read) = (stop.clone(), read.clone());
            let (server, database) = (bazaar.server().clone(), bazaar.name("db"));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut session = server.client(&database).await;
                    let mut refused = Vec::new();
                    while !stop.load(Ordering::Relaxed) && refused.len() < MOST_TOLD {
                        match look(&mut session).await {
                            Ok(()) => drop(read.fetch_add(1, Ordering::Relaxed)),
                            Err(error) => refused.push(error.to_string()),
                        }
                    }
                    refused
                })
            })
        };
        let clients = (0..3).map(client).collect();
        Self { stop, read, clients }
    }

    /// Stops them: how often they have read, and what went wrong.
    pub fn stop(mut self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let refused = self.clients.drain(..).flat_map(|client| client.join().unwrap()).collect();
        (self.read.load(Ordering::Relaxed), refused)
    }
}

/// One look at two tables that refer to each other.
async fn look(session: &mut mysql_async::Conn) -> mysql_async::Result<()> {
    session.query_drop("START TRANSACTION").await?;
    session.query_drop("SELECT COUNT(*) FROM product WHERE id > 3").await?;
    session.query_drop("SELECT MAX(name) FROM customer").await?;
    session.query_drop("COMMIT").await?;
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    Ok(())
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            // What it panicked over, it has told.
            let _ = client.join();
        }
    }
}
