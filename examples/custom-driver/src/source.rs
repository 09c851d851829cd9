//! Dumping a ledger.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use dumprestore_driver::{
    CutContext, Dumped, Error, LedgerEntry, Links, Part, PartName, PartStream, PartWriter, Result, Source,
    async_trait, part_stream,
};

pub(crate) struct LedgerSource {
    path: PathBuf,
    pinned: Option<Pinned>,
}

/// A ledger is only appended to: an open file and its length are a view of one instant.
struct Pinned {
    file: File,
    /// Up to the end of the last line that is whole.
    length: u64,
    /// How many bytes of an unfinished line follow.
    torn: u64,
}

impl LedgerSource {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, pinned: None }
    }

    fn pinned(&self) -> Result<&Pinned> {
        self.pinned.as_ref().ok_or_else(|| Error::defect("the ledger is not pinned"))
    }
}

impl Links for LedgerSource {}

// ANCHOR: source
#[async_trait]
impl Source for LedgerSource {
    async fn pin(&mut self, _cut: &CutContext) -> Result<()> {
        let path = self.path.clone();
        let pinned = tokio::task::spawn_blocking(move || Pinned::open(path)).await;
        let pinned = pinned.map_err(|error| Error::defect("the pin panicked").with_source(error))?;
        self.pinned = Some(pinned.map_err(|error| {
            Error::io("can't open the ledger", error).with_context("path", self.path.display())
        })?);
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        self.pinned = None;
        Ok(())
    }

    async fn parts(&mut self) -> Result<PartStream> {
        Ok(part_stream([Part::new(PartName::new("ledger.jsonl")?).with_size(self.pinned()?.length)]))
    }

    async fn dump(&self, _part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        let Pinned { file, length, .. } = self.pinned()?;
        let mut file = file;
        file.rewind().map_err(|error| Error::io("can't read the ledger", error))?;
        let copied = io::copy(&mut BufReader::with_capacity(256 * 1024, file.take(*length)), out)
            .map_err(|error| Error::io("can't dump the ledger", error))?;
        if copied < *length {
            return Err(Error::environment("the ledger was cut short while it was read"));
        }
        Ok(Dumped::Whole { rows: None })
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        let torn = self.pinned.as_ref().map_or(0, |pinned| pinned.torn);
        let entry =
            || LedgerEntry::degrading("the last line", format!("unfinished: {torn} bytes are left out"));
        (torn > 0).then(entry).into_iter().collect()
    }

    async fn release(&mut self) -> Result<()> {
        self.unpin().await
    }
}
// ANCHOR_END: source

impl Pinned {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        let length = end_of_last_line(&file, end)?;
        Ok(Self { file, length, torn: end - length })
    }
}

fn end_of_last_line(file: &File, mut end: u64) -> io::Result<u64> {
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let read = &mut block[..(end - start) as usize];
        file.read_exact_at(read, start)?;
        if let Some(at) = read.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
