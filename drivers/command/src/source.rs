//! A dump by command.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use dumprestore_driver::{
    CutContext, Dumped, Error, LedgerEntry, Links, OpenContext, Part, PartName, PartStream, PartWriter,
    Result, Source, async_trait, part_stream,
};
use tokio::io::AsyncReadExt;

use crate::commands::Commands;
use crate::driver::PART;
use crate::process::Process;

/// Larger than a pipe, so that one read empties it.
const BUFFER: usize = 256 * 1024;

/// One dump.
pub(crate) struct CommandSource {
    commands: Arc<Commands>,
    cx: OpenContext,
    frozen: bool,
    ledger: Mutex<Vec<LedgerEntry>>,
}

impl CommandSource {
    pub(crate) fn new(commands: Arc<Commands>, cx: OpenContext) -> Self {
        Self { commands, cx, frozen: false, ledger: Mutex::default() }
    }

    fn enter_in_ledger(&self, said: String) {
        if !said.is_empty() {
            let entry = LedgerEntry::note("the dump command", format!("it said: {said}"));
            self.ledger.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        }
    }
}

impl Links for CommandSource {}

#[async_trait]
impl Source for CommandSource {
    async fn pin(&mut self, _cut: &CutContext) -> Result<()> {
        // Set first: a freeze that failed halfway is thawed as well.
        self.frozen = true;
        self.commands.freeze(&self.cx.run, &self.cx.cancel).await
    }

    async fn unpin(&mut self) -> Result<()> {
        if self.frozen {
            self.commands.thaw(&self.cx.run).await?;
            self.frozen = false;
        }
        Ok(())
    }

    async fn parts(&mut self) -> Result<PartStream> {
        Ok(part_stream([Part::new(PartName::new(PART)?)]))
    }

    async fn dump(&self, _part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        let mut process = self.commands.start_dump(&self.cx.run, &self.cx.cancel)?;
        let size = match copy(&mut process, out).await {
            Ok(size) => size,
            Err(error) => {
                process.stop().await;
                return Err(error);
            }
        };
        // Only now is it known whether what was written is worth anything.
        process.end().await?;
        if size == 0 && !self.commands.allow_empty {
            return Err(process.wrote_nothing());
        }
        self.enter_in_ledger(process.said());
        Ok(Dumped::Whole { rows: None })
    }

    fn ledger(&self) -> Vec<LedgerEntry> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn release(&mut self) -> Result<()> {
        self.unpin().await
    }
}

async fn copy(process: &mut Process, out: &mut PartWriter<'_>) -> Result<u64> {
    let mut stdout = process.stdout()?;
    let mut buffer = vec![0; BUFFER];
    let mut size = 0;
    loop {
        let read = process.watch.during(stdout.read(&mut buffer)).await?;
        let read = read.map_err(|error| Error::io("can't read what the dump command writes", error))?;
        if read == 0 {
            return Ok(size);
        }
        out.write_all(&buffer[..read]).map_err(|error| Error::io("can't write to the archive", error))?;
        size += read as u64;
    }
}
