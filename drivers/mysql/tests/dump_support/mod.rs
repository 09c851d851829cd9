//! A dump, driven as the engine does, with its parts in memory or thrown away.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test file uses its share; what a test can't go on without ends it"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use dumprestore_driver::{
    BuildContext, CaptureId, CutContext, CutMode, Digest, Driver, DriverConfig, Dumped, Facts, LedgerEntry,
    NodePath, OpenContext, Part, PartSink, PartWriter, Receipt, Result, Source,
};
use dumprestore_mysql::MysqlConfig;
use futures_util::TryStreamExt;
use serde_json::Value;

/// As root, over TCP, with the routines, events and triggers that there are.
pub fn config(url: &str) -> MysqlConfig {
    MysqlConfig::new(url).with_variables([])
}

pub fn driver(config: MysqlConfig) -> Result<Arc<dyn Driver>> {
    config.build(&BuildContext::new(NodePath::new("db").unwrap(), "/"))
}

pub async fn open(config: MysqlConfig) -> Box<dyn Source> {
    driver(config).unwrap().open(OpenContext::new("run", Path::new("/tmp"))).await.unwrap()
}

pub fn cut(mode: CutMode) -> CutContext {
    CutContext::new(SystemTime::now(), mode)
}

pub async fn pinned(config: MysqlConfig) -> Box<dyn Source> {
    let mut source = open(config).await;
    source.pin(&cut(CutMode::Open)).await.unwrap();
    source
}

/// Takes parts, and keeps their bytes if asked to.
pub struct Sink {
    pub bytes: Vec<u8>,
    pub size: u64,
    keep: bool,
}

impl Sink {
    pub fn new(keep: bool) -> Self {
        Self { bytes: Vec::new(), size: 0, keep }
    }
}

impl PartSink for Sink {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.size += data.len() as u64;
        if self.keep {
            self.bytes.extend_from_slice(data);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Receipt> {
        Ok(Receipt { capture: CaptureId(0), size: self.size, digest: Digest::new([0; 32]) })
    }
}

/// What was dumped.
#[derive(Debug)]
pub struct Dump {
    pub contents: Value,
    pub parts: BTreeMap<String, Vec<u8>>,
    pub rows: BTreeMap<String, u64>,
    pub ledger: Vec<LedgerEntry>,
    pub facts: Facts,
}

impl Dump {
    /// All rows of a table, in the order of its parts: bytes as they stand there.
    pub fn raw_rows_of(&self, table: &str) -> Vec<Vec<u8>> {
        let mut rows = Vec::new();
        for name in self.table(table)["parts"].as_array().unwrap() {
            let part = &self.parts[name.as_str().unwrap()];
            assert!(part.is_empty() || part.ends_with(b"\n"));
            let lines: Vec<_> = part.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            rows.extend(lines[..lines.len() - 1].iter().cloned());
        }
        rows
    }

    /// All rows of a table, as text, sorted.
    pub fn rows_of(&self, table: &str) -> Vec<String> {
        let mut rows: Vec<_> =
            self.raw_rows_of(table).iter().map(|row| String::from_utf8_lossy(row).into_owned()).collect();
        rows.sort();
        rows
    }

    pub fn table(&self, table: &str) -> &Value {
        self.named("tables", table).unwrap_or_else(|| panic!("there is no table {table}"))
    }

    /// What stands in `contents.json` under that name in the list `kind`.
    pub fn named(&self, kind: &str, name: &str) -> Option<&Value> {
        self.contents.get(kind)?.as_array().unwrap().iter().find(|found| found["name"] == name)
    }

    pub fn names(&self, kind: &str) -> Vec<String> {
        let Some(list) = self.contents.get(kind) else { return Vec::new() };
        list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Why a thing stands in the ledger, and whether it degrades the dump.
    pub fn told_of(&self, what: &str) -> Option<(&str, bool)> {
        self.ledger.iter().find(|entry| entry.what == what).map(|entry| (entry.why.as_str(), entry.degrades))
    }
}

pub async fn dump_part(source: &dyn Source, part: &Part, keep: bool) -> Result<(Sink, Option<u64>)> {
    let mut sink = Sink::new(keep);
    match source.dump(part, &mut PartWriter::new(&mut sink)).await? {
        Dumped::Whole { rows } => Ok((sink, rows)),
        other => panic!("{other:?}"),
    }
}

/// All parts of a pinned source, some at once.
pub async fn stream(source: &mut dyn Source, lanes: usize) -> Result<Dump> {
    use futures_util::StreamExt;
    let parts: Vec<Part> = source.parts().await?.try_collect().await?;
    let shared = &*source;
    let dumped: Vec<_> = futures_util::stream::iter(&parts)
        .map(|part| async move {
            dump_part(shared, part, true).await.map(|dumped| (part.name.to_string(), dumped))
        })
        .buffer_unordered(lanes)
        .try_collect()
        .await?;
    let mut dump = Dump {
        contents: Value::Null,
        parts: BTreeMap::new(),
        rows: BTreeMap::new(),
        ledger: source.ledger(),
        facts: source.facts(),
    };
    for (name, (sink, rows)) in dumped {
        dump.rows.extend(rows.map(|rows| (name.clone(), rows)));
        dump.parts.insert(name, sink.bytes);
    }
    dump.contents = serde_json::from_slice(&dump.parts["contents.json"]).unwrap();
    Ok(dump)
}

pub async fn dump(config: MysqlConfig) -> Dump {
    let mut source = pinned(config).await;
    let dump = stream(&mut *source, 3).await.unwrap();
    source.release().await.unwrap();
    dump
}

/// Runs what blocks beside what waits.
pub fn wait<T>(what: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(what))
}
