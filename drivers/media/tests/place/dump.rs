//! One dump, step by step, with its parts in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::SystemTime;

use dumprestore_driver::{
    BuildContext, CaptureId, CutContext, CutMode, Driver, DriverConfig, Dumped, LedgerEntry, NodePath,
    OpenContext, Part, PartSink, PartStream, PartWriter, Receipt, Reference, Result, Source, Unresolved,
};
use dumprestore_media::MediaConfig;
use dumprestore_testkit::TempDir;
use futures_util::StreamExt;
use serde_json::Value;
use std::sync::Arc;

use super::{Place, sha256};

pub fn driver(options: Value) -> Arc<dyn Driver> {
    let config: MediaConfig = serde_json::from_value(options).unwrap();
    config.build(&BuildContext::new(NodePath::new("media").unwrap(), "/")).unwrap()
}

pub struct Dump {
    source: Box<dyn Source>,
    finished: Mutex<Vec<Vec<u8>>>,
    _scratch: TempDir,
}

/// What was dumped.
pub struct Archive {
    /// The lines of `objects.jsonl`.
    pub lines: Vec<Value>,
    pub ledger: Vec<LedgerEntry>,
    parts: BTreeMap<String, Vec<u8>>,
}

struct Sink<'a> {
    content: Vec<u8>,
    receipt: Option<Receipt>,
    finished: &'a Mutex<Vec<Vec<u8>>>,
}

impl PartSink for Sink<'_> {
    fn write(&mut self, data: &[u8]) -> Result<()> {
        self.content.extend_from_slice(data);
        Ok(())
    }

    fn finish(&mut self) -> Result<Receipt> {
        if let Some(receipt) = self.receipt {
            return Ok(receipt);
        }
        let (size, digest) = (self.content.len() as u64, sha256(&self.content));
        let mut finished = self.finished.lock().unwrap();
        finished.push(std::mem::take(&mut self.content));
        let receipt = Receipt { capture: CaptureId(finished.len() as u64 - 1), size, digest };
        self.receipt = Some(receipt);
        Ok(receipt)
    }
}

impl Dump {
    pub async fn open(place: &Place) -> Self {
        Self::with(place.options()).await
    }

    pub async fn with(options: Value) -> Self {
        let scratch = TempDir::with_prefix("dumprestore-").unwrap();
        let cx = OpenContext::new("20260101t000000z-1", scratch.path());
        let source = driver(options).open(cx).await.unwrap();
        Self { source, finished: Mutex::default(), _scratch: scratch }
    }

    /// Lists what a pass has to read.
    pub async fn list(&mut self) -> Vec<Part> {
        all(self.source.capture().await.unwrap()).await
    }

    /// One pass. How many objects were read.
    pub async fn pass(&mut self) -> usize {
        let parts = self.list().await;
        for part in &parts {
            self.dump(part).await;
        }
        parts.len()
    }

    pub async fn pin(&mut self, mode: CutMode) {
        self.source.pin(&CutContext::new(SystemTime::now(), mode)).await.unwrap();
    }

    pub async fn unlock(&mut self) {
        self.source.unlock().await.unwrap();
    }

    pub async fn unpin(&mut self) {
        self.source.unpin().await.unwrap();
    }

    /// Those that don't resolve, late captures made.
    pub async fn resolve(&self, references: &[Reference]) -> Vec<Unresolved> {
        let first = self.source.resolve(None, references).await.unwrap();
        for part in first.iter().filter_map(|unresolved| unresolved.part.as_ref()) {
            self.dump(part).await;
        }
        let again: Vec<Reference> = first.into_iter().map(|unresolved| unresolved.reference).collect();
        self.source.resolve(None, &again).await.unwrap()
    }

    /// Which capture it became; none if it has vanished. And how often it was torn.
    pub async fn dump(&self, part: &Part) -> (Option<CaptureId>, u32) {
        for torn in 0..50 {
            let mut sink = Sink { content: Vec::new(), receipt: None, finished: &self.finished };
            match self.source.dump(part, &mut PartWriter::new(&mut sink)).await.unwrap() {
                Dumped::Torn => continue,
                Dumped::Gone => return (None, torn),
                Dumped::Whole { .. } => return (Some(sink.finish().unwrap().capture), torn),
            }
        }
        panic!("torn for ever");
    }

    pub async fn finish(mut self) -> Archive {
        let parts = self.parts().await;
        self.finish_with(parts).await
    }

    /// All parts of the dump.
    pub async fn parts(&mut self) -> Vec<Part> {
        all(self.source.parts().await.unwrap()).await
    }

    pub async fn finish_with(mut self, listed: Vec<Part>) -> Archive {
        let mut parts = BTreeMap::new();
        for part in listed {
            let capture = match part.captured {
                Some(capture) => Some(capture),
                None => self.dump(&part).await.0,
            };
            let content = capture.map(|capture| self.finished.lock().unwrap()[capture.0 as usize].clone());
            if let Some(content) = content {
                assert!(
                    parts.insert(part.name.as_str().to_owned(), content).is_none(),
                    "{part:?} comes twice"
                );
            }
        }
        let ledger = self.source.ledger();
        self.source.release().await.unwrap();
        let list = parts.remove("objects.jsonl").unwrap();
        let lines: Vec<Value> = list
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let archive = Archive { lines, ledger, parts };
        archive.check();
        archive
    }
}

async fn all(parts: PartStream) -> Vec<Part> {
    parts.map(|part| part.unwrap()).collect().await
}

impl Archive {
    /// Each part is in one line, with its size and digest.
    fn check(&self) {
        let named = self.lines.iter().filter_map(|line| line["part"].as_str());
        let mut named: Vec<&str> = named.collect();
        named.sort_unstable();
        assert_eq!(named, self.parts.keys().map(String::as_str).collect::<Vec<_>>());
        for line in self.lines.iter().filter(|line| line["part"].is_string()) {
            let content = &self.parts[line["part"].as_str().unwrap()];
            assert_eq!(line["size"], content.len() as u64, "{line}");
            assert_eq!(line["sha256"], sha256(content).to_string(), "{line}");
        }
    }

    pub fn keys(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line["key"].as_str().unwrap()).collect()
    }

    pub fn line(&self, key: &str) -> &Value {
        self.lines.iter().find(|line| line["key"] == key).unwrap_or(&Value::Null)
    }

    /// The content of an object, if it was dumped.
    pub fn object(&self, key: &str) -> Option<&[u8]> {
        let part = self.line(key)["part"].as_str()?;
        self.parts.get(part).map(Vec::as_slice)
    }

    pub fn degraded(&self) -> Vec<&LedgerEntry> {
        self.ledger.iter().filter(|entry| entry.degrades).collect()
    }
}
