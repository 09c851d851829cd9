//! Restoring a ledger.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind::NotFound};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dumprestore_driver::{
    ArchivedPart, Error, Links, OldState, PartReader, Result, Secret, Staging, Token, async_trait,
};
use serde::{Deserialize, Serialize};
use tokio::fs;

use crate::failed;

/// The journal's token: all file names of a restore follow from it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) name: String,
    /// The run whose old ledger is put back.
    pub(crate) puts_back: Option<String>,
}

impl Run {
    pub(crate) fn read(token: &Token) -> Result<Self> {
        Self::deserialize(token)
            .map_err(|error| Error::defect("the token is not a ledger's").with_source(error))
    }
}

/// Three files beside the ledger, and no state in memory: what is there tells how far a restore has come.
///
/// - `new` is made by `begin`, and removed last: while it is there, it tells whether the ledger is the new one.
/// - `swap` is a second name of `new`, for the moment of the rename.
/// - `old` is a second name of the ledger as it was.
pub(crate) struct LedgerStaging {
    live: PathBuf,
    run: Run,
}

impl LedgerStaging {
    pub(crate) fn new(live: PathBuf, run: Run) -> Self {
        Self { live, run }
    }

    fn file(&self, what: &str) -> PathBuf {
        self.file_of(&self.run.name, what)
    }

    fn file_of(&self, run: &str, what: &str) -> PathBuf {
        let ledger = self.live.file_name().unwrap_or_default().to_string_lossy();
        self.live.with_file_name(format!(".{ledger}.dumprestore-{run}.{what}"))
    }

    pub(crate) async fn discard(&self) -> Result<()> {
        let old = self.file("old");
        remove(&old).await.map_err(|error| failed("remove the old ledger", &old, error))
    }
}

impl Links for LedgerStaging {}

#[async_trait]
impl Staging for LedgerStaging {
    fn journal(&self) -> Token {
        serde_json::json!(self.run)
    }

    async fn begin(&mut self) -> Result<()> {
        let new = self.file("new");
        let made = match &self.run.puts_back {
            None => fs::File::create_new(&new).await.map(drop),
            Some(run) => fs::copy(self.file_of(run, "old"), &new).await.map(drop),
        };
        made.map_err(|error| failed("make room beside the ledger", &new, error))
    }

    async fn load(&self, _part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        let new = self.file("new");
        let file = OpenOptions::new().write(true).truncate(true).open(&new);
        let copied = file.and_then(|mut file| io::copy(from, &mut file));
        copied.map(drop).map_err(|error| failed("write the new ledger", &new, error))
    }

    async fn prepare(&mut self) -> Result<()> {
        let (live, new) = (self.live.clone(), self.file("new"));
        let done = tokio::task::spawn_blocking(move || make_alike(&live, &new)).await;
        let done = done.map_err(|error| Error::defect("`prepare` panicked").with_source(error))?;
        done.map_err(|error| failed("finish the new ledger", &self.file("new"), error))
    }

    fn address(&self) -> Option<Secret> {
        Some(Secret::new(self.file("new").to_string_lossy()))
    }

    async fn commit(&mut self) -> Result<()> {
        self.swap_in().await.map_err(|error| failed("swap the new ledger in", &self.live, error))
    }

    async fn rollback(&mut self) -> Result<()> {
        self.put_back().await.map_err(|error| {
            failed("put the old ledger back", &self.live, error)
                .with_kind(dumprestore_driver::ErrorKind::Stuck)
                .with_hint(format!("if `{}` is there, rename it to the ledger", self.file("old").display()))
        })
    }

    async fn finish(&mut self, old: OldState) -> Result<Option<Token>> {
        let kept = self.settle(old).await.map_err(|error| failed("clean up beside", &self.live, error))?;
        Ok(kept.then(|| self.journal()))
    }
}

impl LedgerStaging {
    async fn is_committed(&self) -> io::Result<bool> {
        let (live, new) = (metadata(&self.live).await?, metadata(&self.file("new")).await?);
        Ok(live.zip(new).is_some_and(|(live, new)| (live.dev(), live.ino()) == (new.dev(), new.ino())))
    }

    async fn swap_in(&self) -> io::Result<()> {
        let (new, swap, old) = (self.file("new"), self.file("swap"), self.file("old"));
        // Without `new` it is not only committed but finished.
        if metadata(&new).await?.is_none() || self.is_committed().await? {
            return Ok(());
        }
        remove(&old).await?;
        remove(&swap).await?;
        if_there(fs::hard_link(&self.live, &old).await)?;
        fs::hard_link(&new, &swap).await?;
        fs::rename(&swap, &self.live).await?;
        self.sync().await
    }

    async fn put_back(&self) -> io::Result<()> {
        let (new, swap, old) = (self.file("new"), self.file("swap"), self.file("old"));
        if metadata(&new).await?.is_none() {
            return Ok(());
        }
        if self.is_committed().await? && !if_there(fs::rename(&old, &self.live).await)? {
            // There was no ledger before.
            remove(&self.live).await?;
        }
        self.sync().await?;
        remove(&swap).await?;
        remove(&old).await?;
        remove(&new).await
    }

    /// Whether the old ledger is kept.
    async fn settle(&self, what_is_old: OldState) -> io::Result<bool> {
        remove(&self.file("new")).await?;
        if what_is_old == OldState::Drop {
            remove(&self.file("old")).await?;
        }
        if let Some(run) = &self.run.puts_back {
            remove(&self.file_of(run, "old")).await?;
        }
        self.sync().await?;
        Ok(metadata(&self.file("old")).await?.is_some())
    }

    /// A rename lasts once the folder is on disk.
    async fn sync(&self) -> io::Result<()> {
        fs::File::open(self.live.parent().unwrap_or(Path::new("/"))).await?.sync_all().await
    }
}

/// Gives `new` the owner and the rights of `live`, for its writers' sake, and brings it to disk.
fn make_alike(live: &Path, new: &Path) -> io::Result<()> {
    match std::fs::metadata(live) {
        Ok(meta) => {
            std::os::unix::fs::chown(new, Some(meta.uid()), Some(meta.gid()))?;
            std::fs::set_permissions(new, meta.permissions())?;
        }
        Err(error) if error.kind() == NotFound => {}
        Err(error) => return Err(error),
    }
    File::open(new)?.sync_all()
}

async fn metadata(path: &Path) -> io::Result<Option<std::fs::Metadata>> {
    let mut found = None;
    if_there(fs::metadata(path).await.map(|meta| found = Some(meta)))?;
    Ok(found)
}

async fn remove(path: &Path) -> io::Result<()> {
    if_there(fs::remove_file(path).await).map(drop)
}

/// Whether there was something to do it with.
fn if_there(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
