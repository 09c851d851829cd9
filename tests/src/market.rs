//! The application of the tests with PostgreSQL.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dumprestore::{BackupSet, Coherence, Driver, DriverConfig, NodeBuilder, NodePath};
use dumprestore_filesystem::FilesystemConfig;
use dumprestore_postgres::PostgresConfig;
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::{Faulty, PostgresServer, PostgresVersion};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::{self, Client};
use crate::shop::{copy_folder, driver, left_in, open, read_database, read_folder};
use crate::{Application, Placed, Served, State, Traded, stock, watch};

/// How long the server may take to see that sessions have ended whose process is gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// An application with two PostgreSQL databases, a SQLite database and a folder: `db`, whose products refer to files in
/// `uploads`; `crm`, whose accounts refer to customers in `db`; and `till`, whose sales do as well.
pub struct Market {
    folder: PathBuf,
    place: Place,
    server: Option<Arc<PostgresServer>>,
}

/// Where its databases are.
#[derive(Clone, Serialize, Deserialize)]
pub struct Place {
    /// The URL of the server, up to the name of a database.
    server: String,
    pg_dump: PathBuf,
    /// What its databases' names end with.
    name: String,
}

const DATABASES: [&str; 2] = ["db", "crm"];

impl Market {
    /// What one of its databases is called: `db` or `crm`.
    pub fn name(&self, database: &str) -> String {
        format!("{database} of {}", self.place.name)
    }

    /// Its server.
    ///
    /// # Panics
    /// In a process of its own.
    pub fn server(&self) -> &Arc<PostgresServer> {
        self.server.as_ref().unwrap()
    }

    /// The SQLite database.
    pub fn till(&self) -> rusqlite::Connection {
        open(&self.folder.join("till.db"))
    }

    fn postgres(&self, database: &str) -> Arc<dyn Driver> {
        let url = format!("{}{}", self.place.server, self.name(database).replace(' ', "%20"));
        let options = json!({ "url": url, "pg_dump": self.place.pg_dump });
        let config: PostgresConfig = serde_json::from_value(options).unwrap();
        let cx = dumprestore::driver::BuildContext::new(NodePath::new("node").unwrap(), &self.folder);
        config.build(&cx).unwrap()
    }

    /// The databases of the server that are neither its own, nor those of another one.
    fn foreign_databases(&self) -> Vec<String> {
        let asked = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' \
            AND datname !~ '^(db|crm) of [a-z0-9-]+$'";
        let rows = self.server().rows("postgres", asked);
        rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
    }

    /// What runs may leave at a server beside databases.
    fn left_at_server(&self) -> Vec<String> {
        let asked = "SELECT 'session ' || application_name || ': ' || state FROM pg_stat_activity \
                WHERE application_name ~ 'dumprestore|pg_dump' \
            UNION ALL SELECT 'advisory lock' FROM pg_locks WHERE locktype = 'advisory' \
            UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts \
            UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots \
            UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres'";
        let until = Instant::now() + PATIENCE;
        loop {
            let rows = self.server().rows("postgres", asked);
            if rows.is_empty() || Instant::now() > until {
                return rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Served for Market {
    type Server = PostgresServer;
    const FEW: u64 = 5;
    const SOONER: u32 = 3;

    fn server() -> Arc<PostgresServer> {
        Arc::new(PostgresServer::start(PostgresVersion::V15))
    }

    fn create(folder: &Path, server: &Arc<PostgresServer>, products: u32) -> Self {
        let market = Self::nothing(folder, server);
        for name in DATABASES {
            server
                .batch("postgres", &format!("CREATE DATABASE \"{}\" CONNECTION LIMIT 55", market.name(name)));
        }
        stock::fill(&market, products);
        market
    }

    fn nothing(folder: &Path, server: &Arc<PostgresServer>) -> Self {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let pg_dump = server.programs().path("pg_dump").unwrap();
        let place = Place { server: server.socket_url(""), pg_dump, name };
        Self::note(folder, &place);
        Self { folder: folder.to_owned(), place, server: Some(server.clone()) }
    }
}

impl Placed for Market {
    type Place = Place;
    const FILE: &'static str = "place.json";

    fn placed(folder: &Path, place: Place) -> Self {
        Self { folder: folder.to_owned(), place, server: None }
    }
}

impl Application for Market {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn set_watched(&self, faults: &[&Arc<Faulty>], coherence: Coherence) -> BackupSet {
        let watched = |driver| faults.iter().fold(driver, |driver, faults| watch(driver, faults));
        let customers = |node: NodeBuilder, keys: &str| node.refers_to("db", keys, Some("customer.id"));
        let till = NodeBuilder::new("till").driver(watched(driver::<SqliteConfig>(&self.folder, "till.db")));
        let crm = NodeBuilder::new("crm").driver(watched(self.postgres("crm")));
        BackupSet::builder("shop")
            .base(&self.folder)
            .coherence(coherence)
            .node(
                NodeBuilder::new("uploads")
                    .driver(watched(driver::<FilesystemConfig>(&self.folder, "uploads"))),
            )
            .node(NodeBuilder::new("db").driver(watched(self.postgres("db"))).refers_to(
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
            stock::read(self.server(), &self.name(name), name, &mut state);
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
        left.extend(self.left_at_server());
        left
    }

    fn spoil(&self) {
        stock::spoil(self);
    }

    fn copy(&self, to: &Path) -> Self {
        copy_folder(&self.folder, to);
        let copy = Self::nothing(to, self.server());
        for name in DATABASES {
            let (from, to) = (self.name(name), copy.name(name));
            self.server().batch("postgres", &format!("CREATE DATABASE \"{to}\" TEMPLATE \"{from}\""));
            stock::describe(self.server(), &to, name);
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

impl Traded for Market {
    fn client(&self, database: &str) -> Box<dyn Client> {
        client::of_postgres(self.server(), &self.name(database))
    }

    fn rows(&self, database: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        self.server().rows(&self.name(database), sql)
    }

    fn till(&self) -> rusqlite::Connection {
        Self::till(self)
    }

    fn nothing_beside(&self, folder: &Path) -> Self {
        Self::nothing(folder, self.server())
    }

    fn an_account(&self) -> &'static str {
        "SELECT id FROM account WHERE customer > 10 ORDER BY id DESC LIMIT 1 OFFSET ?"
    }
}
