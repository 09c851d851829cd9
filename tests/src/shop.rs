//! The application that the tests dump and restore.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore::{BackupSet, Coherence, Driver, DriverConfig, NodeBuilder, NodePath};
use dumprestore_filesystem::FilesystemConfig;
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::Faulty;
use rusqlite::Connection;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{Application, watch};

/// An application in a folder: `shop.db`, whose products refer to files in `uploads`; `crm.db`, whose accounts refer
/// to customers in `shop.db`; and `exports`, which nothing refers to.
pub struct Shop {
    folder: PathBuf,
}

/// Everything a shop remembers, in a form to compare.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct State(pub(crate) BTreeMap<String, String>);

impl Shop {
    /// A shop in `folder`, as it lies there.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// A new shop with that many products, each with a file.
    pub fn create(folder: &Path, products: u32) -> Self {
        let shop = Self::at(folder);
        for folder in ["uploads", "exports/2026"] {
            fs::create_dir_all(shop.folder.join(folder)).unwrap();
        }
        shop.db().execute_batch(SHOP_SCHEMA).unwrap();
        shop.crm().execute_batch(CRM_SCHEMA).unwrap();
        let mut db = shop.db();
        let mut crm = shop.crm();
        let (sales, accounts) = (db.transaction().unwrap(), crm.transaction().unwrap());
        for id in 0..products {
            let image = format!("{:02}/{id}.jpg", id % 16);
            let digest = shop.upload(&image, format!("image {id} ").repeat(40).as_bytes());
            sales.execute("INSERT INTO product VALUES (?, ?, ?)", (id, &image, digest)).unwrap();
            sales.execute("INSERT INTO customer VALUES (?, ?)", (id, format!("customer {id}"))).unwrap();
            accounts.execute("INSERT INTO account (customer) VALUES (?)", [id]).unwrap();
        }
        sales.commit().unwrap();
        accounts.commit().unwrap();
        fs::write(shop.folder.join("exports/2026/all.csv"), "id;name\n".repeat(5000)).unwrap();
        shop
    }

    /// A connection to the database of products.
    pub fn db(&self) -> Connection {
        open(&self.folder.join("shop.db"))
    }

    /// A connection to the database of accounts.
    pub fn crm(&self) -> Connection {
        open(&self.folder.join("crm.db"))
    }

    /// Puts a file into `uploads`; gives its SHA-256.
    pub fn upload(&self, name: &str, content: &[u8]) -> String {
        let path = self.folder.join("uploads").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        hex::encode(Sha256::digest(content))
    }
}

impl Application for Shop {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn set_watched(&self, faults: &[&Arc<Faulty>], coherence: Coherence) -> BackupSet {
        let watched = |driver| faults.iter().fold(driver, |driver, faults| watch(driver, faults));
        let sqlite = |file: &str| watched(driver::<SqliteConfig>(&self.folder, file));
        let folder = |name: &str| watched(driver::<FilesystemConfig>(&self.folder, name));
        BackupSet::builder("shop")
            .base(&self.folder)
            .coherence(coherence)
            .node(NodeBuilder::new("exports").driver(folder("exports")))
            .node(NodeBuilder::new("uploads").driver(folder("uploads")))
            .node(NodeBuilder::new("db").driver(sqlite("shop.db")).refers_to(
                "uploads",
                "SELECT image, sha256 FROM product",
                None,
            ))
            .node(NodeBuilder::new("crm").driver(sqlite("crm.db")).refers_to(
                "db",
                "SELECT customer FROM account",
                Some("customer.id"),
            ))
            .build()
            .unwrap()
    }

    fn state(&self) -> State {
        let mut state = BTreeMap::new();
        for name in ["shop.db", "crm.db"] {
            if self.folder.join(name).exists() {
                read_database(&open(&self.folder.join(name)), name, &mut state);
            }
        }
        for name in ["uploads", "exports"] {
            read_folder(&self.folder, name, &mut state);
        }
        State(state)
    }

