//! The adapter for simple sources: one stream out, one stream in.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;

use crate::{
    ArchivedNode, ArchivedPart, Capabilities, Changes, CutContext, Driver, Dumped, Error, Formats,
    Inspection, Links, OldState, OpenContext, Part, PartName, PartReader, PartStream, PartWriter, Result,
    Source, StageContext, Staging, Token, part_stream,
};

/// A source that is dumped as one stream and restored from one.
///
/// [`OneStreamDriver`] makes a [`Driver`] of it. Such a node is read when its turn comes (nothing pins it), and its
/// restore can't be undone: the engine loads it last, when all else is committed.
///
/// ```
/// use std::io::{Read, Write};
/// use dumprestore_driver::{OneStream, PartReader, PartWriter, Result, Error, async_trait};
///
/// struct Motd(std::path::PathBuf);
///
/// #[async_trait]
/// impl OneStream for Motd {
///     const KIND: &'static str = "motd";
///     fn target(&self) -> String { self.0.display().to_string() }
///     async fn dump(&self, out: &mut PartWriter<'_>) -> Result<()> {
///         let mut file = std::fs::File::open(&self.0).map_err(|e| Error::io("can't open the message", e))?;
///         std::io::copy(&mut file, out).map_err(|e| Error::io("can't dump the message", e))?;
///         Ok(())
///     }
///     async fn restore(&self, from: &mut PartReader<'_>) -> Result<()> {
///         let mut text = Vec::new();
///         from.read_to_end(&mut text).map_err(|e| Error::io("can't read the message", e))?;
///         std::fs::write(&self.0, text).map_err(|e| Error::io("can't write the message", e))
///     }
/// }
/// ```
#[async_trait]
pub trait OneStream: Send + Sync + 'static {
    /// The name under `driver:`.
    const KIND: &'static str;
    /// The format of the stream; grows when an older `restore` would misread it.
    const FORMAT: u32 = 1;
    /// The name of the stream in the archive.
    const PART: &'static str = "stream";

    /// Where the data lives, for people, without secrets.
    fn target(&self) -> String;

    /// Looks at the source without touching it.
    async fn inspect(&self) -> Result<Inspection> {
        Ok(Inspection::default())
    }

    /// Called at the cut, before any node is dumped: the place to freeze writers.
    async fn freeze(&self) -> Result<()> {
        Ok(())
    }

    /// Called when the dump is over, however it ended, if `freeze` was called; and by a later run, if the dump was
    /// killed. Thawing what is not frozen must do no harm.
    async fn thaw(&self) -> Result<()> {
        Ok(())
    }

    /// Writes the whole source. Called on a thread that may block.
    async fn dump(&self, out: &mut PartWriter<'_>) -> Result<()>;

    /// Replaces the whole source. Called on a thread that may block. What it reads is checked against the archive:
    /// `read` fails at the end if the content is damaged, so nothing is to be made final before the end was seen.
    async fn restore(&self, from: &mut PartReader<'_>) -> Result<()>;
}

/// A [`Driver`] made of a [`OneStream`].
#[derive(Debug)]
pub struct OneStreamDriver<S>(Arc<S>);

impl<S: OneStream> OneStreamDriver<S> {
    /// A driver for `stream`.
    pub fn new(stream: S) -> Self {
        Self(Arc::new(stream))
    }

    /// The same as the answer of [`DriverConfig::build`](crate::DriverConfig::build).
    pub fn boxed(stream: S) -> Result<Arc<dyn Driver>> {
        PartName::new(S::PART)
            .map_err(|error| Error::defect("the name of the stream is unfit").with_source(error))?;
        Ok(Arc::new(Self::new(stream)))
    }
}

#[async_trait]
impl<S: OneStream> Driver for OneStreamDriver<S> {
    fn kind(&self) -> &'static str {
        S::KIND
    }

    fn formats(&self) -> Formats {
        Formats { writes: S::FORMAT, reads: S::FORMAT..=S::FORMAT }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::streamed()
    }

    fn target(&self) -> String {
        self.0.target()
    }

    async fn inspect(&self) -> Result<Inspection> {
        self.0.inspect().await
    }

    async fn open(&self, _cx: OpenContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(Outgoing { stream: self.0.clone(), frozen: false }))
    }

    async fn thaw(&self) -> Result<()> {
        self.0.thaw().await
    }

    async fn changes(&self, _archived: Arc<dyn ArchivedNode>, _cx: &StageContext) -> Result<Changes> {
        let mut changes = Changes::of("streams");
        changes.replace = 1;
        changes.notes.push("loaded last, and not to be undone".to_owned());
        Ok(changes)
    }

    async fn stage(&self, _archived: Arc<dyn ArchivedNode>, _cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(Incoming { stream: self.0.clone(), state: IncomingState::Untouched }))
    }

    async fn resume(&self, token: &Token, _cx: StageContext) -> Result<Box<dyn Staging>> {
        let state = serde_json::from_value(token.clone()).map_err(|error| {
            Error::defect("the journal's token is not one of this driver").with_source(error)
        })?;
        Ok(Box::new(Incoming { stream: self.0.clone(), state }))
    }
}

struct Outgoing<S> {
    stream: Arc<S>,
    frozen: bool,
}

impl<S: OneStream> Links for Outgoing<S> {}

#[async_trait]
impl<S: OneStream> Source for Outgoing<S> {
    async fn pin(&mut self, _cut: &CutContext) -> Result<()> {
        // Set first: a freeze that failed halfway is thawed as well.
        self.frozen = true;
        self.stream.freeze().await
    }

    async fn unpin(&mut self) -> Result<()> {
        if std::mem::take(&mut self.frozen) { self.stream.thaw().await } else { Ok(()) }
    }

    async fn parts(&mut self) -> Result<PartStream> {
        Ok(part_stream([Part::new(PartName::new(S::PART)?)]))
    }

    async fn dump(&self, _part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        self.stream.dump(out).await?;
        Ok(Dumped::Whole { rows: None })
    }

    async fn release(&mut self) -> Result<()> {
        self.unpin().await
    }
}

struct Incoming<S> {
    stream: Arc<S>,
    state: IncomingState,
}

/// Where the target stands. `begin` is journalled before `load`: after it, nothing is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum IncomingState {
    Untouched,
    Begun,
}

impl<S: OneStream> Links for Incoming<S> {}

#[async_trait]
impl<S: OneStream> Staging for Incoming<S> {
    fn journal(&self) -> Token {
        serde_json::to_value(self.state).unwrap_or_default()
    }

    async fn begin(&mut self) -> Result<()> {
        self.state = IncomingState::Begun;
        Ok(())
    }

    async fn load(&self, _part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        // A driver's restore is foreign code: a panic in it must not take the rollback of the others along.
        std::panic::AssertUnwindSafe(self.stream.restore(from)).catch_unwind().await.unwrap_or_else(|_| {
            Err(Error::defect(format!("the `{}` driver panicked in its restore", S::KIND)))
        })
    }

    async fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    /// Asked once `commit` was begun: by then the whole stream was restored.
    async fn took_effect(&mut self) -> Result<Option<bool>> {
        Ok(Some(true))
    }

    async fn rollback(&mut self) -> Result<()> {
        match self.state {
            IncomingState::Untouched => Ok(()),
            IncomingState::Begun => Err(Error::stuck(format!("a `{}` node can't undo its restore", S::KIND))
                .with_context("target", self.stream.target())
                .with_hint("check the target, then restore this node again with `--only`")),
        }
    }

    async fn finish(&mut self, _old: OldState) -> Result<Option<Token>> {
        Ok(None)
    }
}
