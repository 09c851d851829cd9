//! Databases to dump and restore, and the content of a database as text.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its share; a fixture that fails ends the test"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use dumprestore_testkit::Seed;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// A connection as an application would make it.
pub fn connect(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.busy_timeout(Duration::from_secs(20)).unwrap();
    conn
}

/// How a database keeps its transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    Wal,
    Delete,
}

impl Journal {
    pub const BOTH: [Self; 2] = [Self::Wal, Self::Delete];

    pub fn set(self, conn: &Connection) {
        let mode = if self == Journal::Wal { "WAL" } else { "DELETE" };
        conn.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(())).unwrap();
    }
}

pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = std::fs::remove_file(with_suffix(path, suffix));
    }
}

/// Replaces the database by one with the content of `seed`.
pub fn seed(path: &Path, journal: Journal, seed: Seed) {
    remove(path);
    let conn = connect(path);
    let page_size = match seed {
        Seed::Hostile => 1024,
        Seed::Large => 8192,
        _ => 4096,
    };
    conn.pragma_update(None, "page_size", page_size).unwrap();
    if seed == Seed::Hostile {
        conn.pragma_update(None, "auto_vacuum", 2).unwrap();
    }
    journal.set(&conn);
    match seed {
        Seed::Empty => {}
        Seed::Ordinary => ordinary(&conn),
        Seed::Hostile => hostile(&conn),
        Seed::Large => large(&conn),
    }
}

fn ordinary(conn: &Connection) {
    conn.execute_batch(
        "PRAGMA user_version = 7; PRAGMA application_id = 1234;
         BEGIN;
         CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
         CREATE TABLE product (sku TEXT PRIMARY KEY, image TEXT, sha256 TEXT, owner INTEGER REFERENCES customer (id))
             WITHOUT ROWID;
         CREATE TABLE note (text);
         CREATE INDEX product_owner ON product (owner);
         CREATE VIEW owned AS SELECT name, sku FROM customer JOIN product ON owner = customer.id;
         CREATE TABLE log (at INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);
         CREATE TRIGGER logged AFTER INSERT ON customer BEGIN INSERT INTO log (what) VALUES (new.name); END;
         CREATE VIRTUAL TABLE search USING fts5 (body);
         INSERT INTO search (body) VALUES ('to be found'), ('to be lost');
         INSERT INTO note VALUES ('a'), (NULL), (x'00ff'), (1.5), (9007199254740993);
         DELETE FROM note WHERE text = 'a';",
    )
    .unwrap();
    for id in 1..=100 {
        conn.execute("INSERT INTO customer VALUES (?1, ?2)", (id, format!("customer {id}"))).unwrap();
        let (image, digest) = (format!("img/{id}.png"), format!("{id:064x}"));
        conn.execute("INSERT INTO product VALUES (?1, ?2, ?3, ?4)", (format!("sku-{id}"), image, digest, id))
            .unwrap();
    }
    conn.execute_batch("COMMIT").unwrap();
}

fn hostile(conn: &Connection) {
    conn.execute_batch(
        "PRAGMA user_version = -1; PRAGMA application_id = -2147483648;
         CREATE TABLE \"we \"\"ird; -- ' .name \" (\"a.b\" TEXT, \"select\" BLOB, \"\" REAL);
         CREATE TABLE \"\u{202e}\u{1f980}\" (x);
         CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE broken (child REFERENCES customer (id));
         INSERT INTO \"we \"\"ird; -- ' .name \" VALUES ('', x'', -0.0), (char(0) || 'after nul', x'00', 9e999);
         INSERT INTO \"\u{202e}\u{1f980}\" VALUES (-9223372036854775808), (CAST(x'ff80' AS TEXT));
         PRAGMA foreign_keys = OFF;
         INSERT INTO broken VALUES (404), (405);
         INSERT INTO customer SELECT value, 'customer ' || value FROM generate_series(1, 300);",
    )
    .or_else(|_| {
        conn.execute_batch(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO broken VALUES (404), (405);
             WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 300)
             INSERT INTO customer SELECT value, 'customer ' || value FROM n;",
        )
    })
    .unwrap();
}

fn large(conn: &Connection) {
    conn.execute_batch(
        "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, photo BLOB);
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 4000)
         INSERT INTO customer SELECT value, 'customer ' || value, randomblob(2000) FROM n;",
    )
    .unwrap();
}

/// Changes a bit of everything.
pub fn mutate(path: &Path) {
    let conn = connect(path);
    conn.execute_batch("CREATE TABLE IF NOT EXISTS customer (id INTEGER PRIMARY KEY, name TEXT)").unwrap();
    conn.execute_batch(
        "PRAGMA foreign_keys = OFF;
         BEGIN IMMEDIATE;
         DELETE FROM customer WHERE id = (SELECT min(id) FROM customer);
         UPDATE customer SET name = name || '!' WHERE id % 3 = 0;
         INSERT INTO customer (name) VALUES ('new ' || random());
         COMMIT",
    )
    .unwrap();
}

/// All that a user would call the content: definitions, rows with their numbers, and the settings in the header.
pub fn fingerprint(path: &Path) -> String {
    if !path.exists() {
        return "(nothing)".into();
    }
    let conn = connect(path);
    let mut text = String::new();
    for pragma in ["user_version", "application_id", "encoding", "auto_vacuum"] {
        let value: String =
            conn.pragma_query_value(None, pragma, |row| Ok(format!("{:?}", row.get_ref(0)?))).unwrap();
        text.push_str(&format!("{pragma} = {value}\n"));
    }
    let mut schema = conn
        .prepare("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name")
        .unwrap();
    let mut rows = schema.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (kind, name): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        text.push_str(&format!("{kind} {name}: {}\n", row.get::<_, String>(3).unwrap()));
        if kind == "table" {
            text.push_str(&rows_of(&conn, &name));
        }
    }
    text
}

fn rows_of(conn: &Connection, table: &str) -> String {
    let table = table.replace('"', "\"\"");
    let with_number = format!("SELECT rowid, * FROM \"{table}\" ORDER BY 1");
    let Ok(mut statement) = conn
        .prepare(&with_number)
        .or_else(|_| conn.prepare(&format!("SELECT * FROM \"{table}\" ORDER BY 1")))
    else {
        return String::new();
    };
    let columns = statement.column_count();
    let mut text = String::new();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        for column in 0..columns {
            match row.get_ref(column).unwrap() {
                ValueRef::Text(bytes) => text.push_str(&format!("'{}'", bytes.escape_ascii())),
                ValueRef::Blob(bytes) => text.push_str(&format!("x'{}'", bytes.escape_ascii())),
                other => text.push_str(&format!("{other:?}")),
            }
            text.push('|');
        }
        text.push('\n');
    }
    text
}

pub mod archived;
pub mod child;
pub mod runs;
