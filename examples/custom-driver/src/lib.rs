//! A driver of one's own: an append-only ledger, one JSON value per line.
//!
//! `docs/driver-guide.md` goes through it. The ledger is pinned by its length alone (what is appended later lies
//! behind it), restored beside the live file, swapped in by one rename, and put back the same way.

mod source;
mod staging;

use std::io::ErrorKind::NotFound;
use std::path::PathBuf;
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, BuildContext, Capabilities, Changes, Claim, Driver, DriverConfig, Error, Formats,
    Inspection, OpenContext, Problem, Result, Source, StageContext, Staging, Token, Undo, View, async_trait,
};
use schemars::JsonSchema;
use serde::Deserialize;

use source::LedgerSource;
use staging::{LedgerStaging, Names};

// ANCHOR: config
/// The options of a `ledger` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// The ledger: a file with one JSON value per line.
    path: PathBuf,
}

impl DriverConfig for LedgerConfig {
    const KIND: &'static str = "ledger";
    const ABOUT: &'static str = "an append-only file of JSON lines";
    const TARGET: Option<&'static str> = Some("path");

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        let path = cx.path(&self.path);
        match (path.parent(), path.file_name()) {
            (Some(_), Some(_)) => Ok(Arc::new(Ledger { path })),
            _ => Err(Error::config("`path` must name a file").with_context("path", path.display())),
        }
    }
}
// ANCHOR_END: config

struct Ledger {
    path: PathBuf,
}

// ANCHOR: driver
#[async_trait]
impl Driver for Ledger {
    fn kind(&self) -> &'static str {
        LedgerConfig::KIND
    }

    fn formats(&self) -> Formats {
        Formats::only(1)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::streamed().with_view(View::Pinned).with_undo(Undo::AfterCommit)
    }

    fn target(&self) -> String {
        self.path.display().to_string()
    }

    async fn inspect(&self) -> Result<Inspection> {
        let mut inspection = Inspection::default();
        inspection.claims.push(Claim::Path(self.resolved().await));
        match tokio::fs::metadata(&self.path).await {
            Ok(meta) if meta.is_file() => inspection.size = Some(meta.len()),
            Ok(_) => inspection.problems.push(Problem::error("the ledger is not a file")),
            Err(error) if error.kind() == NotFound => {
                inspection.problems.push(Problem::no_dump("there is no ledger").with_hint("check `path`"));
            }
            Err(error) => return Err(Error::io("can't look at the ledger", error)),
        }
        Ok(inspection)
    }

    async fn open(&self, _cx: OpenContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(LedgerSource::new(self.path.clone())))
    }

    async fn changes(&self, _archived: Arc<dyn ArchivedNode>, _cx: &StageContext) -> Result<Changes> {
        let mut changes = Changes::of("ledgers");
        match tokio::fs::try_exists(&self.path).await {
            Ok(true) => changes.replace = 1,
            Ok(false) => changes.create = 1,
            Err(error) => return Err(Error::io("can't look at the ledger", error)),
        }
        changes.notes.push("a program that keeps the ledger open must open it again".to_owned());
        Ok(changes)
    }

    async fn stage(&self, _archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>> {
        let names = Names { run: cx.run, put_back: None };
        Ok(Box::new(LedgerStaging::new(self.resolved().await, names)))
    }

    async fn stage_previous(&self, kept: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        let kept: Names = read(kept)?;
        let names = Names { run: cx.run, put_back: Some(kept.run) };
        Ok(Box::new(LedgerStaging::new(self.resolved().await, names)))
    }

    async fn discard_previous(&self, kept: &Token) -> Result<()> {
        LedgerStaging::new(self.resolved().await, read(kept)?).discard().await
    }

    async fn resume(&self, token: &Token, _cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(LedgerStaging::new(self.resolved().await, read(token)?)))
    }
}
// ANCHOR_END: driver

impl Ledger {
    /// The ledger itself: what a rename replaces must not be a link to it.
    async fn resolved(&self) -> PathBuf {
        tokio::fs::canonicalize(&self.path).await.unwrap_or_else(|_| self.path.clone())
    }
}

fn read(token: &Token) -> Result<Names> {
    serde_json::from_value(token.clone())
        .map_err(|error| Error::defect("the token is not one of a ledger").with_source(error))
}
