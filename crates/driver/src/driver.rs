//! The four traits of a driver, in the order in which a run meets them.

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{
    ArchivedNode, ArchivedPart, BuildContext, Capabilities, Changes, CutContext, Dumped, Error, Facts,
    Formats, Inspection, LedgerEntry, Links, OpenContext, Part, PartReader, PartStream, PartWriter, Result,
    Secret, Selection, StageContext,
};

/// What a staging writes into the journal: enough for [`Driver::resume`] to commit or roll back after a crash.
/// It is kept on disk and must hold no secret.
pub type Token = serde_json::Value;

/// The options of a node, as they stand in the configuration.
///
/// A component *is* its documented struct: `#[derive(Deserialize, JsonSchema)]` with `deny_unknown_fields`, so
/// that a typing error can't silently make another backup. Doc comments on the fields end up in the JSON Schema.
pub trait DriverConfig: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The name under `driver:`, such as `sqlite`.
    const KIND: &'static str;
    /// One line that says what it dumps.
    const ABOUT: &'static str;
    /// The option that says where the data lives (`path`, `url`): what `--map NODE=TARGET` replaces.
    /// `None` where a node cannot be restored anywhere else.
    const TARGET: Option<&'static str>;

    /// Checks the options and makes the driver.
    ///
    /// # Behavior
    /// - Works offline: reads secrets, but connects to nothing and touches nothing.
    /// - A relative path is relative to [`BuildContext::base`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the option named.
    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>>;

    /// Writes what is archived as one SQL script that the store's own client accepts: `extract --sql`.
    ///
    /// # Behavior
    /// - Works from the archive alone: no server, no configuration. Called on a thread that may block.
    /// - Checks [`ArchivedNode::format`] and what is selected by itself: nothing else has.
    /// - Memory is bounded whatever the size of the node.
    ///
    /// # Errors
    /// An error of `out` is passed on as it is, with [`Error::io`]. By default
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported): this driver's parts are no SQL.
    fn export_sql(
        _archived: &dyn ArchivedNode,
        _selection: &Selection,
        _out: &mut (dyn Write + Send),
    ) -> Result<()> {
        Err(Error::unsupported(format!("a `{}` node can't be extracted as SQL", Self::KIND))
            .with_hint("`extract` without `--sql` gives its parts as they are"))
    }
}

/// One source that can be dumped and restored.
#[async_trait]
pub trait Driver: Send + Sync {
    /// [`DriverConfig::KIND`] again.
    fn kind(&self) -> &'static str;

    /// Which formats of its parts this driver writes and reads.
    fn formats(&self) -> Formats;

    /// What the engine may ask of this driver. Does not change over its life.
    fn capabilities(&self) -> Capabilities;

    /// Where the data lives, for people: a path, or a URL without its password.
    fn target(&self) -> String;

    /// Refuses `keys:` that this driver, as a referrer, can't read. Offline.
    ///
    /// # Errors
    /// By default every declaration is refused: this driver refers to nothing.
    fn check_keys(&self, _keys: &serde_json::Value) -> Result<()> {
        Err(Error::config(format!("a `{}` node has no keys that refer to other nodes", self.kind())))
    }

    /// Refuses an `in:` that this driver, as a referent, does not understand. Offline.
    ///
    /// # Errors
    /// By default a referent takes keys as they are: any `in:` is refused.
    fn check_within(&self, within: Option<&str>) -> Result<()> {
        match within {
            None => Ok(()),
            Some(_) => Err(Error::config(format!("a `{}` node takes keys as they are", self.kind()))
                .with_hint("remove `in:`")),
        }
    }

    /// Looks, and never touches: versions, size, privileges, problems, claims on targets.
    ///
    /// # Behavior
    /// - Changes nothing, not even a time stamp that the source itself keeps.
    /// - What would make a dump or a restore fail later is a [`Problem`](crate::Problem) here, not an error.
    ///   An error means that it could not look.
    async fn inspect(&self) -> Result<Inspection>;

    /// Opens the source for one dump.
    async fn open(&self, cx: OpenContext) -> Result<Box<dyn Source>>;

    /// A dump of this source was killed between `pin` and `release`: undoes what it may have done to the application,
    /// such as a freeze. Called when that is found out, perhaps twice, perhaps for nothing.
    async fn thaw(&self) -> Result<()> {
        Ok(())
    }

