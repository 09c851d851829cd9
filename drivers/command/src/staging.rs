//! A restore by command.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dumprestore_driver::{
    ArchivedPart, Error, Links, OldState, PartReader, Result, StageContext, Staging, Token, async_trait,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Sender;

use crate::commands::Commands;
use crate::process::Process;

/// As much as goes to a command at once.
const BUFFER: usize = 256 * 1024;

/// Where the target stands. `Begun` is in the journal before the command is run: after that, nothing is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Untouched,
    Begun,
}

/// One restore.
pub(crate) struct CommandStaging {
    commands: Arc<Commands>,
    cx: StageContext,
    state: State,
    /// Whether the command has run, as far as this process knows.
    has_run: AtomicBool,
}

impl CommandStaging {
    pub(crate) fn new(commands: Arc<Commands>, cx: StageContext, state: State) -> Self {
        Self { commands, cx, state, has_run: AtomicBool::new(state == State::Begun) }
    }
}

impl Links for CommandStaging {}

#[async_trait]
impl Staging for CommandStaging {
    fn journal(&self) -> Token {
        serde_json::json!(self.state)
    }

    async fn begin(&mut self) -> Result<()> {
        self.state = State::Begun;
        Ok(())
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        let broken = |error| Error::io("can't make a pipe to the restore command", error);
        let (reader, writer) = io::pipe().map_err(broken)?;
        // A second handle on the end that the command reads from: what it left unread can be seen there.
        let unread = reader.try_clone().map_err(broken)?;
        // Declared before the process, and so dropped after it: a restore that is given up kills all readers first.
        let mut input = Some(Sender::from_owned_fd(OwnedFd::from(writer)).map_err(broken)?);
        let expected =
            [("DUMPRESTORE_SIZE", part.size.to_string()), ("DUMPRESTORE_SHA256", part.digest.to_string())];
        let mut process = self.commands.start_restore(&self.cx.run, &self.cx.cancel, reader, expected)?;
        self.has_run.store(true, Ordering::SeqCst);
        if let Err(error) = feed(&mut process, &mut input, from).await {
            // While its input is still open: it must not take what it has for all there is.
            process.stop().await;
            return Err(error);
        }
        process.end().await?;
        match rustix::io::ioctl_fionread(&unread) {
            Ok(0) => Ok(()),
            Ok(_) => Err(process.stopped_reading()),
            Err(error) => Err(broken(error.into())),
        }
    }

    async fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    /// Asked once `commit` was begun: by then the command has ended well.
    async fn took_effect(&mut self) -> Result<Option<bool>> {
        Ok(Some(true))
    }

    async fn rollback(&mut self) -> Result<()> {
        if self.state == State::Untouched || !self.has_run.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(Error::stuck("what the restore command has done can't be undone")
            .with_context("program", &self.commands.restore.program)
            .with_hint("check the target, then restore this node again with `--only`"))
    }

    async fn finish(&mut self, _old: OldState) -> Result<Option<Token>> {
        Ok(None)
    }
}

/// Gives the command all of its input, and then the end of it.
async fn feed(process: &mut Process, input: &mut Option<Sender>, from: &mut PartReader<'_>) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    while let Some(pipe) = input {
        // Fails at the end at the latest if the content is damaged: the end is not passed on then.
        let read = from.read(&mut buffer).map_err(|error| Error::io("can't read the archive", error))?;
        if read == 0 {
            *input = None;
            return Ok(());
        }
        let written = process.while_running(pipe.write_all(&buffer[..read])).await?;
        written.map_err(|error| Error::io("can't write to the restore command", error))?;
    }
    Ok(())
}
