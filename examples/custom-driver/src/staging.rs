//! Restoring a ledger.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind::NotFound};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dumprestore_driver::{
    ArchivedPart, Error, Links, OldState, PartReader, Result, Secret, Staging, Token, async_trait,
};
use serde::{Deserialize, Serialize};
use tokio::fs;

/// From which all names of a restore derive: it is the journal's token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Names {
    pub(crate) run: String,
    /// The run whose previous state is put back.
    pub(crate) put_back: Option<String>,
}

// ANCHOR: names
/// Three files beside the ledger, and no state in memory: what is there tells how far a restore has come.
///
/// - `new` is made by `begin` and goes last: as long as it is there, it says whether the ledger is the new one.
/// - `swap` is a second name of `new`, for the moment of the rename.
/// - `old` is a second name of the ledger as it was.
pub(crate) struct LedgerStaging {
    live: PathBuf,
    names: Names,
}

impl LedgerStaging {
    pub(crate) fn new(live: PathBuf, names: Names) -> Self {
        Self { live, names }
    }

    fn beside(&self, run: &str, what: &str) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(self.live.file_name().unwrap_or_default());
        name.push(format!(".dumprestore-{run}.{what}"));
        self.live.with_file_name(name)
    }

    fn file(&self, what: &str) -> PathBuf {
        self.beside(&self.names.run, what)
    }

    /// Whether the live ledger is the staged one.
    async fn is_committed(&self) -> io::Result<bool> {
        let (live, new) = (metadata(&self.live).await?, metadata(&self.file("new")).await?);
        Ok(live.zip(new).is_some_and(|(live, new)| (live.dev(), live.ino()) == (new.dev(), new.ino())))
    }
}
// ANCHOR_END: names

impl Links for LedgerStaging {}

// ANCHOR: staging
#[async_trait]
impl Staging for LedgerStaging {
    fn journal(&self) -> Token {
        serde_json::json!(self.names)
    }

    async fn begin(&mut self) -> Result<()> {
        let new = self.file("new");
        let made = match &self.names.put_back {
            None => fs::File::create_new(&new).await.map(drop),
            Some(run) => fs::copy(self.beside(run, "previous"), &new).await.map(drop),
        };
        made.map_err(|error| failed("make room beside the ledger", &new, error))
    }

    async fn load(&self, _part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        let new = self.file("new");
        let opened = OpenOptions::new().write(true).truncate(true).open(&new);
        let mut file = opened.map_err(|error| failed("open the staged ledger", &new, error))?;
        // An error of the reader comes through here, at the end at the latest: nothing is final before.
        io::copy(from, &mut file).map(drop).map_err(|error| failed("write the staged ledger", &new, error))
    }

    async fn prepare(&mut self) -> Result<()> {
        let (live, new) = (self.live.clone(), self.file("new"));
        let prepared = tokio::task::spawn_blocking(move || {
            make_alike(&live, &new)?;
            File::open(&new)?.sync_all()
        });
        let prepared =
            prepared.await.map_err(|error| Error::defect("the sync panicked").with_source(error))?;
        prepared.map_err(|error| failed("make the staged ledger last", &self.live, error))
    }

    fn address(&self) -> Option<Secret> {
        Some(Secret::new(self.file("new").to_string_lossy()))
    }

    async fn commit(&mut self) -> Result<()> {
        self.swap_in().await.map_err(|error| failed("swap the ledger", &self.live, error))
    }

    async fn rollback(&mut self) -> Result<()> {
        self.put_back().await.map_err(|error| {
            Error::stuck("can't put the old ledger back")
                .with_context("path", self.live.display())
                .with_source(error)
                .with_hint(format!("if it is there, rename `{}` to the ledger", self.file("old").display()))
        })
    }

    async fn finish(&mut self, old: OldState) -> Result<Option<Token>> {
        let kept =
            self.settle(old).await.map_err(|error| failed("finish with the ledger", &self.live, error))?;
        Ok(kept.then(|| serde_json::json!(Names { run: self.names.run.clone(), put_back: None })))
    }
}
// ANCHOR_END: staging

// ANCHOR: swap
impl LedgerStaging {
    async fn swap_in(&self) -> io::Result<()> {
        let (new, swap, old) = (self.file("new"), self.file("swap"), self.file("old"));
        // Without `new` it is not only committed but finished.
        if self.is_committed().await? || metadata(&new).await?.is_none() {
            return Ok(());
        }
        remove(&old).await?;
        remove(&swap).await?;
        unless_missing(fs::hard_link(&self.live, &old).await)?;
        fs::hard_link(&new, &swap).await?;
        fs::rename(&swap, &self.live).await?;
        self.sync().await
    }

    async fn put_back(&self) -> io::Result<()> {
        let (new, swap, old) = (self.file("new"), self.file("swap"), self.file("old"));
        if self.is_committed().await? && !unless_missing(fs::rename(&old, &self.live).await)? {
            // There was none before.
            remove(&self.live).await?;
        }
        self.sync().await?;
        remove(&swap).await?;
        remove(&old).await?;
        remove(&new).await
    }

    /// Drops the old ledger or keeps it; whether there is a kept one.
    async fn settle(&self, old_state: OldState) -> io::Result<bool> {
        let (old, previous) = (self.file("old"), self.file("previous"));
        if old_state == OldState::Keep {
            unless_missing(fs::rename(&old, &previous).await)?;
        }
        remove(&self.file("new")).await?;
        remove(&old).await?;
        if let Some(run) = &self.names.put_back {
            remove(&self.beside(run, "previous")).await?;
        }
        self.sync().await?;
        Ok(old_state == OldState::Keep && metadata(&previous).await?.is_some())
    }

    /// Drops what an earlier restore kept.
    pub(crate) async fn discard(&self) -> Result<()> {
        let previous = self.file("previous");
        remove(&previous).await.map_err(|error| failed("remove the previous ledger", &previous, error))
    }

    /// A rename lasts once the folder is on disk.
    async fn sync(&self) -> io::Result<()> {
        fs::File::open(self.live.parent().unwrap_or(Path::new("/"))).await?.sync_all().await
    }
}
// ANCHOR_END: swap

/// Gives `new` the rights and the owner of `live`, if that is there: its writers must find it as it was.
fn make_alike(live: &Path, new: &Path) -> io::Result<()> {
    let meta = match std::fs::metadata(live) {
        Err(error) if error.kind() == NotFound => return Ok(()),
        meta => meta?,
    };
    std::os::unix::fs::chown(new, Some(meta.uid()), Some(meta.gid()))?;
    std::fs::set_permissions(new, meta.permissions())
}

async fn metadata(path: &Path) -> io::Result<Option<std::fs::Metadata>> {
    match fs::metadata(path).await {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if error.kind() == NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn remove(path: &Path) -> io::Result<()> {
    unless_missing(fs::remove_file(path).await).map(drop)
}

/// Whether there was something to do it with.
fn unless_missing(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::io(format!("can't {what}"), error).with_context("path", path.display())
}