    /// Counts what restoring `archived` would create, replace and remove here. Looks only.
    ///
    /// # Behavior
    /// - Counts what [`StageContext::selection`] means, and nothing else.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a thing that is selected is not in the archive, or a target
    /// that a selection needs is not there.
    async fn changes(&self, archived: Arc<dyn ArchivedNode>, cx: &StageContext) -> Result<Changes>;

    /// Plans a restore of `archived` beside the live data.
    ///
    /// # Behavior
    /// - Creates nothing yet: the engine first writes [`Staging::journal`] to disk, then calls [`Staging::begin`].
    /// - The names of everything that will be created derive from [`StageContext::run`].
    /// - With [`Placement::InPlace`](crate::Placement::InPlace) the target itself is loaded into, yet nobody else
    ///   sees that before `commit`, and `rollback` before it leaves no trace, unless the terms say
    ///   [`Undo::Never`](crate::Undo::Never). Others may have to wait meanwhile: `changes` notes it.
    /// - What [`StageContext::selection`] does not mean is left alone, whatever the policy for extras.
    async fn stage(&self, archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>>;

    /// Plans to put back the state that an earlier [`Staging::finish`] kept. Nothing is loaded into such a staging;
    /// its `begin`, `prepare`, `commit`, `rollback` and `finish` are as ever.
    ///
    /// # Errors
    /// By default: this driver keeps no previous state.
    async fn stage_previous(&self, _kept: &Token, _cx: StageContext) -> Result<Box<dyn Staging>> {
        Err(Error::unsupported(format!("a `{}` node keeps no previous state", self.kind())))
    }

    /// Drops the state that an earlier [`Staging::finish`] kept. Dropping it twice is fine.
    async fn discard_previous(&self, _kept: &Token) -> Result<()> {
        Ok(())
    }

    /// Picks up a staging after a crash, from the last token that the journal holds.
    ///
    /// # Behavior
    /// - Of the context only the run's name is that of the crash: placement, selection and whatever else the staging
    ///   needs to know stand in the token.
    /// - The staging is wherever the crash left it, possibly halfway through a step later than the token tells of.
    /// - Rolling it back, or committing and finishing it, must work from there, and twice must be as good as once.
    /// - Creates and changes nothing by itself.
    async fn resume(&self, token: &Token, cx: StageContext) -> Result<Box<dyn Staging>>;
}

/// One dump of one source.
///
/// The engine calls: [`capture`](Self::capture) some times, if the view is
/// [`Captured`](crate::View::Captured); [`pin`](Self::pin); `capture` once, if the view is
/// [`Once`](crate::View::Once); the methods of [`Links`]; [`unpin`](Self::unpin) and again from `capture` or `pin` if
/// the certificate failed, else [`parts`](Self::parts), [`dump`](Self::dump) for each, and
/// [`release`](Self::release) in any case.
#[async_trait]
pub trait Source: Links + Send + Sync {
    /// One pass over a live source: the parts whose content is not captured yet, or has changed since. Of a view that can
    /// be read once: all parts.
    /// The engine dumps each of them at once, several at a time. Only for [`View::Captured`](crate::View::Captured)
    /// and, after the pin, [`View::Once`](crate::View::Once).
    async fn capture(&mut self) -> Result<PartStream> {
        Ok(crate::part_stream([]))
    }

    /// Opens and holds a view of this instant.
    ///
    /// # Behavior
    /// - Quick: the cut of the whole set is as wide as the sum of all pins. Nothing is copied here unless
    ///   nothing else can hold the view.
    /// - Later changes to the source are not seen by `references`, `resolve`, `parts` and `dump`.
    /// - With [`CutMode::Locked`](crate::CutMode::Locked), writers wait until [`unlock`](Self::unlock).
    /// - A captured source notes [`CutContext::not_before`]: what is unchanged since before that is as of the cut.
    async fn pin(&mut self, cut: &CutContext) -> Result<()>;

    /// Lets writers go on after a locked pin; the view stays.
    async fn unlock(&mut self) -> Result<()> {
        Ok(())
    }

    /// Lets the view go, to pin again later. Captures stay.
    async fn unpin(&mut self) -> Result<()>;

    /// Versions, positions and settings as of the pin, for the manifest. No secret, and no more than some tens.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// All parts of the dump. A part that was captured carries its [`CaptureId`](crate::CaptureId) and is not dumped
    /// again; captures that no part names are superseded, and left out of the archive.
    async fn parts(&mut self) -> Result<PartStream>;

