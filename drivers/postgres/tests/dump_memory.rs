//! Memory does not grow with the database; alone in its program, for the peak is that of the process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod dump_support;

use std::io::Read;

use dump_support::{config, dump_part, pinned};
use dumprestore_driver::{
    ArchivedNode, ArchivedPart, Digest, DriverConfig, Facts, NodePath, Part, PartName, Result, Selection,
};
use dumprestore_postgres::PostgresConfig;
use dumprestore_testkit::{PostgresServer, PostgresVersion};
use futures_util::TryStreamExt;

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

async fn dump_to_nowhere(server: &PostgresServer) -> u64 {
    let mut source = pinned(config(&server.url("postgres"))).await;
    let parts: Vec<Part> = source.parts().await.unwrap().try_collect().await.unwrap();
    let mut bytes = 0;
    for part in &parts {
        bytes += dump_part(&*source, part, false).await.unwrap().0.size;
    }
    source.release().await.unwrap();
    bytes
}

/// The same, again and again.
struct Again {
    piece: Vec<u8>,
    at: usize,
}

impl Read for Again {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = (&self.piece[self.at..]).read(buffer)?;
        self.at = (self.at + read) % self.piece.len();
        Ok(read)
    }
}

/// A table of so many bytes, and a large object of as many.
struct Huge {
    path: NodePath,
    bytes: u64,
}

impl ArchivedNode for Huge {
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
        unreachable!("a script tells no facts")
    }
    fn parts(&self) -> Box<dyn Iterator<Item = ArchivedPart> + Send + '_> {
        let names = ["contents.json", "data/s/t/0001", "large_objects/0001"];
        Box::new(
            names.into_iter().map(|name| {
                ArchivedPart::new(PartName::new(name).unwrap(), self.bytes, Digest::new([0; 32]))
            }),
        )
    }
    fn read(&self, name: &PartName) -> Result<Box<dyn Read + Send>> {
        const CONTENTS: &str = r#"{ "origin": { "server_version": 150000, "pg_dump": "15.0" },
            "database": { "name": "d", "owner": "o", "encoding": "UTF8", "collate": "C", "ctype": "C",
                "locale_provider": "libc", "connection_limit": -1, "is_template": false },
            "items": [], "tables": [{ "schema": "s", "name": "t", "columns": [], "parts": ["data/s/t/0001"] }],
            "sequences": [], "matviews": [], "schemas": ["public"], "whole": true }"#;
        const HEAD: &str = r#"{ "oid": 1, "owner": "o" }"#;
        let counted = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
        Ok(match name.as_str() {
            "contents.json" => Box::new(CONTENTS.as_bytes()),
            "data/s/t/0001" => Box::new(std::io::repeat(b'\n').take(self.bytes)),
            _ => {
                let piece = counted(&[7; 1 << 20]);
                let content = (self.bytes >> 20) * piece.len() as u64;
                let content = Again { piece, at: 0 }.take(content);
                Box::new(std::io::Cursor::new(counted(HEAD.as_bytes())).chain(content).chain(&[0; 4][..]))
            }
        })
    }
}

fn script_to_nowhere(bytes: u64) {
    let huge = Huge { path: NodePath::new("db").unwrap(), bytes };
    PostgresConfig::export_sql(&huge, &Selection::default(), &mut std::io::sink()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_by_the_largest_row_and_not_by_the_table() {
    const MB: u64 = 1 << 20;
    script_to_nowhere(400 * MB);
    let peak = peak_mb();
    println!("a script of 400 MB of rows and 400 MB of a large object: peak {peak} MB");
    assert!(peak < 60, "{peak} MB");
    let server = PostgresServer::start(PostgresVersion::V15);
    server.batch(
        "postgres",
        "CREATE TABLE t AS SELECT n, repeat(md5(n::text), 8) FROM generate_series(1, 500000) n",
    );
    let bytes = dump_to_nowhere(&server).await;
    assert!(bytes > 100 * MB);
    let peak = peak_mb();
    println!("a table of {} MB: peak {peak} MB", bytes / MB);
    assert!(peak < 100, "{peak} MB");
    server.batch(
        "postgres",
        "DROP TABLE t; CREATE TABLE t AS SELECT repeat('0123456789', 10 * 1024 * 1024) AS x FROM generate_series(1, 3)",
    );
    assert!(dump_to_nowhere(&server).await >= 300 * MB);
    let with_values = peak_mb();
    println!("values of 100 MB: peak {with_values} MB");
    assert!(with_values < 100 + 3 * 100, "{with_values} MB");
}
