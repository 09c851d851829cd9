//! One restore, called as the engine calls it, step by step.

use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, Driver, Edge, KeySink, OldState, PartReader, Reference, Result, StageContext,
    Staging, Token, Unresolved,
};

use crate::lanes::{aside, side_by_side};
use crate::{Faulty, StoredNode};

/// How far a restore goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Step {
    /// Staged only: nothing was created yet.
    Stage,
    /// The place for the new data was made.
    Begin,
    /// All parts were read into it.
    Load,
    /// All checks were made.
    Prepare,
    /// It was swapped in.
    Commit,
    /// The old data were dropped or kept.
    Finish,
}

/// A restore that is under way.
pub struct Restoring {
    staging: Box<dyn Staging>,
    archived: Arc<StoredNode>,
    faults: Arc<Faulty>,
    lanes: usize,
    backwards: bool,
    token: Token,
    record: Option<Record>,
}

/// Gets every token as it is journalled, with the step that comes next.
pub(crate) type Record = Box<dyn Fn(Step, &Token) + Send + Sync>;

impl Restoring {
    /// Stages a restore: nothing is created yet.
    pub async fn stage(
        driver: &dyn Driver,
        archived: Arc<StoredNode>,
        cx: StageContext,
        faults: Arc<Faulty>,
    ) -> Result<Self> {
        faults.before("stage")?;
        let cx = cx.with_cancel(faults.cancel());
        let archived = Arc::new(archived.with_faults(&faults));
        let staging = driver.stage(archived.clone(), cx).await?;
        Ok(Self::over(staging, archived, faults))
    }

    /// A restore with a staging that is there already.
    pub(crate) fn over(staging: Box<dyn Staging>, archived: Arc<StoredNode>, faults: Arc<Faulty>) -> Self {
        let token = staging.journal();
        Self { staging, archived, faults, lanes: 1, backwards: false, token, record: None }
    }

    /// How many parts are loaded at once.
    pub fn set_lanes(&mut self, lanes: usize) {
        self.lanes = lanes;
    }

    /// Loads the parts in the opposite order.
    pub fn set_backwards(&mut self) {
        self.backwards = true;
    }

    pub(crate) fn set_record(&mut self, record: Record) {
        self.record = Some(record);
    }

    /// The token as the journal has it: from before the last step.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The staging, to call by hand.
    pub fn staging(&mut self) -> &mut dyn Staging {
        &mut *self.staging
    }

    /// Goes on to the end of step `last`. The token that `finish` gave, if it came to that.
    pub async fn go(&mut self, last: Step, old: OldState) -> Result<Option<Token>> {
        for step in [Step::Begin, Step::Load, Step::Prepare, Step::Commit, Step::Finish] {
            if step > last {
                break;
            }
            let kept = self.step(step, old).await?;
            if step == Step::Finish {
                return Ok(kept);
            }
        }
        Ok(None)
    }

    async fn step(&mut self, step: Step, old: OldState) -> Result<Option<Token>> {
        self.token = self.staging.journal();
        if let Some(record) = &self.record {
            record(step, &self.token);
        }
        match step {
            Step::Stage => Ok(None),
            Step::Begin => {
                self.faults.before("begin")?;
                self.staging.begin().await?;
                self.faults.after("begun").map(|()| None)
            }
            Step::Load => {
                self.load()?;
                self.faults.after("loaded").map(|()| None)
            }
            Step::Prepare => {
                self.faults.before("prepare")?;
                self.staging.prepare().await?;
                self.faults.after("prepared").map(|()| None)
            }
            Step::Commit => {
                self.faults.before("commit")?;
                self.staging.commit().await?;
                self.faults.after("committed").map(|()| None)
            }
            // What is committed is finished, even if the user wants to stop.
            Step::Finish => {
                self.faults.before("finish")?;
                let kept = self.staging.finish(old).await?;
                let _ = self.faults.after("finished");
                Ok(kept)
            }
        }
    }

    fn load(&self) -> Result<()> {
        let mut parts: Vec<ArchivedPart> =
            self.archived.parts().filter(|part| self.staging.wants(part)).collect();
        if self.backwards {
            parts.reverse();
        }
        for some in parts.chunks(self.lanes) {
            let loaded = side_by_side(some.to_vec(), async |part: ArchivedPart| {
                self.faults.before("load")?;
                let mut stream = self.archived.read(&part.name)?;
                self.staging.load(&part, &mut PartReader::new(&mut *stream)).await
            });
            loaded.into_iter().collect::<Result<()>>()?;
        }
        Ok(())
    }

    /// All keys of an edge in the staged data, sorted and without repetition.
    pub fn references(&self, edge: &Edge) -> Result<Vec<Reference>> {
        let found = std::sync::Mutex::new(Vec::new());
        aside(async || {
            let mut take = |reference| {
                found.lock().expect("no panic").push(reference);
                Ok(())
            };
            self.staging.references(edge, &mut KeySink::new(&mut take)).await
        })?;
        let mut found = found.into_inner().expect("no panic");
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Those of `references` that do not resolve in the staged data.
    pub fn resolve(&self, within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        aside(async || self.staging.resolve(within, references).await)
    }
}
