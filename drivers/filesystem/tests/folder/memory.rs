//! Dumps, archives and restores in memory, step by step.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, CaptureId, CutContext, CutMode, Digest as Sha, Dumped, Error, Facts,
    LedgerEntry, NodePath, Part, PartName, PartReader, PartSink, PartWriter, Receipt, Reference, Result,
    Source, Staging, Unresolved,
};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

/// A dump that keeps everything in memory.
pub struct Dump {
    pub source: Box<dyn Source>,
    pub captured: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

impl Dump {
    pub fn of(source: Box<dyn Source>) -> Self {
        Self { source, captured: BTreeMap::new(), next: 0 }
    }

    /// One pass; the names of what was listed.
    pub async fn pass(&mut self) -> Vec<String> {
        let parts = self.list().await;
        for part in &parts {
            self.take(part).await;
        }
        parts.into_iter().map(|part| part.name.to_string()).collect()
    }

    pub async fn list(&mut self) -> Vec<Part> {
        let mut stream = self.source.capture().await.unwrap();
        let mut parts = Vec::new();
        while let Some(part) = stream.next().await {
            parts.push(part.unwrap());
        }
        parts
    }

    /// Dumps a part, as often as it is torn. The capture, unless it is gone.
    pub async fn take(&mut self, part: &Part) -> Option<u64> {
        for _try in 0..20 {
            self.next += 1;
            let mut sink = Memory { id: self.next, bytes: Vec::new(), finished: false };
            let dumped = self.source.dump(part, &mut PartWriter::new(&mut sink)).await.unwrap();
            match dumped {
                Dumped::Whole { .. } => {
                    self.captured.insert(sink.id, sink.bytes);
                    return Some(sink.id);
                }
                Dumped::Torn => assert!(!sink.finished, "a torn part was finished"),
                Dumped::Gone => return None,
            }
        }
        panic!("{} is torn for ever", part.name);
    }

    pub async fn pin(&mut self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let now = std::time::UNIX_EPOCH + std::time::Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
        self.source.pin(&CutContext::new(now, CutMode::Open)).await.unwrap();
    }

    /// Those that don't resolve, also after the parts that may mend them were dumped.
    pub async fn resolve(&mut self, references: &[Reference]) -> Vec<Unresolved> {
        let first = self.source.resolve(None, references).await.unwrap();
        let parts: Vec<_> = first.iter().filter_map(|unresolved| unresolved.part.clone()).collect();
        for part in &parts {
            self.take(part).await;
        }
        if parts.is_empty() {
            return first;
        }
        let again: Vec<_> = first.into_iter().map(|unresolved| unresolved.reference).collect();
        self.source.resolve(None, &again).await.unwrap()
    }

    pub async fn seal(&mut self) -> Archive {
        let mut stream = self.source.parts().await.unwrap();
        let mut parts = BTreeMap::new();
        while let Some(part) = stream.next().await {
            let part = part.unwrap();
            let id = match part.captured {
                Some(id) => Some(id.0),
                None => self.take(&part).await,
            };
            if let Some(id) = id {
                assert!(
                    parts.insert(part.name.clone(), self.captured[&id].clone()).is_none(),
                    "{} twice",
                    part.name
                );
            }
        }
        let ledger = self.source.ledger();
        self.source.release().await.unwrap();
        Archive { node: NodePath::new("node").unwrap(), parts, ledger, facts: Facts::new() }
    }
}

struct Memory {
    id: u64,
    bytes: Vec<u8>,
    finished: bool,
}

impl PartSink for Memory {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.bytes.extend(data);
        Ok(())
    }

    fn finish(&mut self) -> Result<Receipt> {
        self.finished = true;
        let digest = Sha::new(Sha256::digest(&self.bytes).into());
        Ok(Receipt { capture: CaptureId(self.id), size: self.bytes.len() as u64, digest })
    }
}

/// An archive in memory.
#[derive(Clone)]
pub struct Archive {
    node: NodePath,
    pub parts: BTreeMap<PartName, Vec<u8>>,
    pub ledger: Vec<LedgerEntry>,
    facts: Facts,
}

impl Archive {
    /// The bytes of the file at `path`.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        self.parts.get(&PartName::escape(format!("files/{path}").as_bytes()).unwrap()).map(|bytes| &bytes[..])
    }

    pub fn tree(&self) -> String {
        String::from_utf8(self.parts[&PartName::new("tree.jsonl").unwrap()].clone()).unwrap()
    }

    /// The same with another tree.
    pub fn with_tree(&self, tree: impl Into<Vec<u8>>) -> Arc<Self> {
        let mut other = self.clone();
        other.parts.insert(PartName::new("tree.jsonl").unwrap(), tree.into());
        Arc::new(other)
    }

    /// The same with one more part, or less.
    pub fn with_part(&self, name: &str, bytes: Option<&[u8]>) -> Arc<Self> {
        let (mut other, name) = (self.clone(), PartName::new(name).unwrap());
        match bytes {
            Some(bytes) => other.parts.insert(name, bytes.to_vec()),
            None => other.parts.remove(&name),
        };
        Arc::new(other)
    }

    pub fn degraded(&self) -> Vec<&LedgerEntry> {
        self.ledger.iter().filter(|entry| entry.degrades).collect()
    }

    pub fn says(&self, what: &str, why: &str) -> bool {
        self.ledger.iter().any(|entry| entry.what == what && entry.why.contains(why))
    }
}

impl ArchivedNode for Archive {
    fn path(&self) -> &NodePath {
        &self.node
    }

    fn kind(&self) -> &str {
        "filesystem"
    }

    fn format(&self) -> u32 {
        1
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn parts(&self) -> Box<dyn Iterator<Item = ArchivedPart> + Send + '_> {
        Box::new(self.parts.iter().map(|(name, bytes)| {
            ArchivedPart::new(name.clone(), bytes.len() as u64, Sha::new(Sha256::digest(bytes).into()))
        }))
    }

    fn read(&self, name: &PartName) -> Result<Box<dyn Read + Send>> {
        match self.parts.get(name) {
            Some(bytes) => Ok(Box::new(std::io::Cursor::new(bytes.clone()))),
            None => Err(Error::archive(format!("there is no part `{name}`"))),
        }
    }
}

/// A restore, by hand.
pub struct Restore {
    pub staging: Box<dyn Staging>,
    archive: Arc<Archive>,
}

impl Restore {
    pub fn of(staging: Box<dyn Staging>, archive: Arc<Archive>) -> Self {
        Self { staging, archive }
    }

    pub async fn load(&mut self) -> Result<()> {
        self.staging.begin().await?;
        for part in self.archive.parts() {
            let mut stream = self.archive.read(&part.name)?;
            self.staging.load(&part, &mut PartReader::new(&mut *stream)).await?;
        }
        Ok(())
    }

    pub async fn commit(&mut self) -> Result<()> {
        self.load().await?;
        self.staging.prepare().await?;
        self.staging.commit().await
    }
}

/// A reference with the digest of `content`.
pub fn holding(key: &str, content: impl AsRef<[u8]>) -> Reference {
    Reference { digest: Some(Sha::new(Sha256::digest(content).into())), ..Reference::to(key) }
}
