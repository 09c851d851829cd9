//! The staged database takes the place of the live one, and gives it back. What has happened already, also in a
//! process that was killed, is told by which database has which name.

use dumprestore_driver::{Error, OldState, Result};

use super::databases::Database;
use super::entry::{Kept, Old, Staged, Step};
use super::names::Names;
use super::swap::{Rename, swap};
use super::{Origin, Restore, prepare, roles, server_of};
use crate::config::Setup;
use crate::connect::Connection;

/// The databases of a restore, as they are called now.
struct Now {
    staged: Option<Database>,
    old: Option<Database>,
}

impl Restore {
    pub(super) async fn commit(&mut self) -> Result<()> {
        let old = match (self.entry.step, self.entry.old) {
            (Step::Committed, _) => return Ok(()),
            (Step::Prepared, Some(old)) => old,
            _ => return Err(Error::defect("a restore is committed that is not prepared")),
        };
        self.lanes.close().await;
        let session = self.settled().await?;
        let now = self.now(&session, old).await?;
        if !self.is_swapped(&now) {
            self.cancel.check()?;
            let renames = self.forth(&now, old)?;
            swap(&self.server, &renames).await?;
        }
        session.close().await;
        self.entry.step = Step::Committed;
        Ok(())
    }

    pub(super) async fn rollback(&mut self) -> Result<()> {
        if let Some(post_data) = &mut self.post_data {
            post_data.stop().await;
        }
        self.lanes.close().await;
        self.server.wait_until_up().await;
        let session = self.maintenance().await?;
        self.server.end_left_sessions(&session).await?;
        if let Some(old) = self.entry.old {
            let now = self.now(&session, old).await?;
            let renames = self.back(&now, old)?;
            if !renames.is_empty() {
                swap(&self.server, &renames).await.map_err(|error| self.stuck(error))?;
            }
        }
        if let Staged::Kept { oid, .. } = self.entry.staged
            && let Some(kept) = Database::of_oid(&session, oid).await?
            && kept.name == self.names.kept
        {
            kept.let_in(&session, false).await?;
        }
        if let Some(staged) = self.made(&session).await? {
            staged.remove(&self.server, &session).await?;
        }
        roles::remove(&session, &self.names.sessions).await?;
        session.close().await;
        Ok(())
    }

    pub(super) async fn finish(&mut self, state: OldState) -> Result<Option<Kept>> {
        let old = match (self.entry.step, self.entry.old) {
            (Step::Committed, Some(old)) => old,
            _ => return Err(Error::defect("a restore is finished that is not committed")),
        };
        let session = self.settled().await?;
        let now = self.now(&session, old).await?;
        roles::keep(&session, &self.names.sessions).await?;
        let kept = match state {
            OldState::Drop => {
                if let Some(old) = now.old.filter(|old| old.name != self.names.live) {
                    old.remove(&self.server, &session).await?;
                }
                None
            }
            OldState::Keep => Some(self.keep(&session, now, old).await?),
        };
        session.close().await;
        Ok(kept)
    }

    /// A session to work from, after all that a killed process has left is over.
    async fn settled(&self) -> Result<Connection> {
        let session = self.maintenance().await?;
        if self.origin == Origin::Resumed {
            self.server.end_left_sessions(&session).await?;
        }
        Ok(session)
    }

    async fn now(&self, session: &Connection, old: Old) -> Result<Now> {
        let find = async |oid: Option<u32>| match oid {
            Some(oid) => Database::of_oid(session, oid).await,
            None => Ok(None),
        };
        Ok(Now { staged: find(self.entry.staged.oid()).await?, old: find(old.oid()).await? })
    }

    /// What the staged database is called while it is not live.
    pub(super) fn resting_name(&self) -> &str {
        self.names.resting(self.entry.staged)
    }

    /// Lets hooks and checks look into what was kept. Until the commit it is closed again by a rollback.
    pub(super) async fn open_kept(&self) -> Result<()> {
        let Staged::Kept { oid, .. } = self.entry.staged else { return Ok(()) };
        let session = self.maintenance().await?;
        let kept = Database::of_oid(&session, oid).await?.filter(|kept| kept.name == self.names.kept);
        let kept = kept.ok_or_else(|| {
            Error::environment("the state that was kept is gone")
                .with_context("database", &self.names.kept)
                .with_hint("somebody has renamed or dropped it: restore from an archive")
        })?;
        kept.let_in(&session, true).await?;
        session.close().await;
        Ok(())
    }

    fn is_swapped(&self, now: &Now) -> bool {
        match (self.entry.staged, &now.staged) {
            // To put back that there was nothing, is to move away what is there.
            (Staged::Nothing, _) => now.old.as_ref().is_none_or(|old| old.name != self.names.live),
            (_, Some(staged)) => staged.name == self.names.live,
            (_, None) => false,
        }
    }

