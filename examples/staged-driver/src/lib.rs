//! A driver of one's own: an append-only ledger, a file with one entry per line.
//!
//! `docs/driver-guide.md` goes through it. The ledger is pinned by its length alone (what is appended later lies
//! behind it), restored beside the live file, swapped in by one rename, and put back the same way.

mod source;
mod staging;

use std::io::{self, ErrorKind::NotFound};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, BuildContext, Capabilities, Changes, Claim, Driver, DriverConfig, Error, Formats,
    Inspection, OpenContext, Problem, Result, Source, StageContext, Staging, Token, Undo, View, async_trait,
};
use schemars::JsonSchema;
use serde::Deserialize;

use source::LedgerSource;
use staging::{LedgerStaging, Run};

/// The options of a `ledger` node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// The ledger: a file with one entry per line.
    path: PathBuf,
}

impl DriverConfig for LedgerConfig {
    const KIND: &'static str = "ledger";
    const ABOUT: &'static str = "an append-only file with one entry per line";
    const TARGET: Option<&'static str> = Some("path");

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        if self.path.file_name().is_none() {
            return Err(Error::config("`path` must name a file").with_context("path", self.path.display()));
        }
        Ok(Arc::new(Ledger { path: cx.path(&self.path) }))
    }
}

struct Ledger {
    path: PathBuf,
}

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
            Ok(meta) => inspection.size = Some(meta.len()),
            Err(error) if error.kind() == NotFound => {
                inspection.absent = true;
                inspection.problems.push(Problem::no_dump("there is no ledger").with_hint("check `path`"));
            }
            Err(error) => return Err(failed("look at the ledger", &self.path, error)),
        }
        Ok(inspection)
    }

    async fn open(&self, _cx: OpenContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(LedgerSource::new(self.path.clone())))
    }

    async fn changes(&self, _archived: Arc<dyn ArchivedNode>, _cx: &StageContext) -> Result<Changes> {
        let there = tokio::fs::try_exists(&self.path).await;
        let there = there.map_err(|error| failed("look at the ledger", &self.path, error))?;
        let mut changes = Changes::of("ledgers");
        (changes.create, changes.replace) = if there { (0, 1) } else { (1, 0) };
        changes.notes.push("a program that keeps the ledger open must open it again".to_owned());
        Ok(changes)
    }

    async fn stage(&self, _archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(LedgerStaging::new(self.resolved().await, Run { name: cx.run, puts_back: None })))
    }

    async fn stage_previous(&self, kept: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        let run = Run { name: cx.run, puts_back: Some(Run::read(kept)?.name) };
        Ok(Box::new(LedgerStaging::new(self.resolved().await, run)))
    }

    async fn discard_previous(&self, kept: &Token) -> Result<()> {
        LedgerStaging::new(self.resolved().await, Run::read(kept)?).discard().await
    }

    async fn resume(&self, token: &Token, _cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(LedgerStaging::new(self.resolved().await, Run::read(token)?)))
    }
}

impl Ledger {
    /// The ledger itself: a rename must not replace a link to it.
    async fn resolved(&self) -> PathBuf {
        tokio::fs::canonicalize(&self.path).await.unwrap_or_else(|_| self.path.clone())
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::io(format!("can't {what}"), error).with_context("path", path.display())
}
