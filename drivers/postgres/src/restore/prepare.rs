//! Everything between the rows and the swap: all that can fail, fails here.

use std::num::NonZeroUsize;

use dumprestore_driver::{Error, LedgerEntry, Result};

use super::databases::Database;
use super::entry::Old;
use super::items;
use super::properties::Properties;
use super::swap::refuse_prepared_transactions;
use super::{Restore, checks, post_data, refresh};
use crate::archived::{Contents, Item, Section, Sequence};
use crate::config::Policy;
use crate::connect::Connection;
use crate::quote;

/// More sessions than that do not build a database any sooner.
const MOST_AT_ONCE: usize = 8;

/// On so many sessions at once a database is completed.
pub(super) fn at_once() -> usize {
    std::thread::available_parallelism().map_or(2, NonZeroUsize::get).clamp(2, MOST_AT_ONCE)
}

impl Restore {
    /// Makes the staged database whole.
    pub(super) async fn complete(&self, contents: &Contents) -> Result<()> {
        let lane = self.lanes.take().await?;
        set_sequences(&lane, contents).await?;
        let (privileges, last) = split_last(contents);
        items::make(&lane, &privileges, self.policies).await?;
        for entry in refresh::refresh(&self.lanes, contents).await? {
            self.tell(entry);
        }
        for error in post_data::analyze(&self.lanes, at_once()).await? {
            self.tell(LedgerEntry::note("statistics", error.to_string()));
        }
        checks::check(&lane, contents).await?;
        items::make(&lane, &last, self.policies).await?;
        self.lanes.give_back(lane);
        Ok(())
    }

    /// Gives the staged database what belongs to it as a whole. From then on others may get in, as they will once it is
    /// live.
    pub(super) async fn describe(&self, session: &Connection, contents: &Contents) -> Result<()> {
        let live = Live::look(session, &self.names.live).await?;
        let archived = &contents.database;
        let staged = look_at_staged(session, &self.names.staged).await?;
        let (acl, acl_owner) = match (self.policies.privileges, &live) {
            (Policy::Keep, _) => (archived.acl.as_ref(), &archived.owner),
            (Policy::None, Some(live)) => (live.acl.as_ref(), &live.owner),
            (Policy::None, None) => (None, &staged.owner),
        };
        let (acl, acl_owner) = acl.map_or((&staged.default_acl, &staged.owner), |acl| (acl, acl_owner));
        let properties =
            Properties { name: &self.names.staged, owner: &staged.owner, archived, acl, acl_owner };
        for entry in properties.apply(session).await? {
            self.tell(entry);
        }
        Ok(())
    }

    /// What is live now, and whether it can be swapped.
    pub(super) async fn look_at_live(&self, session: &Connection) -> Result<Old> {
        if let Some(aside) = Database::named(session, &self.names.aside).await? {
            return Err(taken(&aside.name));
        }
        if let Some(kept) = Database::named(session, &self.names.kept).await?
            && Some(kept.oid) != self.entry.staged.oid()
        {
            refuse_foreign(&kept)?;
        }
        let Some(live) = Database::named(session, &self.names.live).await? else { return Ok(Old::Absent) };
        refuse_prepared_transactions(session, &[live.oid]).await?;
        Ok(Old::Database { oid: live.oid, open: live.open })
    }

    pub(super) fn check_loaded(&self, contents: &Contents) -> Result<()> {
        let loaded = self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut parts = contents.tables.iter().flat_map(|table| &table.parts);
        match parts.find(|part| !loaded.contains(*part)) {
            None => Ok(()),
            Some(missing) => Err(Error::archive("the archive has not all the rows that it should")
                .with_context("part", missing)),
        }
    }
}

/// A database that is called like what a restore keeps, and lets people in, was not kept by one.
pub(super) fn refuse_foreign(kept: &Database) -> Result<()> {
    if kept.open { Err(taken(&kept.name)) } else { Ok(()) }
}

fn taken(name: &str) -> Error {
    Error::environment("a database has a name that a restore needs, and was not made by one")
        .with_context("database", name)
        .with_hint("rename it, or drop it")
}

/// What a plan and a restore need to know of the live database.
pub(super) struct Live {
    pub(super) owner: String,
    acl: Option<Vec<String>>,
}

impl Live {
    pub(super) async fn look(session: &Connection, name: &str) -> Result<Option<Self>> {
        let asked = "SELECT pg_catalog.pg_get_userbyid(datdba)::text, datacl::text[] \
            FROM pg_catalog.pg_database WHERE datname = $1";
        let found = session
            .query_opt(asked, &[&name])
            .await
            .map_err(|error| session.fault(error, "can't read who owns the live database"))?;
        Ok(found.map(|row| Self { owner: row.get(0), acl: row.get(1) }))
    }
}

struct StagedDatabase {
    owner: String,
    /// What a database has that nobody granted anything on.
    default_acl: Vec<String>,
}

async fn look_at_staged(session: &Connection, name: &str) -> Result<StagedDatabase> {
    let asked = "SELECT pg_catalog.pg_get_userbyid(datdba)::text, pg_catalog.acldefault('d', datdba)::text[] \
        FROM pg_catalog.pg_database WHERE datname = $1";
    let found = session
        .query_opt(asked, &[&name])
        .await
        .map_err(|error| session.fault(error, "can't read who owns the restored database"))?;
    found.map(|row| StagedDatabase { owner: row.get(0), default_acl: row.get(1) }).ok_or_else(|| {
        Error::environment("the restored database is gone before it was swapped in")
            .with_context("database", name)
    })
}

/// Privileges, which hold for what is refreshed; and what acts on every definition, and comes after all of them.
pub(crate) fn split_last(contents: &Contents) -> (Vec<&Item>, Vec<&Item>) {
    let last = contents.items.iter().filter(|item| item.section == Section::Last);
    last.partition(|item| item.kind != "EVENT TRIGGER" && !item.name.starts_with("EVENT TRIGGER "))
}

pub(super) async fn set_sequences(session: &Connection, contents: &Contents) -> Result<()> {
    for some in contents.sequences.chunks(500) {
        let statement = some.iter().map(of_sequence).collect::<Vec<_>>().join(";");
        let done = session.batch_execute(&statement).await;
        done.map_err(|error| session.fault(error, "can't set sequences to where they were"))?;
    }
    Ok(())
}

/// The statement that sets a sequence to where it stood.
pub(crate) fn of_sequence(sequence: &Sequence) -> String {
    let name = quote::literal(&quote::qualified(&sequence.schema, &sequence.name));
    format!("SELECT pg_catalog.setval({name}, {}, {})", sequence.last_value, sequence.is_called)
}
