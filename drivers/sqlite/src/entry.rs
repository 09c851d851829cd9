//! What stands in the journal: enough to go on after a crash.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use dumprestore_driver::{DriverConfig, Error, Facts, Ground, Result, Token, parse_entry, parse_kept};
use serde::{Deserialize, Serialize};

use crate::config::SqliteConfig;
use crate::fault::io_failed;
use crate::place::{COMPANIONS, Place, suffixed};
use crate::profile::Journal;

/// A path in JSON: as text, and in hexadecimal where it is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum PathText {
    Text(String),
    Bytes { hex: String },
}

impl PathText {
    pub(crate) fn new(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes { hex: hex::encode(path.as_os_str().as_bytes()) },
        }
    }

    pub(crate) fn path(&self) -> Result<PathBuf> {
        let path = match self {
            Self::Text(text) => PathBuf::from(text),
            Self::Bytes { hex: digits } => hex::decode(digits)
                .map(|bytes| PathBuf::from(OsString::from_vec(bytes)))
                .map_err(|error| Error::defect("the journal's token has a bad path").with_source(error))?,
        };
        if path.is_absolute() {
            Ok(path)
        } else {
            Err(Error::defect("the journal's token has a relative path"))
        }
    }
}

/// What a restore puts in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// A SQLite database.
    Database,
    /// A file that SQLite can't read: kept as it was found, and put back so.
    Foreign,
    /// No file.
    Absent,
}

/// What the live file was before a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    pub(crate) form: Form,
    pub(crate) wal: bool,
    pub(crate) mode: Option<u32>,
    #[serde(default)]
    pub(crate) owner: Option<Owner>,
}

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    Planned,
    Begun,
    Prepared,
    Committed,
}

/// How the staged state takes the place of the live one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    /// Its pages are copied into the live file, in one transaction.
    Pages,
    /// The files change places.
    Files,
}

/// One restore, as the journal has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    version: u32,
    path: PathText,
    run: String,
    pub(crate) step: Step,
    pub(crate) form: Form,
    /// Where the staged state comes from, if not from an archive.
    kept: Option<PathText>,
    pub(crate) way: Option<Way>,
    /// What the live file was before.
    pub(crate) old: Option<Before>,
    /// The journal mode of a file that is put where none was.
    pub(crate) wal: bool,
    /// And its permission bits.
    pub(crate) mode: Option<u32>,
    /// And its user and group.
    #[serde(default)]
    pub(crate) owner: Option<Owner>,
    /// The folder that the database is in.
    #[serde(default)]
    ground: Option<Ground>,
}

/// A user and a group, as numbers.
pub(crate) type Owner = (u32, u32);

fn owner_in(facts: &Facts) -> Option<Owner> {
    // The highest number means none.
    let number = |name: &str| facts.get(name)?.parse().ok().filter(|id| *id != u32::MAX);
    Some((number("uid")?, number("gid")?))
}

const VERSION: u32 = 1;

impl Entry {
    pub(crate) fn of_archive(path: &Path, run: &str, facts: &Facts) -> Result<Self> {
        let wal = Journal::in_facts(facts) == Journal::Wal;
        let mode = facts.get("mode").and_then(|text| u32::from_str_radix(text, 8).ok());
        let entry = Self::new(path, run, Form::Database, None, wal, mode)?;
        Ok(Self { owner: owner_in(facts), ..entry })
    }

    /// # Errors
    /// If what is kept is not there.
    pub(crate) fn of_kept(path: &Path, run: &str, kept: Kept) -> Result<Self> {
        kept.check()?;
        let entry = Self::new(path, run, kept.form, Some(kept.path), kept.wal, kept.mode)?;
        Ok(Self { owner: kept.owner, ..entry })
    }

    fn new(
        path: &Path,
        run: &str,
        form: Form,
        kept: Option<PathText>,
        wal: bool,
        mode: Option<u32>,
    ) -> Result<Self> {
        let place = Place::find(path)?;
        Ok(Self {
            version: VERSION,
            path: PathText::new(place.path()),
            ground: Ground::of(place.folder()),
            run: run.to_owned(),
            step: Step::Planned,
            form,
            kept,
            way: None,
            old: None,
            wal,
            mode: mode.map(|mode| mode & 0o777),
            owner: None,
        })
    }

    pub(crate) fn parse(token: &Token) -> Result<Self> {
        let entry: Self = parse_entry(token, SqliteConfig::KIND, VERSION)?;
        entry.path.path().map(|_| entry)
    }

    pub(crate) fn token(&self) -> Token {
        serde_json::to_value(self).unwrap_or_default()
    }

    pub(crate) fn place(&self) -> Place {
        // Checked when it was parsed.
        Place::at(self.path.path().unwrap_or_default())
    }

    /// Checks that the folder of the database is the one in which the restore was begun.
    ///
    /// # Errors
    /// If it is another one, or none: its file system may not be mounted.
    pub(crate) fn check_ground(&self) -> Result<()> {
        self.ground.map_or(Ok(()), |ground| ground.check(self.place().folder()))
    }

    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    pub(crate) fn kept(&self) -> Result<Option<PathBuf>> {
        self.kept.as_ref().map(PathText::path).transpose()
    }
}

/// An old state that outlives its restore.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    version: u32,
    path: PathText,
    form: Form,
    wal: bool,
    mode: Option<u32>,
    #[serde(default)]
    owner: Option<Owner>,
    /// The folder that it is in.
    #[serde(default)]
    ground: Option<Ground>,
}

impl Kept {
    pub(crate) fn new(path: &Path, old: Before) -> Self {
        let Before { form, wal, mode, owner } = old;
        let ground = path.parent().and_then(Ground::of);
        Self { version: VERSION, path: PathText::new(path), form, wal, mode, owner, ground }
    }

    pub(crate) fn parse(token: &Token) -> Result<Self> {
        let kept: Self = parse_kept(token, SqliteConfig::KIND, VERSION)?;
        kept.path.path().map(|_| kept)
    }

    pub(crate) fn token(&self) -> Token {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Checks that it can be restored.
    ///
    /// # Errors
    /// If it is gone; or if it can't be seen, for its folder is another one, or none.
    fn check(&self) -> Result<()> {
        let path = self.path.path()?;
        if self.form != Form::Absent && path.symlink_metadata().is_ok() {
            return Ok(());
        }
        // That there was no file is kept in none: then its folder alone tells.
        if let (Some(ground), Some(folder)) = (self.ground, path.parent())
            && ground.check(folder).is_err()
        {
            return Err(Error::environment(
                "the folder in which the previous state was kept is not there, or is another one",
            )
            .with_context("folder", folder.display())
            .with_hint(
                "is the volume mounted? mount it; if that folder was removed for good, restore from an archive",
            ));
        }
        match self.form {
            Form::Absent => Ok(()),
            _ => Err(Error::environment("the previous state is gone")
                .with_context("file", path.display())
                .with_hint("restore from an archive")),
        }
    }

    /// Removes it. Twice is once.
    ///
    /// # Errors
    /// If neither it nor its folder is there: its file system may not be mounted.
    pub(crate) fn discard(&self) -> Result<()> {
        let path = self.path.path()?;
        if let (false, Some(ground), Some(folder)) = (path.exists(), self.ground, path.parent()) {
            ground.check(folder)?;
        }
        remove_with_companions(&path)
    }
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io_failed("can't remove a file beside the database", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a database of our own, with what SQLite left beside it.
pub(crate) fn remove_with_companions(path: &Path) -> Result<()> {
    COMPANIONS.iter().try_for_each(|suffix| remove(&suffixed(path, suffix)))?;
    remove(path)
}
