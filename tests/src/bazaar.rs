//! The application of the tests with MySQL and MariaDB.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dumprestore::{BackupSet, Coherence, Driver, DriverConfig, NodeBuilder, NodePath};
use dumprestore_filesystem::FilesystemConfig;
use dumprestore_mysql::MysqlConfig;
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::{Faulty, MysqlServer, MysqlVersion};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::{self, Client};
use crate::shop::{copy_folder, driver, left_in, open, read_database, read_folder};
use crate::{Application, Placed, Served, State, Traded, goods, watch};

/// How long the server may take to see that sessions have ended whose process is gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// An application with two MySQL databases, a SQLite database and a folder: as a [`Market`](crate::Market).
pub struct Bazaar {
    folder: PathBuf,
    place: Place,
    server: Option<Arc<MysqlServer>>,
}

/// Where its databases are.
#[derive(Clone, Serialize, Deserialize)]
pub struct Place {
    socket: PathBuf,
    /// What its databases' names end with.
    name: String,
}

const DATABASES: [&str; 2] = ["db", "crm"];
/// Whose sessions are those of runs, and of nobody else.
const LOGIN: &str = "dumper";

impl Bazaar {
    /// What one of its databases is called: `db` or `crm`.
    pub fn name(&self, database: &str) -> String {
        format!("{database} of {}", self.place.name)
    }

    /// Its server.
    ///
    /// # Panics
    /// In a process of its own.
    pub fn server(&self) -> &Arc<MysqlServer> {
        self.server.as_ref().unwrap()
    }

    fn mysql(&self, database: &str) -> Arc<dyn Driver> {
        let escaped = |text: &str| text.replace(' ', "%20").replace('/', "%2F");
        let socket = escaped(&self.place.socket.display().to_string());
        let url = format!("mysql://{LOGIN}@localhost/{}?socket={socket}", escaped(&self.name(database)));
        let config: MysqlConfig = serde_json::from_value(json!({ "url": url })).unwrap();
        let cx = dumprestore::driver::BuildContext::new(NodePath::new("node").unwrap(), &self.folder);
        config.build(&cx).unwrap()
    }

    /// The databases of the server that are neither its own, nor those of another one.
    fn foreign_databases(&self) -> Vec<String> {
        let asked = "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN \
            ('mysql', 'sys', 'information_schema', 'performance_schema') \
            AND schema_name NOT REGEXP '^(db|crm) of [a-z0-9-]+$'";
        let rows = self.server().rows("", asked);
        rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
    }

