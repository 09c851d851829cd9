//! The application of the tests with Redis.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dumprestore::{BackupSet, Coherence, Driver, DriverConfig, NodeBuilder, NodePath};
use dumprestore_filesystem::FilesystemConfig;
use dumprestore_redis::RedisConfig;
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::{Faulty, RedisOptions, RedisServer, RedisVersion};
use redis::{Commands as _, Connection};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::shop::{copy_folder, driver, left_in, open, read_database, read_folder};
use crate::wares::hex_of;
use crate::{Application, Placed, Served, State, watch};

/// How long the server may take to see that connections have ended whose process is gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// An application of four nodes: `queue`, a database of Redis whose lists name keys of `sessions`, which is another. Each
/// session is of a customer in `db`, a SQLite database, and shows a file in `uploads`.
pub struct Kiosk {
    folder: PathBuf,
    place: Place,
    server: Option<Arc<RedisServer>>,
}

/// Where its databases are.
#[derive(Clone, Serialize, Deserialize)]
pub struct Place {
    socket: PathBuf,
    sessions: u64,
    queue: u64,
}

/// The numbers that kiosks have at a server stand in its first database, which is nobody's.
const TAKEN: &str = "taken";

impl Kiosk {
    /// Its server.
    ///
    /// # Panics
    /// In a process of its own.
    pub fn server(&self) -> &Arc<RedisServer> {
        self.server.as_ref().unwrap()
    }

    /// A connection to its sessions.
    pub fn sessions(&self) -> Connection {
        self.server().connection(self.place.sessions)
    }

    /// A connection to its queue.
    pub fn queue(&self) -> Connection {
        self.server().connection(self.place.queue)
    }

    /// A connection to the database of customers.
    pub fn db(&self) -> rusqlite::Connection {
        open(&self.folder.join("kiosk.db"))
    }

    fn redis(&self, index: u64) -> Arc<dyn Driver> {
        let url = format!("redis+unix://{}?db={index}", self.place.socket.display());
        let config: RedisConfig = serde_json::from_value(json!({ "url": url, "functions": false })).unwrap();
        let cx = dumprestore::driver::BuildContext::new(NodePath::new("node").unwrap(), &self.folder);
        config.build(&cx).unwrap()
    }

    /// Databases of the server that are nobody's and hold keys, and keys that are ours.
    fn foreign_keys(&self) -> Vec<String> {
        let taken: Vec<u64> = self.server().connection(0).smembers(TAKEN).unwrap();
        let mut left = Vec::new();
        for index in 1..databases(self.server()) {
            let keys: Vec<Vec<u8>> = self.server().connection(index).keys("*").unwrap();
            let is_taken = taken.contains(&((index - 1) / 2));
            let foreign = keys.iter().filter(|key| !is_taken || is_ours(key));
            left.extend(foreign.take(5).map(|key| format!("{index}: {}", key.escape_ascii())));
        }
        left
    }

