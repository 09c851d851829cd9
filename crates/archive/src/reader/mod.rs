//! Reading an archive: what it says it is, then content, each with its proof.

mod compare;
mod content;
mod decode;
mod open;
mod range;
mod verify;

pub use content::PartReader;
pub use range::RangeRead;
pub use verify::{Progress, Verified, VerifyOptions};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::manifest::{Manifest, Node, Part};
use decode::Decoders;
use std::fmt;
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
    /// For each node the numbers of its parts by name.
    by_name: Vec<Vec<u32>>,
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
        let (manifest, sha256, bytes) = open::open(&*file, limits)?;
        let by_name = manifest.nodes.iter().map(Node::parts_by_name).collect();
        Ok(Self(Arc::new(Opened { file, manifest, sha256, bytes, by_name, decoders: Decoders::default() })))
    }

    /// What is in the archive, and how it was made.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
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
        let (node, part) = self.find(node, name).ok_or_else(|| {
            let message = format!("there is no part `{name}` of node `{node}` in the archive");
            Error::new(ErrorKind::NotFound, message)
        })?;
        self.read(node, part)
    }

    fn find(&self, path: &str, name: &str) -> Option<(&Node, &Part)> {
        let Opened { manifest, by_name, .. } = &*self.0;
        let (node, numbers) = manifest.nodes.iter().zip(by_name).find(|(node, _)| node.path == path)?;
        let found = numbers.binary_search_by(|&number| (*node.parts[number as usize].name).cmp(name)).ok()?;
        Some((node, &node.parts[numbers[found] as usize]))
    }

    /// Opens a part of [`manifest`](Self::manifest), without looking it up.
    pub fn read(&self, node: &Node, part: &Part) -> Result<PartReader> {
        PartReader::open(self.0.clone(), node, part)
    }
}
