//! One restore: the files it makes, and the steps that it takes with them, on a thread that may block.

use std::path::Path;
use std::sync::{Arc, Mutex};

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, Error, ErrorKind, Facts, OldState, PartReader, Result, StageContext,
};

use crate::checks::Recorded;
use crate::driver::Setup;
use crate::entry::{Entry, Form, Kept, Step, Way, remove_with_companions};
use crate::image::{self, Route};
use crate::mark::{Mark, Reached};
use crate::old::Old;
use crate::open::Patience;
use crate::place::{Names, Place};
use crate::standing::{Standing, standing};
use crate::{part_name, prepare, relocate, swap};

/// What the archive says of the database in it.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) size: u64,
    pub(crate) page_size: Option<u64>,
    pub(crate) foreign_key_violations: Option<u64>,
    pub(crate) damage: Recorded,
}

impl Expected {
    pub(crate) fn of(archived: &dyn ArchivedNode) -> Result<Self> {
        let part = archived.part(&part_name()?).ok_or_else(|| {
            Error::archive("the archive has no `database.sqlite` for this node")
                .with_context("node", archived.path())
        })?;
        let number = |facts: &Facts, name: &str| facts.get(name).and_then(|text| text.parse().ok());
        Ok(Self {
            size: part.size,
            page_size: number(archived.facts(), "page_size"),
            foreign_key_violations: number(archived.facts(), "foreign_key_violations"),
            damage: Recorded::in_facts(archived.facts()),
        })
    }
}

/// Where a restore comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was planned in this run.
    Planned,
    /// It was picked up from the journal.
    Resumed,
}

/// A restore of one database. A clone is the same restore.
#[derive(Clone)]
pub(crate) struct Restore {
    pub(crate) entry: Entry,
    pub(crate) place: Place,
    pub(crate) names: Names,
    pub(crate) patience: Patience,
    pub(crate) route: Option<Route>,
    /// Not known after a crash, and not needed any more then.
    pub(crate) expected: Option<Expected>,
    /// Whether it was picked up after a crash.
    origin: Origin,
    /// The copy of the old state that was made when all was prepared, with the connection that watches it.
    pub(crate) old: Arc<Mutex<Option<Old>>>,
}

impl Restore {
    pub(crate) fn new(
        setup: &Setup,
        entry: Entry,
        origin: Origin,
        cx: StageContext,
        expected: Option<Expected>,
    ) -> Self {
        let place = entry.place();
        let names = Names::new(&place, entry.run());
        let patience = Patience::new(setup.busy_timeout, cx.cancel);
        Self { entry, place, names, patience, route: setup.route, expected, origin, old: Arc::default() }
    }

    pub(crate) fn begin(&mut self) -> Result<()> {
        let folder = self.place.folder();
        if !folder.is_dir() {
            return Err(Error::environment("the folder of the database does not exist")
                .with_context("folder", folder.display())
                .with_hint("create it, owned by who uses the database"));
        }
        self.entry.step = Step::Begun;
        match (self.entry.form, self.entry.kept()?) {
            (Form::Absent, _) => Ok(()),
            (_, Some(kept)) => relocate::copy_whole(&kept, &self.names.staged, &self.patience.cancel),
            (_, None) => image::create(&self.names.staged).map(drop),
        }
    }