    /// Sessions of runs, once they have had the time to end.
    fn sessions(&self) -> Vec<String> {
        let asked = format!(
            "SELECT CONCAT_WS(' ', id, command, state, info) FROM information_schema.processlist WHERE user = '{LOGIN}'"
        );
        let until = Instant::now() + PATIENCE;
        loop {
            let rows = self.server().rows("", &asked);
            if rows.is_empty() || Instant::now() > until {
                return rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn client_program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("--no-defaults").arg("--socket").arg(&self.place.socket).args(["--user", "root"]);
        command
    }

    /// Copies a database with the server's own programs.
    fn copy_database(&self, from: &str, to: &str) {
        self.server().batch("", &format!("CREATE DATABASE `{to}`"));
        let mut dumping = self.client_program("mariadb-dump");
        dumping.args(["--routines", "--events", "--triggers", "--single-transaction", "--", from]);
        let mut dumping = dumping.stdout(Stdio::piped()).spawn().unwrap();
        let mut loading = self.client_program("mariadb");
        let loaded = loading.arg(to).stdin(dumping.stdout.take().unwrap()).status().unwrap();
        assert!(dumping.wait().unwrap().success() && loaded.success(), "`{from}` can't be copied");
    }
}

impl Served for Bazaar {
    type Server = MysqlServer;
    const FEW: u64 = 5;
    const SOONER: u32 = 3;

    fn server() -> Arc<MysqlServer> {
        Arc::new(MysqlServer::start(MysqlVersion::Mariadb10_11))
    }

    fn create(folder: &Path, server: &Arc<MysqlServer>, products: u32) -> Self {
        let bazaar = Self::nothing(folder, server);
        for name in DATABASES {
            server.batch("", &format!("CREATE DATABASE `{}`", bazaar.name(name)));
        }
        goods::fill(&bazaar, products);
        bazaar
    }

    fn nothing(folder: &Path, server: &Arc<MysqlServer>) -> Self {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        server.batch("", &format!("CREATE USER IF NOT EXISTS {LOGIN}@localhost"));
        server.batch("", &format!("GRANT ALL ON *.* TO {LOGIN}@localhost"));
        let place = Place { socket: server.socket(), name };
        Self::note(folder, &place);
        Self { folder: folder.to_owned(), place, server: Some(server.clone()) }
    }
}

impl Placed for Bazaar {
    type Place = Place;
    const FILE: &'static str = "bazaar.json";

    fn placed(folder: &Path, place: Place) -> Self {
        Self { folder: folder.to_owned(), place, server: None }
    }
}

impl Application for Bazaar {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn set_watched(&self, faults: &[&Arc<Faulty>], coherence: Coherence) -> BackupSet {
        let watched = |driver| faults.iter().fold(driver, |driver, faults| watch(driver, faults));
        let customers = |node: NodeBuilder, keys: &str| node.refers_to("db", keys, Some("customer.id"));
        let till = NodeBuilder::new("till").driver(watched(driver::<SqliteConfig>(&self.folder, "till.db")));
        let crm = NodeBuilder::new("crm").driver(watched(self.mysql("crm")));
        let uploads = watched(driver::<FilesystemConfig>(&self.folder, "uploads"));
        BackupSet::builder("shop")
            .base(&self.folder)
            .coherence(coherence)
            .node(NodeBuilder::new("uploads").driver(uploads))
            .node(NodeBuilder::new("db").driver(watched(self.mysql("db"))).refers_to(
                "uploads",
                "SELECT image, sha256 FROM product",
                None,
            ))
            .node(customers(crm, "SELECT customer FROM account"))
            .node(customers(till, "SELECT customer FROM sale"))
            .build()
            .unwrap()
    }

    fn state(&self) -> State {
        let mut state = BTreeMap::new();
        for name in DATABASES {
            goods::read(self.server(), &self.name(name), name, &mut state);
        }
        if self.folder.join("till.db").exists() {
            read_database(&self.till(), "till.db", &mut state);
        }
        read_folder(&self.folder, "uploads", &mut state);
        State(state)
    }

    fn leftovers(&self) -> Vec<String> {
        let ours = ["till.db", "till.db-wal", "till.db-shm", "uploads", Self::FILE];
        let mut left = left_in(&self.folder, &ours);
        left.extend(self.foreign_databases());
        left.extend(self.sessions());
        left
    }

    fn spoil(&self) {
        goods::spoil(self);
    }

    fn copy(&self, to: &Path) -> Self {
        copy_folder(&self.folder, to);
        let copy = Self::nothing(to, self.server());
        for name in DATABASES {
            self.copy_database(&self.name(name), &copy.name(name));
        }
        copy
    }

    fn remove(&self) {
        for name in DATABASES {
            self.server().drop_database(&self.name(name));
        }
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

impl Traded for Bazaar {
    fn client(&self, database: &str) -> Box<dyn Client> {
        client::of_mysql(self.server(), &self.name(database))
    }

    fn rows(&self, database: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        self.server().rows(&self.name(database), sql)
    }

    fn till(&self) -> rusqlite::Connection {
        open(&self.folder.join("till.db"))
    }

    fn nothing_beside(&self, folder: &Path) -> Self {
        Self::nothing(folder, self.server())
    }

    fn an_account(&self) -> &'static str {
        "SELECT id FROM account WHERE customer > 10 ORDER BY id DESC LIMIT 1 OFFSET ?"
    }
}