    /// Connections of runs, once they have had the time to end.
    fn connections(&self) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let list: String = self.server().ask(0, redis::cmd("CLIENT").arg("LIST"));
            let ours = |line: &&str| line.contains("name=dumprestore") || line.contains(" flags=S");
            let left: Vec<_> = list.lines().filter(ours).map(str::to_owned).collect();
            if left.is_empty() || Instant::now() > until {
                return left;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How many databases a server has.
fn databases(server: &RedisServer) -> u64 {
    let (_, count): (String, u64) = server.ask(0, redis::cmd("CONFIG").arg("GET").arg("databases"));
    count
}

/// All that a user would call a database's content. What is ours counts as left over.
fn read_keys(connection: &mut Connection, name: &str, state: &mut BTreeMap<String, String>) {
    let keys: Vec<Vec<u8>> = connection.keys("*").unwrap();
    for key in keys.into_iter().filter(|key| !is_ours(key)) {
        let dump: Option<Vec<u8>> = redis::cmd("DUMP").arg(&key).query(connection).unwrap();
        let expires: i64 = redis::cmd("PEXPIRETIME").arg(&key).query(connection).unwrap();
        let told = format!("{} {expires}", hex_of(&dump.unwrap_or_default()));
        state.insert(format!("{name}/{}", key.escape_ascii()), told);
    }
}

fn is_ours(key: &[u8]) -> bool {
    key.starts_with(b"dumprestore")
}

fn copy_keys(from: &mut Connection, to: u64) {
    let keys: Vec<Vec<u8>> = from.keys("*").unwrap();
    for key in keys {
        let () = redis::cmd("COPY").arg(&key).arg(&key).arg("DB").arg(to).query(from).unwrap();
    }
}

impl Served for Kiosk {
    type Server = RedisServer;
    const FEW: u64 = 6;
    const SOONER: u32 = 10;
    const OUTLIVES_RESTARTS: bool = true;

    fn server() -> Arc<RedisServer> {
        Arc::new(RedisOptions::new(RedisVersion::Redis7_0).durable().start())
    }

    fn create(folder: &Path, server: &Arc<RedisServer>, customers: u32) -> Self {
        let kiosk = Self::nothing(folder, server);
        fs::create_dir_all(folder.join("uploads")).unwrap();
        let mut db = kiosk.db();
        db.execute_batch(SCHEMA).unwrap();
        let db = db.transaction().unwrap();
        let (mut sessions, mut queue) = (kiosk.sessions(), kiosk.queue());
        for id in 1..=customers {
            db.execute("INSERT INTO customer VALUES (?, ?)", (id, format!("customer {id}"))).unwrap();
            let content = format!("image {id} ").repeat(40);
            fs::write(folder.join(format!("uploads/{id}.jpg")), &content).unwrap();
            let fields = [
                ("customer", id.to_string()),
                ("image", format!("{id}.jpg")),
                ("sha256", hex_of(content.as_bytes())),
            ];
            let session = format!("session:{id}");
            let () = sessions.hset_multiple(&session, &fields).unwrap();
            let () = sessions.expire(&session, 100_000 + i64::from(id)).unwrap();
            let () = sessions.sadd(format!("seen:{}", id % 7), id).unwrap();
            let () = sessions.zadd("top", id, f64::from(id) / 7.0).unwrap();
            let () = queue.rpush(format!("jobs:{}", id % 3), session).unwrap();
            let () = redis::cmd("XADD").arg("log").arg(&["*", "job"]).arg(id).query(&mut queue).unwrap();
        }
        db.commit().unwrap();
        let () = redis::cmd("XGROUP").arg(&["CREATE", "log", "workers", "0"]).query(&mut queue).unwrap();
        kiosk
    }

    fn nothing(folder: &Path, server: &Arc<RedisServer>) -> Self {
        let mut taken = server.connection(0);
        let free = |number: &u64| taken.sadd(TAKEN, number).unwrap_or(0) == 1;
        let number: u64 = (0..).find(free).unwrap();
        let place = Place { socket: server.socket(), sessions: 1 + 2 * number, queue: 2 + 2 * number };
        Self::note(folder, &place);
        Self { folder: folder.to_owned(), place, server: Some(server.clone()) }
    }
}

impl Placed for Kiosk {
    type Place = Place;
    const FILE: &'static str = "kiosk.json";

    fn placed(folder: &Path, place: Place) -> Self {
        Self { folder: folder.to_owned(), place, server: None }
    }
}

impl Application for Kiosk {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn set_watched(&self, faults: &[&Arc<Faulty>], coherence: Coherence) -> BackupSet {
        let watched = |driver| faults.iter().fold(driver, |driver, faults| watch(driver, faults));
        let uploads = watched(driver::<FilesystemConfig>(&self.folder, "uploads"));
        let db = watched(driver::<SqliteConfig>(&self.folder, "kiosk.db"));
        let sessions = NodeBuilder::new("sessions")
            .driver(watched(self.redis(self.place.sessions)))
            .refers_to("db", json!({ "pattern": "session:*", "field": "customer" }), Some("customer.id"))
            .refers_to(
                "uploads",
                json!({ "pattern": "session:*", "field": "image", "digest": "sha256" }),
                None,
            );
        let queue = NodeBuilder::new("queue").driver(watched(self.redis(self.place.queue))).refers_to(
            "sessions",
            json!({ "pattern": "jobs:*", "members": true }),
            None,
        );
        BackupSet::builder("shop")
            .base(&self.folder)
            .coherence(coherence)
            .node(NodeBuilder::new("uploads").driver(uploads))
            .node(NodeBuilder::new("db").driver(db))
            .node(sessions)
            .node(queue)
            .build()
            .unwrap()
    }

    fn state(&self) -> State {
        let mut state = BTreeMap::new();
        read_keys(&mut self.sessions(), "sessions", &mut state);
        read_keys(&mut self.queue(), "queue", &mut state);
        if self.folder.join("kiosk.db").exists() {
            read_database(&self.db(), "kiosk.db", &mut state);
        }
        read_folder(&self.folder, "uploads", &mut state);
        State(state)
    }

    fn leftovers(&self) -> Vec<String> {
        let mut left =
            left_in(&self.folder, &["kiosk.db", "kiosk.db-wal", "kiosk.db-shm", "uploads", Self::FILE]);
        left.extend(self.foreign_keys());
        left.extend(self.connections());
        left
    }

    fn spoil(&self) {
        let (mut sessions, mut queue) = (self.sessions(), self.queue());
        let () = sessions.del(&["session:1", "session:2", "top"]).unwrap();
        let () = sessions.hset("session:3", "customer", "oops").unwrap();
        let () = sessions.set("oops", "new").unwrap();
        let () = redis::cmd("FLUSHDB").query(&mut queue).unwrap();
        let () = queue.set("jobs:0", "of another type").unwrap();
        self.db()
            .execute_batch("UPDATE customer SET name = 'oops'; DELETE FROM customer WHERE id = 2")
            .unwrap();
        fs::remove_file(self.folder.join("uploads/1.jpg")).unwrap();
        fs::write(self.folder.join("uploads/new.jpg"), "extra").unwrap();
    }

    fn copy(&self, to: &Path) -> Self {
        copy_folder(&self.folder, to);
        let copy = Self::nothing(to, self.server());
        copy_keys(&mut self.sessions(), copy.place.sessions);
        copy_keys(&mut self.queue(), copy.place.queue);
        copy
    }

    fn remove(&self) {
        for mut connection in [self.sessions(), self.queue()] {
            let () = redis::cmd("FLUSHDB").query(&mut connection).unwrap();
        }
        let () = self.server().connection(0).srem(TAKEN, (self.place.sessions - 1) / 2).unwrap();
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

const SCHEMA: &str = "PRAGMA journal_mode = WAL;
    CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL);";
