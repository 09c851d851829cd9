//! One dump of one node.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use dumprestore_bucket::Versioning;
use dumprestore_driver::{
    CutContext, CutMode, Dumped, Error, ErrorKind, Facts, LedgerEntry, Links, OpenContext, Part, PartStream,
    PartWriter, Reference, Result, Source, Unresolved,
};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::config::Mode;
use crate::key::key_of;
use crate::line::LISTING;
use crate::restore::under_way;
use crate::shared::{Cut, Shared};
use crate::site::Site;

/// A dump of the objects below one prefix.
pub(crate) struct Snapshot {
    shared: Arc<Shared>,
    versioning: Versioning,
}

impl Snapshot {
    /// Asks the store whether it keeps versions.
    ///
    /// # Errors
    /// If it can't be asked, or keeps none and they are all that is to be dumped.
    pub(crate) async fn open(site: Site, cx: OpenContext) -> Result<Self> {
        let versioning = site.bucket.versioning().await?;
        let keeps_versions = versioning == Versioning::Enabled;
        if site.mode == Mode::Versions && !keeps_versions {
            return Err(no_versions(&versioning));
        }
        site.bucket.check().await?;
        let restored = under_way(&site.bucket).await?;
        if let Some((run, false)) = &restored {
            return Err(Error::new(
                ErrorKind::Locked,
                "a restore replaces the objects right now, or was interrupted: there are old ones and new ones",
            )
            .with_context("run", run.escape_debug())
            .with_hint("wait for it, or run `dumprestore recover` where it was run"));
        }
        let shared = Shared::new(site, cx, keeps_versions, restored);
        Ok(Self { shared: Arc::new(shared), versioning })
    }
}

/// Why a dump of versions alone can't be.
pub(crate) fn no_versions(versioning: &Versioning) -> Error {
    const HINT: &str = "switch versioning on for the bucket, or leave out `mode: versions`";
    let why = match versioning {
        Versioning::Suspended => "versioning of the bucket is suspended".to_owned(),
        Versioning::Unknown(why) => format!("it can't be told whether the bucket keeps versions: {why}"),
        _ => "the bucket keeps no versions".to_owned(),
    };
    Error::environment(format!("with `mode: versions` nothing can be dumped: {why}")).with_hint(HINT)
}

/// What versioning is, in a word.
pub(crate) fn named(versioning: &Versioning) -> &'static str {
    match versioning {
        Versioning::Enabled => "enabled",
        Versioning::Suspended => "suspended",
        Versioning::Off => "off",
        _ => "unknown",
    }
}

#[async_trait]
impl Links for Snapshot {
    async fn resolve(&self, _within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        self.shared.resolve(references).await
    }
}

type Parts = mpsc::Sender<Result<Part>>;

/// What a thread of its own sends. Whoever does not listen any more has stopped.
fn parts_of<W>(work: W) -> PartStream
where
    W: AsyncFnOnce(&Parts) -> Result<()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(64);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = runtime.block_on(work(&sender)) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|part| (part, receiver)) })
        .fuse()
        .boxed()
}

#[async_trait]
impl Source for Snapshot {
    async fn capture(&mut self) -> Result<PartStream> {
        let shared = self.shared.clone();
        shared.begin_pass().await;
        Ok(parts_of(async move |parts: &Parts| {
            shared.pass(parts).await?;
            shared.passed.store(true, Ordering::Release);
            Ok(())
        }))
    }

    async fn pin(&mut self, cut: &CutContext) -> Result<()> {
        let locked = cut.mode == CutMode::Locked;
        self.shared.set_cut(Some(Cut { not_before: cut.not_before, locked, window: None }));
        Ok(())
    }

    async fn unlock(&mut self) -> Result<()> {
        self.shared.unlock_cut().await;
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        self.shared.set_cut(None);
        self.shared.listed.store(false, Ordering::Release);
        self.shared.memory().forget_cut();
        Ok(())
    }

    fn facts(&self) -> Facts {
        let site = &self.shared.site;
        let mode = match site.mode {
            Mode::Copy => "copy",
            Mode::Versions => "versions",
        };
        Facts::from([
            ("url".to_owned(), site.bucket.shown().to_owned()),
            ("versioning".to_owned(), named(&self.versioning).to_owned()),
            ("mode".to_owned(), mode.to_owned()),
        ])
    }

    async fn parts(&mut self) -> Result<PartStream> {
        let shared = self.shared.clone();
        if !shared.passed.load(Ordering::Acquire) {
            return Err(Error::defect("the parts are listed without a pass over all objects"));
        }
        Ok(parts_of(async move |parts: &Parts| {
            shared.prepare_list().await?;
            shared.listed.store(true, Ordering::Release);
            shared.list(parts).await
        }))
    }

    async fn dump(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        match key_of(&part.name) {
            Some(key) => self.shared.dump_object(&key, out).await,
            None if part.name.as_str() == LISTING => self.shared.dump_listing(out).await,
            None => Err(Error::defect(format!("there is no part `{}`", part.name))),
        }
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        self.shared.ledger_entries()
    }

    async fn release(&mut self) -> Result<()> {
        self.unpin().await?;
        self.shared.forget_all();
        Ok(())
    }
}