    /// Writes one part. Called for several parts at once, as far as [`Capabilities::lanes`] allows, each on a
    /// thread that may block.
    ///
    /// # Behavior
    /// - Memory is bounded whatever the size of the part.
    /// - [`PartWriter::finish`] may be called to learn the digest; the engine does it otherwise.
    /// - An error of the writer is passed on as it is.
    async fn dump(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped>;

    /// What was skipped, vanished, or could not be dumped as it was. An entry with
    /// [`degrades`](LedgerEntry::degrades) makes the node `degraded`.
    fn ledger(&self) -> Vec<LedgerEntry> {
        Vec::new()
    }

    /// Lets everything go, after success and after failure.
    async fn release(&mut self) -> Result<()>;
}

/// What becomes of the old data when a restore finishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldState {
    /// It is dropped.
    Drop,
    /// It is kept, and [`Driver::stage_previous`] can put it back.
    Keep,
}

/// One restore of one node: staged beside the live data, then swapped in.
///
/// The engine calls `begin`, `load` for each part, `prepare`, `commit`, `finish`, and writes
/// [`journal`](Self::journal) to disk before each of them.
#[async_trait]
pub trait Staging: Links + Send + Sync {
    /// Where this staging stands, as a token for [`Driver::resume`].
    fn journal(&self) -> Token;

    /// Makes the place that is loaded into. Nothing of a node is created before this.
    async fn begin(&mut self) -> Result<()>;

    /// Whether this part is needed. What is not is neither read nor loaded. By default everything is.
    fn wants(&self, _part: &ArchivedPart) -> bool {
        true
    }

    /// Whether parts are better begun in the order in which they were dumped. By default the engine chooses one in which
    /// lanes work far apart from each other.
    fn keeps_order(&self) -> bool {
        false
    }

    /// Reads one part into the staging. Called for several at once, as far as [`Terms::lanes`](crate::Terms::lanes)
    /// allows, each on a thread that may block. The live data stay as they are.
    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()>;

    /// Constraints, indexes, checks, fsync: all that can fail, fails here.
    async fn prepare(&mut self) -> Result<()>;

    /// Where the staged data can be reached before the swap (a URL, a path), for hooks that migrate it.
    fn address(&self) -> Option<Secret> {
        None
    }

    /// Swaps the staged data in, and keeps the old ones aside.
    ///
    /// # Behavior
    /// - Quick, and atomic where the store allows it.
    /// - Connections and open files of the application survive it where the store allows it.
    /// - Committing what is committed does nothing.
    async fn commit(&mut self) -> Result<()>;

    /// What a restore must tell although it is no failure: an owner that could not be set, a file that was set aside.
    /// An entry with [`degrades`](LedgerEntry::degrades) says that something is not as it was dumped, and makes the
    /// restore `degraded`. Asked after `prepare`, after `commit` and after `finish`, each time for all entries so far.
    /// No more than some hundreds: what happens to many things is summed up.
    fn ledger(&self) -> Vec<LedgerEntry> {
        Vec::new()
    }

    /// Whether a `commit` that failed, or that a crash may have cut off, took effect, if that can be told: an answer
    /// can get lost. Asked only where a commit can't be undone: if it took effect, the restore goes forward.
    ///
    /// # Errors
    /// If it could not look: nothing more is changed then, and `recover` is to be run.
    async fn took_effect(&mut self) -> Result<Option<bool>> {
        Ok(None)
    }

    /// Puts everything back to how it was before `begin`, and removes what was staged.
    ///
    /// # Behavior
    /// - Legal at any moment before `finish`; after `commit` only with
    ///   [`Undo::AfterCommit`](crate::Undo::AfterCommit).
    /// - Idempotent: a rollback that failed or was killed is called again.
    ///
    /// # Errors
    /// [`ErrorKind::Stuck`](crate::ErrorKind::Stuck) if the old state can't be had back, with a hint that says how
    /// a human can.
    async fn rollback(&mut self) -> Result<()>;

    /// Ends a committed restore. With [`OldState::Keep`] the answer is the token for [`Driver::stage_previous`].
    /// Idempotent.
    async fn finish(&mut self, old: OldState) -> Result<Option<Token>>;
}