    fn forth(&self, now: &Now, old: Old) -> Result<Vec<Rename>> {
        let mut renames = Vec::new();
        match (old, &now.old) {
            (Old::Absent, _) => {}
            (_, Some(live)) if live.name == self.names.live => renames.push(Rename {
                oid: live.oid,
                from: live.name.clone(),
                to: self.names.aside.clone(),
                open: None,
                limit: None,
            }),
            _ => {
                return Err(Error::environment(
                    "the live database was renamed or dropped since the restore was prepared",
                )
                .with_context("database", &self.names.live)
                .with_hint("see what becomes of it, then restore again"));
            }
        }
        if self.entry.staged == Staged::Nothing {
            return Ok(renames);
        }
        let staged =
            now.staged.as_ref().filter(|staged| staged.name == self.resting_name()).ok_or_else(|| {
                Error::stuck("what is to be swapped in is gone")
                    .with_context("database", self.resting_name())
                    .with_hint(
                        "somebody has dropped or renamed it, or the restore was rolled back: restore again",
                    )
            })?;
        let open = match self.entry.staged {
            Staged::Kept { open, .. } => open,
            Staged::Made { .. } | Staged::Nothing => old.open(),
        };
        renames.push(Rename {
            oid: staged.oid,
            from: staged.name.clone(),
            to: self.names.live.clone(),
            open: (staged.open != open).then_some(open),
            limit: self.entry.limit,
        });
        Ok(renames)
    }

    /// What has to be renamed so that all is as it was. Nothing, if it is.
    fn back(&self, now: &Now, old: Old) -> Result<Vec<Rename>> {
        let mut renames = Vec::new();
        let is_live = |database: &&Database| database.name == self.names.live;
        let is_kept = matches!(self.entry.staged, Staged::Kept { .. });
        if let Some(staged) = now.staged.as_ref().filter(is_live) {
            if old.oid().is_some() && now.old.is_none() {
                return Err(Error::stuck("the old database is gone")
                    .with_context("database", &self.names.aside)
                    .with_hint("somebody has dropped it: the old state can only come from another archive"));
            }
            renames.push(Rename {
                oid: staged.oid,
                from: staged.name.clone(),
                to: self.resting_name().to_owned(),
                open: is_kept.then_some(false),
                limit: None,
            });
        }
        if let Some(aside) = now.old.as_ref().filter(|database| database.name == self.names.aside) {
            renames.push(Rename {
                oid: aside.oid,
                from: aside.name.clone(),
                to: self.names.live.clone(),
                open: (aside.open != old.open()).then_some(old.open()),
                limit: None,
            });
        }
        Ok(renames)
    }

    fn stuck(&self, error: Error) -> Error {
        Error::stuck("the database could not be put back to how it was")
            .with_context("database", &self.names.live)
            .with_context("before", &self.names.aside)
            .with_hint(error.hint().unwrap_or("remove the cause, then run `dumprestore recover`").to_owned())
            .with_source(error)
    }

    /// The staged database that this restore has made, if it is there.
    async fn made(&self, session: &Connection) -> Result<Option<Database>> {
        let Staged::Made { oid } = self.entry.staged else { return Ok(None) };
        let found = Database::named(session, &self.names.staged).await?;
        Ok(found.filter(|found| match oid {
            Some(oid) => found.oid == oid,
            // The journal was written before it was made.
            None => found.is_staged_by(&self.names),
        }))
    }

    /// Keeps the old database under the name that all restores keep it under, closed; the one kept before goes.
    async fn keep(&self, session: &Connection, now: Now, old: Old) -> Result<Kept> {
        let before = Database::named(session, &self.names.kept).await?;
        if let Some(before) = before.filter(|before| Some(before.oid) != old.oid()) {
            prepare::refuse_foreign(&before)?;
            before.remove(&self.server, session).await?;
        }
        if let Old::Database { .. } = old {
            let aside = super::databases::there(now.old, "old")?;
            let to = self.names.kept.clone();
            if aside.name != to || aside.open {
                let rename = Rename { oid: aside.oid, from: aside.name, to, open: Some(false), limit: None };
                swap(&self.server, &[rename]).await?;
            }
        }
        self.entry.kept().ok_or_else(|| Error::defect("a restore is finished that was never prepared"))
    }
}

/// Drops a kept database, if it is still what was kept.
pub(super) async fn discard(setup: &Setup, kept: &Kept) -> Result<()> {
    let Some(oid) = kept.oid else { return Ok(()) };
    let names = Names::new(&kept.live, "");
    let server = server_of(setup, &names);
    let session = server.maintenance().await?;
    kept.check_server(super::server::identity(&session).await.as_deref())?;
    if let Some(found) = Database::of_oid(&session, oid).await?.filter(|found| found.name == names.kept) {
        found.remove(&server, &session).await?;
    }
    session.close().await;
    Ok(())
}
