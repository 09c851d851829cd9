//! Restores of an archive that is written by hand.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use dumprestore_driver::{BuildContext, Digest, Facts, NodePath, OldState, Staging};
use dumprestore_testkit::{PostgresServer, PostgresVersion};
use serde_json::{Value, json};

use super::*;
use crate::PostgresConfig;

mod early;
mod failover;
mod faults;
mod left;
mod plan;
mod swapping;

struct Archive {
    path: NodePath,
    facts: Facts,
    parts: BTreeMap<String, (Vec<u8>, Option<u64>)>,
}

impl ArchivedNode for Archive {
    fn path(&self) -> &NodePath {
        &self.path
    }
    fn kind(&self) -> &str {
        "postgres"
    }
    fn format(&self) -> u32 {
        1
    }
    fn facts(&self) -> &Facts {
        &self.facts
    }
    fn parts(&self) -> Box<dyn Iterator<Item = ArchivedPart> + Send + '_> {
        Box::new(self.parts.iter().map(|(name, (content, rows))| {
            ArchivedPart::new(PartName::new(name).unwrap(), content.len() as u64, Digest::new([0; 32]))
                .with_rows(*rows)
        }))
    }
    fn read(&self, name: &PartName) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.parts[name.as_str()].0.clone())))
    }
}

fn item(id: i32, section: &str, kind: &str, name: &str, sql: &str, needs: &[i32]) -> Value {
    json!({ "id": id, "section": section, "kind": kind, "schema": "s", "name": name, "sql": sql, "needs": needs,
        "owner": "postgres" })
}

fn contents() -> Value {
    json!({
        "origin": { "server_version": 150_000, "pg_dump": "15.0" },
        "database": { "name": "shop", "owner": "postgres", "encoding": "UTF8", "collate": "C", "ctype": "C",
            "locale_provider": "libc", "connection_limit": -1, "is_template": false, "comment": "it's",
            "settings": [{ "name": "work_mem", "value": "5MB" }], "acl": ["=c/postgres", "postgres=CTc/postgres"] },
        "items": [
            item(1, "pre-data", "SCHEMA", "s", "CREATE SCHEMA s;", &[]),
            item(2, "pre-data", "TABLE", "t", "CREATE TABLE s.t (a integer NOT NULL, b text);", &[1]),
            item(3, "pre-data", "TABLE", "u", "CREATE TABLE s.u (a integer);", &[1]),
            item(4, "post-data", "CONSTRAINT", "t t_pkey", "ALTER TABLE ONLY s.t ADD PRIMARY KEY (a);", &[2]),
            item(5, "post-data", "INDEX", "u_a", "CREATE INDEX u_a ON s.u (a);", &[3]),
            item(6, "post-data", "FK CONSTRAINT", "u u_fk", "ALTER TABLE ONLY s.u ADD FOREIGN KEY (a) REFERENCES s.t (a);", &[2, 3, 4]),
            item(7, "pre-data", "SEQUENCE", "q", "CREATE SEQUENCE s.q;", &[1]),
        ],
        "tables": [
            { "schema": "s", "name": "t", "columns": ["a", "b"], "parts": ["data/s/t/0001"] },
            { "schema": "s", "name": "u", "columns": ["a"], "parts": ["data/s/u/0001"] },
        ],
        "sequences": [{ "schema": "s", "name": "q", "last_value": 7, "is_called": true }],
        "matviews": [], "schemas": ["s"], "whole": true,
    })
}

fn archive(contents: &Value) -> Arc<Archive> {
    let part = |text: &[u8], rows| (text.to_vec(), rows);
    let parts = [
        ("contents.json", part(contents.to_string().as_bytes(), None)),
        ("data/s/t/0001", part(b"1\tone\n2\t\\N\n", Some(2))),
        ("data/s/u/0001", part(b"1\n1\n2\n", Some(3))),
    ];
    let parts = parts.into_iter().map(|(name, part)| (name.to_owned(), part)).collect();
    Arc::new(Archive { path: NodePath::new("db").unwrap(), facts: Facts::new(), parts })
}

fn setup(server: &PostgresServer, database: &str) -> Setup {
    let cx = BuildContext::new(NodePath::new("db").unwrap(), "/");
    PostgresConfig::new(server.url(database)).setup(&cx).unwrap()
}

async fn load(restore: &mut Restore, archive: &Archive) {
    restore.begin().await.unwrap();
    load_parts(restore, archive).await;
    restore.prepare().await.unwrap();
}

async fn load_parts(restore: &Restore, archive: &Archive) {
    for part in archive.parts().filter(|part| restore.wants(part)) {
        let mut from = archive.read(&part.name).unwrap();
        Staging::load(restore, &part, &mut PartReader::new(&mut *from)).await.unwrap();
    }
}

fn run() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("run-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// All rows and tables, as one text.
fn state(server: &PostgresServer, database: &str) -> String {
    let tables = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class c JOIN pg_namespace n \
        ON n.oid = relnamespace WHERE relkind = 'r' AND nspname IN ('public', 's')";
    server.value(database, tables)
}

/// Databases beside the live one.
fn beside(server: &PostgresServer, database: &str) -> String {
    let left = "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname LIKE";
    server.value("postgres", &format!("{left} '{database}.%'"))
}

/// A live database with a table of its own.
fn live(server: &PostgresServer) -> String {
    let database = server.create_database();
    server.batch(&database, "CREATE TABLE public.old (x integer); INSERT INTO old VALUES (1)");
    database
}

async fn staged(setup: &Setup, archive: &Arc<Archive>) -> Restore {
    let mut restore = Restore::of_archive(setup, archive.clone(), StageContext::new(run())).await.unwrap();
    load(&mut restore, archive).await;
    restore
}