    fn leftovers(&self) -> Vec<String> {
        let ours = [
            "shop.db",
            "shop.db-wal",
            "shop.db-shm",
            "crm.db",
            "crm.db-wal",
            "crm.db-shm",
            "uploads",
            "exports",
        ];
        left_in(&self.folder, &ours)
    }

    fn spoil(&self) {
        self.db()
            .execute_batch("DELETE FROM product WHERE id % 2 = 0; UPDATE customer SET name = 'oops'")
            .unwrap();
        self.crm().execute_batch("DROP TABLE account").unwrap();
        fs::remove_dir_all(self.folder.join("uploads/01")).unwrap();
        fs::write(self.folder.join("uploads/00/0.jpg"), "spoilt").unwrap();
        fs::write(self.folder.join("uploads/new.jpg"), "extra").unwrap();
        fs::write(self.folder.join("exports/2026/all.csv"), "").unwrap();
    }

    fn copy(&self, to: &Path) -> Self {
        copy_folder(&self.folder, to);
        Self::at(to)
    }

    fn remove(&self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Copies an application's folder, without what runs remember of it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
    let _ = fs::remove_dir_all(to.join(".dumprestore"));
}

/// What lies in an application's folder that is not its own.
pub(crate) fn left_in(folder: &Path, ours: &[&str]) -> Vec<String> {
    let mut left = list(folder);
    left.retain(|name| !ours.contains(&name.as_str()) && name != ".dumprestore");
    let mut state = list(&folder.join(".dumprestore"));
    state.retain(|name| name != "shop.lock");
    left.extend(state.into_iter().map(|name| format!(".dumprestore/{name}")));
    left
}

fn list(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

pub(crate) fn driver<C: DriverConfig>(folder: &Path, path: &str) -> Arc<dyn Driver> {
    let config: C = serde_json::from_value(json!({ "path": path })).unwrap();
    config.build(&dumprestore::driver::BuildContext::new(NodePath::new("node").unwrap(), folder)).unwrap()
}

pub(crate) fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    connection
}

pub(crate) fn read_database(db: &Connection, name: &str, state: &mut BTreeMap<String, String>) {
    let mut tables =
        db.prepare("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").unwrap();
    let tables: Vec<(String, String)> =
        tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    for (table, sql) in tables {
        let mut rows = db.prepare(&format!("SELECT * FROM \"{table}\" ORDER BY 1")).unwrap();
        let columns = rows.column_count();
        let rows = rows.query_map([], |row| {
            (0..columns)
                .map(|at| row.get_ref(at).map(|value| format!("{value:?}")))
                .collect::<rusqlite::Result<Vec<_>>>()
        });
        let rows: Vec<_> = rows.unwrap().map(|row| row.unwrap().join(",")).collect();
        let digest = hex::encode(Sha256::digest(rows.join("\n")));
        state.insert(format!("{name}/{table}"), format!("{sql}: {} rows, {digest}", rows.len()));
    }
}

pub(crate) fn read_folder(base: &Path, name: &str, state: &mut BTreeMap<String, String>) {
    if !base.join(name).exists() {
        return;
    }
    for entry in walkdir::WalkDir::new(base.join(name)) {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        let content = if meta.is_file() {
            hex::encode(Sha256::digest(fs::read(entry.path()).unwrap()))
        } else {
            String::new()
        };
        let path = entry.path().strip_prefix(base).unwrap().display().to_string();
        let told = format!("{:o} {}.{:09} {content}", meta.mode(), meta.mtime(), meta.mtime_nsec());
        state.insert(path, told);
    }
}

const SHOP_SCHEMA: &str = "PRAGMA journal_mode = WAL;
    CREATE TABLE product (id INTEGER PRIMARY KEY, image TEXT NOT NULL, sha256 TEXT);
    CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL);";

const CRM_SCHEMA: &str = "PRAGMA journal_mode = WAL;
    CREATE TABLE account (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL);";
