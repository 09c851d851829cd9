//! Everything that can fail before the commit: the second look, what is missing, what will be replaced.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dumprestore_driver::{ArchivedNode, Error, Extras, Result};
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{StreamExt, TryStreamExt};

use super::archived::Wanted;
use super::begin::ExtrasLeft;
use super::compare::is_same;
use super::identity::Identity;
use super::live::{Live, live};
use super::pairs::Pair;
use super::place::{Place, name_of};
use super::plan::{self, New, Step};
use super::state::{self, State};
use super::{AT_ONCE, Origin, Restore, Work};
use crate::line::ObjectLine;

impl Restore {
    pub(super) async fn prepare(&mut self) -> Result<()> {
        let work = &self.work;
        let mut state = State::read(&work.objects, &work.place).await?.ok_or_else(|| work.gone())?;
        if state.step != state::Step::Begun {
            return Err(Error::defect("a restore is prepared that has come further already"));
        }
        state.plan = match (&work.origin, &self.entry.previous) {
            (Origin::Archive(archived), _) => work.write_plan(work.steps(archived)).await?,
            (Origin::Previous(_), Some(previous)) => {
                work.write_plan(work.steps_back(&Place::of(previous)).await?).await?
            }
            _ => return Err(Error::defect("a staging that was resumed is not prepared again")),
        };
        state.step = state::Step::Prepared;
        state.write(&work.objects, &work.place).await
    }
}

impl Work {
    async fn write_plan(&self, mut steps: BoxStream<'_, Result<Step>>) -> Result<plan::Extent> {
        let mut writer = plan::Writer::new(&self.objects, &self.place.plan())?;
        let written = loop {
            let next = match self.cx.cancel.check() {
                Ok(()) => steps.try_next().await,
                Err(error) => Err(error),
            };
            match next {
                Ok(Some(step)) => match writer.push(&step).await {
                    Ok(()) => {}
                    Err(error) => break Err(error),
                },
                Ok(None) => break Ok(()),
                Err(error) => break writer.give_up(error).await,
            }
        };
        if written.is_err() {
            // No more is begun, and what the store has been asked for comes in before it is cleared away.
            self.ended.store(true, Ordering::Relaxed);
            while steps.next().await.is_some() {}
        }
        written?;
        writer.finish().await
    }

    /// What is to be done, found out by a second look, with everything made ready for it.
    fn steps<'a>(&'a self, archived: &'a Arc<dyn ArchivedNode>) -> BoxStream<'a, Result<Step>> {
        let staged = live(&self.objects, &self.place.new_objects());
        let extras = ExtrasLeft::new(self.cx.extras);
        let beside =
            Beside { pairs: self.pairs(archived), staged, ahead: None, place: self.place.clone(), extras };
        let looked = try_unfold(beside, async |mut beside| {
            if self.ended.load(Ordering::Relaxed) {
                return Ok(None);
            }
            Ok(beside.next().await?.map(|next| (next, beside)))
        });
        let steps = looked.map_ok(move |(pair, staged)| self.settle(archived, pair, staged));
        steps.try_buffered(AT_ONCE).try_filter_map(async |step| Ok(step)).boxed()
    }

    async fn settle(
        &self,
        archived: &Arc<dyn ArchivedNode>,
        pair: Pair,
        staged: Option<Identity>,
    ) -> Result<Option<Step>> {
        if self.ended.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let name = name_of(pair.lines, pair.extras);
        let Pair { key, wanted, live, .. } = pair;
        let new = match (&wanted, &live) {
            (Some(wanted), Some(live)) if is_same(&self.objects, &wanted.line, live).await? => {
                return Ok(None);
            }
            (Some(wanted), _) => Some(self.new_object(archived, wanted, staged).await?),
            (None, _) if self.cx.extras == Extras::Keep => return Ok(None),
            (None, _) => None,
        };
        let old = match &live {
            Some(live) => self.save(&key, &live.is, &self.place.old(&name)).await?,
            None => None,
        };
        Ok((new.is_some() || old.is_some()).then_some(Step { key, new, old, name }))
    }

    /// What is put in place for a line, which must be there.
    async fn new_object(
        &self,
        archived: &Arc<dyn ArchivedNode>,
        wanted: &Wanted,
        staged: Option<Identity>,
    ) -> Result<New> {
        let line = &wanted.line;
        self.objects.check_key(&line.key)?;
        if line.part.is_none() {
            self.check_version(line).await?;
            let is = Identity::staged(line.size, line.etag.as_deref());
            return Ok(New { from: line.key.clone(), version: line.version.clone(), is });
        }
        let from = self.place.new_object(wanted.number);
        if let Some(is) = staged.filter(|staged| staged.size == line.size) {
            return Ok(New { from, version: None, is });
        }
        // It was the same at the first look, and has been written since.
        self.load_late(archived, wanted).await?;
        match self.objects.look(&from).await? {
            Some(found) if found.state.size == line.size => {
                Ok(New { from, version: None, is: Identity::of(&found.state) })
            }
            _ => Err(self.gone()),
        }
    }

