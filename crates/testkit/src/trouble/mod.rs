//! What can go wrong between a client and a server, on purpose.

mod exchange;
mod plan;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use plan::Plan;
pub use plan::{Mishap, Requests};

/// How many connections are served at once. More have to wait.
const MOST_CONNECTIONS: usize = 256;

/// A proxy before a server that speaks HTTP/1.1 without TLS. All goes through, until [`make`](Self::make) says otherwise.
///
/// Each request gets a connection of its own to the server, whatever the client does with its connections. Requests
/// reach the server as they were sent but for `Connection` and `Expect`, and so with the `Host` that was signed. It ends
/// when it is dropped, with all connections.
pub struct Trouble {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    runtime: Option<Runtime>,
}

impl Trouble {
    /// Puts one before the server at this address: `127.0.0.1:9000`.
    pub fn before(server: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("its address");
        let plan = Arc::new(Mutex::new(Plan::default()));
        runtime.spawn(serve(listener, server.to_owned(), plan.clone()));
        Self { address, plan, runtime: Some(runtime) }
    }

    /// Where clients are to connect: `http://127.0.0.1:9001`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same without the scheme.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on something goes wrong with these requests. Of several that apply the first is taken.
    pub fn make(&self, requests: Requests, mishap: Mishap) {
        self.plan().add(requests, mishap);
    }

    /// From now on nothing goes wrong any more.
    pub fn clear(&self) {
        self.plan().clear();
    }

    /// How often something went wrong so far.
    pub fn mishaps(&self) -> usize {
        self.plan().mishaps()
    }

    /// The requests that have come, as `PUT /bucket/key?uploads`: the last 10,000.
    pub fn seen(&self) -> Vec<String> {
        self.plan().seen()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        // It may be a task that lets go of it, which must not wait for others.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: std::net::TcpListener, server: String, plan: Arc<Mutex<Plan>>) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((client, _)) = listener.accept().await else { continue };
        let (server, plan) = (server.clone(), plan.clone());
        tokio::spawn(async move {
            // Where a connection fails both sides have noticed: that is what all this is for.
            let _ = exchange::serve(client, &server, &plan).await;
            drop(place);
        });
    }
}

/// Has the other side told that the connection broke, not that it ended.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