    pub(crate) fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        if part.name != part_name()? {
            return Err(Error::archive(format!("a dump of a `sqlite` node has no part {:?}", part.name)));
        }
        let mut staged = image::create(&self.names.staged)?;
        image::copy(from, &mut staged, &self.patience.cancel).map(drop)
    }

    pub(crate) fn prepare(&mut self) -> Result<()> {
        if self.entry.step >= Step::Prepared {
            return Ok(());
        }
        let old = prepare::prepare(self)?;
        self.set_old(old);
        self.entry.step = Step::Prepared;
        Ok(())
    }

    pub(crate) fn copy_old(&self) -> Result<Old> {
        Old::copy(self.place.path(), &self.names, self.route, &self.patience)
    }

    fn set_old(&self, old: Option<Old>) {
        *self.old.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = old;
    }

    fn take_old(&self) -> Option<Old> {
        self.old.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    pub(crate) fn commit(&mut self) -> Result<()> {
        let (way, old) = match (self.entry.step, self.entry.way, self.entry.old) {
            (Step::Committed, ..) => return Ok(()),
            (Step::Prepared, Some(way), Some(old)) => (way, old.form),
            _ => return Err(Error::defect("a restore is committed that is not prepared")),
        };
        self.check_here()?;
        if self.origin == Origin::Resumed && self.is_over()? {
            self.entry.step = Step::Committed;
            return Ok(());
        }
        match standing(self)? {
            Standing::New => {
                if let Some(mut mark) = Mark::read(&self.names.mark)? {
                    if way == Way::Files {
                        relocate::complete(self)?;
                    }
                    mark.reach(Reached::Done, &self.names.mark)?;
                }
            }
            Standing::Old => {
                prepare::settle(self)?;
                prepare::check_live(self, old)?;
                match way {
                    Way::Pages => swap::swap_in(self, self.take_old())?,
                    Way::Files => relocate::move_in(self, old)?,
                }
            }
        }
        self.entry.step = Step::Committed;
        Ok(())
    }

    /// Checks that nothing is left of the restore because it is over, and not because its files can't be seen.
    fn check_here(&self) -> Result<()> {
        let Names { staged, previous, partial, mark, kept: _ } = &self.names;
        match [staged, previous, partial, mark].into_iter().any(|path| path.symlink_metadata().is_ok()) {
            true => Ok(()),
            false => self.entry.check_ground(),
        }
    }

    /// Whether a restore that was picked up has been finished since its token was written: what it had prepared is
    /// gone. (Or it was rolled back; but who has done that does not commit.)
    fn is_over(&self) -> Result<bool> {
        if Mark::read(&self.names.mark)?.is_some() {
            return Ok(false);
        }
        Ok(match self.entry.form {
            Form::Absent => !self.place.path().exists(),
            _ => !self.names.staged.exists(),
        })
    }

    pub(crate) fn rollback(&mut self) -> Result<()> {
        self.set_old(None);
        self.check_here()?;
        if let Some(mut mark) = Mark::read(&self.names.mark)? {
            self.undo(&mut mark)?;
        }
        // From here on the live state is not looked at any more.
        Mark::remove(&self.names.mark)?;
        self.remove_ours()
    }

    fn undo(&self, mark: &mut Mark) -> Result<()> {
        if self.entry.way == Some(Way::Files) {
            mark.reach(Reached::Undoing, &self.names.mark)?;
            relocate::move_back(self).map_err(|error| self.stuck(error))?;
        } else if standing(self).map_err(|error| self.stuck(error))? == Standing::New {
            if !self.names.previous.exists() {
                return Err(gone(&self.names.previous));
            }
            mark.reach(Reached::Undoing, &self.names.mark)?;
            swap::swap_back(self).map_err(|error| self.stuck(error))?;
        }
        if self.entry.way == Some(Way::Pages) {
            swap::tidy(self);
        }
        Ok(())
    }

    fn stuck(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::Stuck {
            return error;
        }
        Error::stuck("the database could not be put back to how it was")
            .with_context("database", self.place.path().display())
            .with_context("before", self.names.previous.display())
            .with_hint("stop what uses the database, then run `dumprestore recover`")
            .with_source(error)
    }

    pub(crate) fn finish(&mut self, old: OldState) -> Result<Option<Kept>> {
        if self.entry.step != Step::Committed {
            return Err(Error::defect("a restore is finished that is not committed"));
        }
        self.check_here()?;
        if self.entry.way == Some(Way::Pages) && self.names.mark.exists() {
            swap::tidy(self);
        }
        let kept = match old {
            OldState::Keep => Some(self.keep()?),
            OldState::Drop => {
                // What was kept is live again, and needs no second copy.
                self.entry.kept()?.map_or(Ok(()), |kept| remove_with_companions(&kept))?;
                None
            }
        };
        self.remove_ours()?;
        Mark::remove(&self.names.mark)?;
        Ok(kept)
    }

    fn keep(&self) -> Result<Kept> {
        let names = &self.names;
        let old =
            self.entry.old.ok_or_else(|| Error::defect("a restore is finished that was never prepared"))?;
        match old.form {
            // Nothing was there, so nothing is kept, and what was kept before is outdated.
            Form::Absent => remove_with_companions(&names.kept)?,
            _ if names.previous.exists() => relocate::move_whole(&names.previous, &names.kept)?,
            _ if names.kept.exists() => {}
            _ => return Err(gone(&names.previous)),
        }
        Ok(Kept::new(&names.kept, old))
    }

    fn remove_ours(&self) -> Result<()> {
        for path in [&self.names.staged, &self.names.partial, &self.names.previous] {
            remove_with_companions(path)?;
        }
        match self.place.folder().is_dir() {
            true => image::sync_folder(self.place.path()),
            false => Ok(()),
        }
    }
}

fn gone(previous: &Path) -> Error {
    Error::stuck("the copy of the old state is gone")
        .with_context("file", previous.display())
        .with_hint("somebody removed it: the old state can only come from another archive")
}
