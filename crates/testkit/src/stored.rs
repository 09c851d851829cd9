//! A node's section of an archive, as plain files: what the suite dumps into and restores from.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, CaptureId, Digest, Error, Facts, LedgerEntry, NodePath, PartName, PartSink,
    Receipt, Result,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Faulty;

/// A dumped node. Its parts are files in a folder, so that another process can restore it.
#[derive(Debug, Clone)]
pub struct StoredNode {
    folder: PathBuf,
    pub(crate) index: Index,
    faults: Arc<Faulty>,
    pub(crate) chunk: usize,
    damage: Option<(PartName, Damage)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) path: NodePath,
    pub(crate) kind: String,
    pub(crate) format: u32,
    pub(crate) facts: Facts,
    pub(crate) ledger: Vec<LedgerEntry>,
    pub(crate) parts: Vec<StoredPart>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredPart {
    pub(crate) name: PartName,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    pub(crate) rows: Option<u64>,
    pub(crate) file: u64,
}

/// How a part is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// All bytes come, and then an error: the digest was wrong.
    AtTheEnd,
    /// Half of the bytes come, and then an error.
    Halfway,
}

impl StoredNode {
    pub(crate) fn new(folder: PathBuf, index: Index) -> Self {
        Self { folder, index, faults: Arc::default(), chunk: 64 * 1024, damage: None }
    }

    /// A node without parts.
    pub(crate) fn nothing(folder: &Path) -> Result<Self> {
        let index = Index {
            path: NodePath::new("node")?,
            kind: String::new(),
            format: 1,
            facts: Facts::new(),
            ledger: Vec::new(),
            parts: Vec::new(),
        };
        Ok(Self::new(folder.to_owned(), index))
    }

    /// Opens what [`save`](Self::save) wrote into `folder`.
    pub fn open(folder: &Path) -> Self {
        let index = std::fs::read(folder.join("index.json")).expect("the index of a stored node");
        Self::new(
            folder.to_owned(),
            serde_json::from_slice(&index).expect("the index of a stored node is JSON"),
        )
    }

    /// Writes the list of parts beside them, and gives the folder.
    pub fn save(&self) -> &Path {
        let index = serde_json::to_vec(&self.index).expect("the index becomes JSON");
        std::fs::write(self.folder.join("index.json"), index).expect("the index can be written");
        &self.folder
    }

    /// The same, after its folder was moved to `folder`.
    pub fn moved(&self, folder: &Path) -> Arc<Self> {
        Arc::new(Self { folder: folder.to_owned(), ..self.clone() })
    }

    /// The same, with faults in its reads.
    pub fn with_faults(&self, faults: &Arc<Faulty>) -> Self {
        Self { faults: faults.clone(), ..self.clone() }
    }

    /// The same, which gives at most so many bytes per read.
    pub fn with_chunk(&self, chunk: usize) -> Self {
        Self { chunk, ..self.clone() }
    }

    /// The same, with a damaged part.
    pub fn with_damage(&self, part: PartName, damage: Damage) -> Self {
        Self { damage: Some((part, damage)), ..self.clone() }
    }

    /// The same, of another format.
    pub fn with_format(&self, format: u32) -> Self {
        let mut other = self.clone();
        other.index.format = format;
        other
    }

    /// What the source said was not dumped as it was.
    pub fn ledger(&self) -> &[LedgerEntry] {
        &self.index.ledger
    }

    /// The names of its parts, as listed.
    pub fn names(&self) -> Vec<PartName> {
        self.index.parts.iter().map(|part| part.name.clone()).collect()
    }
}

impl ArchivedNode for StoredNode {
    fn path(&self) -> &NodePath {
        &self.index.path
    }

    fn kind(&self) -> &str {
        &self.index.kind
    }

    fn format(&self) -> u32 {
        self.index.format
    }

    fn facts(&self) -> &Facts {
        &self.index.facts
    }

    fn parts(&self) -> Box<dyn Iterator<Item = ArchivedPart> + Send + '_> {
        Box::new(self.index.parts.iter().map(StoredPart::archived))
    }

    fn read(&self, name: &PartName) -> Result<Box<dyn Read + Send>> {
        let part = self.index.parts.iter().find(|part| part.name == *name);
        let part = part.ok_or_else(|| Error::archive(format!("there is no part `{name}`")))?;
        let damage = self.damage.as_ref().filter(|(damaged, _)| damaged == name).map(|(_, damage)| *damage);
        let path = self.folder.join(part.file.to_string());
        let file = File::open(&path).map_err(|error| Error::io("can't open a stored part", error))?;
        Ok(Box::new(StoredReader {
            file: BufReader::with_capacity(256 * 1024, file),
            left: if damage == Some(Damage::Halfway) { part.size / 2 } else { part.size },
            hasher: Sha256::new(),
            digest: part.digest,
            chunk: self.chunk,
            damage,
            faults: self.faults.clone(),
        }))
    }
}

impl StoredPart {
    pub(crate) fn archived(&self) -> ArchivedPart {
        ArchivedPart::new(self.name.clone(), self.size, self.digest).with_rows(self.rows)
    }
}

struct StoredReader {
    file: BufReader<File>,
    left: u64,
    hasher: Sha256,
    digest: Digest,
    chunk: usize,
    damage: Option<Damage>,
    faults: Arc<Faulty>,
}

impl Read for StoredReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.faults.io("read")?;
        if self.left == 0 {
            return self.end();
        }
        let most = buffer.len().min(self.chunk).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..most])?;
        assert!(read > 0, "a stored part is shorter than it was");
        self.hasher.update(&buffer[..read]);
        self.left -= read as u64;
        Ok(read)
    }
}

impl StoredReader {
    fn end(&mut self) -> io::Result<usize> {
        let digest = Digest::new(self.hasher.clone().finalize().into());
        if self.damage.is_none() && digest == self.digest {
            return Ok(0);
        }
        Err(Error::archive(DAMAGED).into())
    }
}

/// The message of the error that ends a damaged part.
pub const DAMAGED: &str = "the content of a part is damaged";

/// Takes one part: a file, hashed on the way.
pub(crate) struct StoredSink {
    file: File,
    hasher: Sha256,
    size: u64,
    id: u64,
    done: Option<Receipt>,
    faults: Arc<Faulty>,
}

impl StoredSink {
    pub(crate) fn create(folder: &Path, id: u64, faults: Arc<Faulty>) -> Result<Self> {
        let file = File::create(folder.join(id.to_string()))
            .map_err(|error| Error::io("can't store a part", error))?;
        Ok(Self { file, hasher: Sha256::new(), size: 0, id, done: None, faults })
    }
}

impl PartSink for StoredSink {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.faults.io("write")?;
        if self.done.is_some() {
            return Err(Error::defect("a part was written to after its end"));
        }
        self.file.write_all(data).map_err(|error| Error::io("can't store a part", error))?;
        self.hasher.update(data);
        self.size += data.len() as u64;
        Ok(())
    }

    fn finish(&mut self) -> Result<Receipt> {
        if let Some(receipt) = self.done {
            return Ok(receipt);
        }
        self.faults.io("end of part")?;
        let digest = Digest::new(self.hasher.clone().finalize().into());
        let receipt = Receipt { capture: CaptureId(self.id), size: self.size, digest };
        self.done = Some(receipt);
        Ok(receipt)
    }
}
