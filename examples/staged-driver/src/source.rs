//! Dumping a ledger.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use dumprestore_driver::{
    CutContext, Dumped, Error, LedgerEntry, Links, Part, PartName, PartStream, PartWriter, Result, Source,
    async_trait, part_stream,
};

use crate::failed;

pub(crate) struct LedgerSource {
    path: PathBuf,
    pinned: Option<Pinned>,
}

/// A ledger is only appended to: an open file and a length are a view of one instant.
struct Pinned {
    file: File,
    /// Up to the end of the last whole line.
    length: u64,
    /// How many bytes follow it: a line that is just being written, or has no end.
    unfinished: u64,
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

#[async_trait]
impl Source for LedgerSource {
    async fn pin(&mut self, _cut: &CutContext) -> Result<()> {
        let path = self.path.clone();
        let pinned = tokio::task::spawn_blocking(move || Pinned::open(path)).await;
        let pinned = pinned.map_err(|error| Error::defect("the pin panicked").with_source(error))?;
        self.pinned = Some(pinned.map_err(|error| failed("open the ledger", &self.path, error))?);
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        self.pinned = None;
        Ok(())
    }

    async fn parts(&mut self) -> Result<PartStream> {
        Ok(part_stream([Part::new(PartName::new("ledger")?).with_size(self.pinned()?.length)]))
    }

    async fn dump(&self, _part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        let mut file = &self.pinned()?.file;
        let length = self.pinned()?.length;
        let copied = file
            .rewind()
            .and_then(|()| io::copy(&mut BufReader::with_capacity(256 * 1024, file.take(length)), out))
            .map_err(|error| failed("dump the ledger", &self.path, error))?;
        if copied < length {
            return Err(Error::environment("the ledger was cut short while it was read"));
        }
        Ok(Dumped::Whole { rows: None })
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        let left_out = self.pinned.as_ref().map_or(0, |pinned| pinned.unfinished);
        let entry =
            || LedgerEntry::degrading("the last line", format!("has no end: {left_out} bytes are left out"));
        (left_out > 0).then(entry).into_iter().collect()
    }

    async fn release(&mut self) -> Result<()> {
        self.unpin().await
    }
}

impl Pinned {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        let length = end_of_last_line(&file, end)?;
        Ok(Self { file, length, unfinished: end - length })
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
