//! Clients that come back at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio_postgres::NoTls;

use crate::Market;

/// Applications that hold sessions of a market's databases open, ask all the time, and reconnect in a tight loop when
/// they are thrown out. They go when this is dropped.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    entered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Two for each database.
    pub fn of(market: &Market) -> Self {
        let (stop, entered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |name: &str| {
            let mut config = tokio_postgres::Config::new();
            let server = market.server();
            config.host_path(server.folder()).port(server.port()).user("postgres").dbname(market.name(name));
            let (stop, entered) = (stop.clone(), entered.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(come_back(&config, &stop, &entered));
            })
        };
        let clients = ["db", "crm", "db", "crm"].map(client).into();
        Self { stop, entered, clients }
    }

    /// How many sessions they have had so far.
    pub fn entered(&self) -> u64 {
        self.entered.load(Ordering::Relaxed)
    }
}

async fn come_back(config: &tokio_postgres::Config, stop: &AtomicBool, entered: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        let Ok((client, connection)) = config.connect(NoTls).await else { continue };
        entered.fetch_add(1, Ordering::Relaxed);
        let driving = tokio::spawn(connection);
        while !stop.load(Ordering::Relaxed) && client.simple_query("SELECT 1").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        driving.abort();
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            // What it panicked over, it has told.
            let _ = client.join();
        }
    }
}
