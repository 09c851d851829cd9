//! Reading an archive: what it says it is, then content, each with its proof.

mod compare;
mod content;
mod decode;
mod directory;
mod elements;
mod open;
mod parts;
mod range;
mod skeleton;
mod verify;

pub use content::PartReader;
pub use parts::{Parts, Totals};
pub use range::RangeRead;
pub(crate) use skeleton::Skeleton;
pub use verify::{Progress, Verified, VerifyOptions};

use crate::clash::NameKeys;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::manifest::{Document, Manifest, Part};
use crate::name::full_name;
use crate::scratch::{Scratch, Table};
use decode::Decoders;
use elements::Text;
use parts::List;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// An archive whose manifest, names and central directory have been checked. Content is checked as it is read,
/// or at once by [`verify`](Self::verify).
///
/// Share it by reference, or clone it, which is cheap: parts can be read from several threads at once.
#[derive(Clone)]
pub struct Archive(Arc<Opened>);

pub(crate) struct Opened {
    file: Arc<dyn RangeRead>,
    manifest: Manifest,
    sha256: Digest,
    bytes: u64,
    text: Text,
    /// For each node where its parts are.
    lists: Vec<List>,
    /// Where in the manifest each part stands, by its name.
    names: Table,
    keys: NameKeys,
    decoders: Decoders,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("set", &self.0.manifest.set).field("sha256", &self.0.sha256).finish()
    }
}

impl Archive {
    /// Opens an archive within the default [`Limits`].
    ///
    /// Reads the manifest and the central directory. Fails with [`ErrorKind::NotAnArchive`],
    /// [`ErrorKind::Incomplete`], [`ErrorKind::Unsupported`], [`ErrorKind::UnsafeName`], [`ErrorKind::Limit`] or
    /// [`ErrorKind::Damaged`], and names the entry where there is one.
    pub fn open(file: Arc<dyn RangeRead>) -> Result<Self> {
        Self::open_within(file, &Limits::default())
    }

    /// Opens an archive within the given limits.
    pub fn open_within(file: Arc<dyn RangeRead>, limits: &Limits) -> Result<Self> {
        Self::open_with(file, limits, None)
    }

    /// Opens an archive within the given limits, with a folder for files without a name, in which goes what memory
    /// has no room for if there are very many parts. Without one, or where no file can be made, opening takes some 120
    /// bytes of memory for each part, of which 12 stay.
    pub fn open_with(file: Arc<dyn RangeRead>, limits: &Limits, scratch: Option<PathBuf>) -> Result<Self> {
        open::open(file, limits, &Scratch::new(scratch)).map(|opened| Self(Arc::new(opened)))
    }

    /// What is in the archive, and how it was made, but for the [parts](Self::parts).
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// The manifest with all parts, to be serialised: they are read as they are written.
    pub fn document(&self) -> impl Serialize + '_ {
        Document::new(&self.0.manifest, self)
    }

    /// What it is read from.
    pub fn file(&self) -> &Arc<dyn RangeRead> {
        &self.0.file
    }

    fn index(&self, node: &str) -> Result<usize> {
        let at = self.0.manifest.nodes.iter().position(|known| known.path == node);
        at.ok_or_else(|| {
            let message = format!("there is no node `{node}` in the archive");
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// The parts of the node of that path.
    pub fn parts(&self, node: &str) -> Result<Parts> {
        self.parts_from(node, 0)
    }

    /// The same, without the first so many.
    pub fn parts_from(&self, node: &str, first: u64) -> Result<Parts> {
        Parts::of(self.0.clone(), self.index(node)?, first)
    }

    /// The parts of the node of that path in figures.
    pub fn totals(&self, node: &str) -> Result<Totals> {
        Ok(self.0.lists[self.index(node)?].totals)
    }

    /// What the manifest says of the part of that name.
    pub fn find(&self, node: &str, name: &str) -> Result<Option<Part>> {
        self.0.find(self.index(node)?, name)
    }

    /// The SHA-256 of `manifest.json`: it stands for the whole archive.
    pub fn sha256(&self) -> Digest {
        self.0.sha256
    }

    /// The archive's size in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Opens the part of that name in the node of that path.
    pub fn part(&self, node: &str, name: &str) -> Result<PartReader> {
        let part = self.find(node, name)?.ok_or_else(|| {
            let message = format!("there is no part `{name}` of node `{node}` in the archive");
            Error::new(ErrorKind::NotFound, message)
        })?;
        self.read(node, &part)
    }

    /// Opens a part that [`parts`](Self::parts) of that node has yielded, without looking it up.
    pub fn read(&self, node: &str, part: &Part) -> Result<PartReader> {
        PartReader::open(self.0.clone(), node, part)
    }
}

impl Opened {
    fn name_at(&self, at: u32) -> Result<String> {
        let (node, part) = self.part_at(at)?;
        Ok(full_name(&self.manifest.nodes[node].path, &part.name))
    }
}