    async fn load_late(&self, archived: &Arc<dyn ArchivedNode>, wanted: &Wanted) -> Result<()> {
        let part = wanted.line.part.clone().ok_or_else(|| self.gone())?;
        let archived = archived.clone();
        let opened = tokio::task::spawn_blocking(move || archived.read(&part)).await;
        let broke_off = |error| Error::defect("reading the archive broke off").with_source(error);
        let mut from = opened.map_err(broke_off)??;
        self.stage(wanted, &mut *from).await
    }

    /// Refuses if the version that a line means is not there any more.
    pub(super) async fn check_version(&self, line: &ObjectLine) -> Result<()> {
        let Some(version) = line.version.as_deref() else {
            return Err(Error::archive("an object of the archive has neither bytes nor a version")
                .with_context("key", line.key.escape_debug()));
        };
        let can = self.objects.can();
        let found = match can.stat_with_version && can.copy_with_source_version {
            true => self.objects.look_at(&line.key, Some(version)).await?,
            false => None,
        };
        let is = Identity::staged(line.size, line.etag.as_deref());
        match found {
            Some(found) if Identity::of(&found.state).is(&is) => Ok(()),
            Some(_) => Err(self.no_version(line, "is another one than was dumped")),
            None => Err(self.no_version(line, "is not in the bucket")),
        }
    }

    fn no_version(&self, line: &ObjectLine, what: &str) -> Error {
        Error::environment(format!("a version that the archive depends on {what}"))
            .with_context("key", line.key.escape_debug())
            .with_context("bucket", self.objects.bucket().shown())
            .with_hint(
                "the archive was made with `mode: versions`, and can be restored into the same bucket alone, as long as its \
                 versions are there; what is missing can be left out with `exclude`",
            )
    }

    /// The steps of putting back what an earlier restore has kept.
    async fn steps_back(&self, kept: &Place) -> Result<BoxStream<'_, Result<Step>>> {
        let state = self.kept_state(kept).await?;
        let late = self.late_names(kept).await?;
        let plan = plan::read(self.objects.clone(), kept.plan(), state.plan);
        let (late, kept) = (Arc::new(late), kept.clone());
        let steps = plan.map_ok(move |step| self.settle_back(kept.clone(), late.clone(), step));
        Ok(steps.try_buffered(AT_ONCE).try_filter_map(async |step| Ok(step)).boxed())
    }

    async fn settle_back(
        &self,
        kept: Place,
        late: Arc<BTreeSet<String>>,
        step: Step,
    ) -> Result<Option<Step>> {
        if self.ended.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Step { key, old, name, .. } = step;
        let from = match (late.contains(&name), old.is_some()) {
            (true, _) => Some(kept.late(&name)),
            (false, true) => Some(kept.old(&name)),
            (false, false) => None,
        };
        let new = match from {
            None => None,
            Some(from) => match self.objects.look(&from).await? {
                Some(found) => Some(New { from, version: None, is: Identity::of(&found.state) }),
                None => {
                    return Err(Error::environment("an object of the state that was kept is gone")
                        .with_context("key", from)
                        .with_hint(
                            "does somebody clean up `.dumprestore/` in that bucket? restore an archive",
                        ));
                }
            },
        };
        let old = match self.objects.look(&key).await? {
            Some(found) => self.save(&key, &Identity::of(&found.state), &self.place.old(&name)).await?,
            None => None,
        };
        Ok((new.is_some() || old.is_some()).then_some(Step { key, new, old, name }))
    }

    /// The names of what was written late.
    pub(super) async fn late_names(&self, place: &Place) -> Result<BTreeSet<String>> {
        let prefix = place.late_objects();
        let found = live(&self.objects, &prefix);
        found
            .map_ok(|found| found.key.strip_prefix(&prefix).unwrap_or_default().to_owned())
            .try_collect()
            .await
    }
}

/// The pairs, each with what is staged for it.
struct Beside {
    pairs: BoxStream<'static, Result<Pair>>,
    staged: BoxStream<'static, Result<Live>>,
    ahead: Option<Live>,
    place: Place,
    extras: ExtrasLeft,
}

impl Beside {
    async fn next(&mut self) -> Result<Option<(Pair, Option<Identity>)>> {
        let Some(pair) = self.pairs.try_next().await? else { return Ok(None) };
        let Some(wanted) = &pair.wanted else {
            self.extras.count(&pair.key);
            self.extras.check()?;
            return Ok(Some((pair, None)));
        };
        let number = wanted.number;
        loop {
            let next = match self.ahead.take() {
                Some(next) => next,
                None => match self.staged.try_next().await? {
                    Some(next) => next,
                    None => return Ok(Some((pair, None))),
                },
            };
            match self.place.line_of(&next.key) {
                Some(line) if line == number => return Ok(Some((pair, Some(next.is)))),
                Some(line) if line > number => {
                    self.ahead = Some(next);
                    return Ok(Some((pair, None)));
                }
                // Staged for nothing.
                _ => {}
            }
        }
    }
}
