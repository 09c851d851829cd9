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
    BuildContext, CaptureId, CutContext, CutMode, Digest, Driver, DriverConfig, Dumped, LedgerEntry,
    NodePath, OpenContext, Part, PartSink, PartWriter, Receipt, Result, Source,
};
use dumprestore_postgres::PostgresConfig;
use futures_util::TryStreamExt;
use serde_json::Value;

pub fn config(url: &str) -> PostgresConfig {
    PostgresConfig::new(url).with_variables([("PATH".to_owned(), std::env::var("PATH").unwrap())])
}

pub fn driver(config: PostgresConfig) -> Result<Arc<dyn Driver>> {
    config.build(&BuildContext::new(NodePath::new("db").unwrap(), "/"))
}

pub async fn open(config: PostgresConfig) -> Box<dyn Source> {
    driver(config).unwrap().open(OpenContext::new("run", Path::new("/tmp"))).await.unwrap()
}

pub fn cut(mode: CutMode) -> CutContext {
    CutContext::new(SystemTime::now(), mode)
}

pub async fn pinned(config: PostgresConfig) -> Box<dyn Source> {
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
}

impl Dump {
    /// All rows of a table, as `COPY` wrote them, sorted.
    pub fn rows_of(&self, schema: &str, table: &str) -> Vec<String> {
        let mut rows: Vec<String> = self.table(schema, table)["parts"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|name| {
                let text = String::from_utf8(self.parts[name.as_str().unwrap()].clone()).unwrap();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        rows.sort();
        rows
    }

    pub fn table(&self, schema: &str, table: &str) -> &Value {
        let tables = self.contents["tables"].as_array().unwrap();
        let found = tables.iter().find(|found| found["schema"] == schema && found["name"] == table);
        found.unwrap_or_else(|| panic!("there is no table {schema}.{table}"))
    }

    pub fn has_table(&self, schema: &str, table: &str) -> bool {
        let tables = self.contents["tables"].as_array().unwrap();
        tables.iter().any(|found| found["schema"] == schema && found["name"] == table)
    }

    /// Kinds and names of all definitions.
    pub fn items(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let items = self.contents["items"].as_array().unwrap();
        items.iter().map(|item| (text(&item["kind"]), text(&item["name"]))).collect()
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
    };
    for (name, (sink, rows)) in dumped {
        dump.rows.extend(rows.map(|rows| (name.clone(), rows)));
        dump.parts.insert(name, sink.bytes);
    }
    dump.contents = serde_json::from_slice(&dump.parts["contents.json"]).unwrap();
    Ok(dump)
}

pub async fn dump(config: PostgresConfig) -> Dump {
    let mut source = pinned(config).await;
    let dump = stream(&mut *source, 3).await.unwrap();
    source.release().await.unwrap();
    dump
}
