//! One restore: a database is made beside the live one, loaded, checked, and takes its name.
//!
//! - [`Restore`] (here, `staging.rs`): the steps, as the engine calls them. `entry.rs` is what the journal has of it,
//!   `names.rs` what databases are called meanwhile, `server.rs` and `databases.rs` the server that has them.
//! - Begin: `create.rs` makes the database, `items.rs` definitions, one after the other.
//! - Load: `rows.rs` and `large_objects.rs`, on the sessions of `lanes.rs`, with foreign keys that are there before the
//!   rows out of action (`foreign_keys.rs`).
//! - Prepare (`prepare.rs`): `post_data.rs` makes indexes and constraints at once, in the order of `schedule.rs`;
//!   `properties.rs` what belongs to the database as a whole; `checks.rs` looks at the outcome.
//! - Commit and rollback (`exchange.rs`): both decide by OIDs what has happened, and `swap.rs` renames.

mod acl;
mod beside_tables;
mod changes;
mod checks;
mod create;
mod databases;
mod effort;
mod entry;
mod exchange;
mod foreign_keys;
mod held;
mod in_place;
mod items;
mod lanes;
mod large_objects;
mod named;
mod names;
mod needs;
mod pipeline;
mod post_data;
mod prepare;
mod privileged;
mod properties;
mod public;
mod refresh;
mod roles;
mod rows;
mod schedule;
mod server;
mod staging;
mod swap;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, Cancel, Changes, Error, LedgerEntry, PartName, PartReader, Result,
    StageContext, Token,
};

use crate::archived::Contents;
use crate::config::{Policy, Setup};
use crate::connect::Connection;

pub(crate) use acl::{OF_DATABASE, statements as privileges};
pub(crate) use create::options as database_options;
pub(crate) use in_place::{Chosen, InPlace};
pub(crate) use items::{Place, Policies, described};
pub(crate) use large_objects::described as said_of_large_object;
pub(crate) use prepare::{of_sequence, split_last};
pub(crate) use properties::of_setting;
pub(crate) use refresh::{
    RESET as AS_APPLICATION, search_path as application_path, settings as settings_of_values,
};
pub(crate) use rows::statement as copy_statement;

use changes::Plan;
use entry::{Entry, Kept, Staged, Step};
use foreign_keys::ForeignKey;
use lanes::Lanes;
use names::Names;
use post_data::PostData;
use server::Server;

/// The part that holds [`Contents`].
pub(crate) const CONTENTS: &str = "contents.json";
pub(crate) const LARGE_OBJECTS: &str = "large_objects";

/// Where a restore comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It was planned in this run.
    Planned,
    /// It was picked up from the journal.
    Resumed,
}

/// A restore of one database.
pub(crate) struct Restore {
    entry: Entry,
    names: Names,
    server: Server,
    policies: Policies,
    lanes: Arc<Lanes>,
    origin: Origin,
    cancel: Cancel,
    /// Not there after a crash, nor where nothing is loaded.
    archived: Option<Arc<dyn ArchivedNode>>,
    /// Read when the restore begins.
    contents: Option<Arc<Contents>>,
    /// Which table each part belongs to, by its place among them.
    tables: HashMap<String, usize>,
    loaded: Mutex<HashSet<String>>,
    /// What extensions have made with their tables, and is out of action while those are loaded.
    suspended: Vec<ForeignKey>,
    /// Not there before the restore begins, nor where nothing is loaded.
    post_data: Option<PostData>,
    ledger: Mutex<Vec<LedgerEntry>>,
}

impl Restore {
    /// Plans to restore what is archived.
    pub(crate) async fn of_archive(
        setup: &Setup,
        archived: Arc<dyn ArchivedNode>,
        cx: StageContext,
    ) -> Result<Self> {
        let names = Names::new(&setup.target.database, &cx.run);
        let server = server_of(setup, &names);
        let session = server.maintenance().await?;
        let entry = Entry::new(
            &setup.target.database,
            &cx.run,
            server::identity(&session).await,
            Staged::Made { oid: None },
        );
        session.close().await;
        Ok(Self { archived: Some(archived), ..Self::new(setup, entry, Origin::Planned, cx) })
    }

    /// Plans to put back what an earlier restore has kept.
    pub(crate) fn of_kept(setup: &Setup, kept: &Token, cx: StageContext) -> Result<Self> {
        let kept = Kept::parse(kept)?;
        let entry = Entry::of_kept(&kept, &cx.run);
        Ok(Self::new(setup, entry, Origin::Planned, cx))
    }

    /// Picks up what a crash has left.
    pub(crate) fn of_token(setup: &Setup, token: &Token, cx: StageContext) -> Result<Self> {
        Ok(Self::new(setup, Entry::parse(token)?, Origin::Resumed, cx))
    }

    fn new(setup: &Setup, entry: Entry, origin: Origin, cx: StageContext) -> Self {
        let names = entry.names();
        let server = server_of(setup, &names);
        let policies =
            Policies { owners: setup.owners, privileges: setup.privileges, tablespaces: setup.tablespaces };
        Self {
            lanes: Arc::new(Lanes::new(server.clone(), names.resting(entry.staged))),
            entry,
            names,
            server,
            policies,
            origin,
            cancel: cx.cancel,
            archived: None,
            contents: None,
            tables: HashMap::new(),
            loaded: Mutex::default(),
            suspended: Vec::new(),
            post_data: None,
            ledger: Mutex::default(),
        }
    }

    fn tell(&self, entry: LedgerEntry) {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// A session to swap from, once it is sure that it is the right server, and nobody of an earlier process is at work.
    async fn maintenance(&self) -> Result<Connection> {
        let session = self.server.maintenance().await?;
        self.entry.check_server(server::identity(&session).await.as_deref())?;
        Ok(session)
    }

    async fn begin(&mut self) -> Result<()> {
        let Some(archived) = self.archived.clone() else {
            self.open_kept().await?;
            self.entry.step = Step::Begun;
            return Ok(());
        };
        let mut contents = read_contents(archived).await?;
        let session = self.maintenance().await?;
        public::leave_as_new(&session, &mut contents).await?;
        let contents = Arc::new(contents);
        self.tables = contents
            .tables
            .iter()
            .enumerate()
            .flat_map(|(at, table)| table.parts.iter().map(move |part| (part.clone(), at)))
            .collect();
        let made = unless_cancelled(&self.cancel, self.make(session, &contents)).await;
        self.contents = Some(contents.clone());
        self.entry.staged = Staged::Made { oid: Some(made?) };
        self.suspended = unless_cancelled(&self.cancel, self.suspend(&contents)).await?;
        let lanes = self.lanes.clone();
        self.post_data = Some(PostData::begin(lanes, prepare::at_once(), contents, self.policies));
        self.entry.step = Step::Begun;
        Ok(())
    }

    /// Makes the database, with all that comes before the rows. The session is one to make databases from.
    async fn make(&self, session: Connection, contents: &Contents) -> Result<u32> {
        roles::make(&session, &contents.roles, &self.names.sessions).await?;
        let live = prepare::Live::look(&session, &self.names.live).await?;
        let owner = match self.policies.owners {
            Policy::Keep => Some(contents.database.owner.clone()),
            Policy::None => live.map(|live| live.owner),
        };
        let owner = owner.as_deref();
        let oid = create::create(&session, &self.names, &contents.database, owner, self.policies).await?;
        session.close().await;
        let lane = self.lanes.take().await?;
        create::define(&lane, contents, self.policies).await?;
        self.lanes.give_back(lane);
        Ok(oid)
    }

    /// Takes foreign keys among tables of extensions out of action.
    async fn suspend(&self, contents: &Contents) -> Result<Vec<ForeignKey>> {
        let lane = self.lanes.take().await?;
        let keys = foreign_keys::among_configuration(&lane, &contents.tables).await?;
        for key in &keys {
            key.take_away(&lane).await?;
        }
        self.lanes.give_back(lane);
        Ok(keys)
    }

    /// Puts them into action again: all rows are in.
    async fn resume_keys(&self) -> Result<()> {
        if self.suspended.is_empty() {
            return Ok(());
        }
        let lane = self.lanes.take().await?;
        for key in &self.suspended {
            key.put_back(&lane).await?;
        }
        self.lanes.give_back(lane);
        Ok(())
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        let contents = self.contents()?;
        if let Some(post_data) = &self.post_data {
            post_data.check()?;
        }
        let lane = self.lanes.take().await?;
        let table = self.tables.get(part.name.as_str()).and_then(|at| Some((*at, contents.tables.get(*at)?)));
        match table {
            Some((_, table)) => rows::load(&lane, table, part, from, &self.cancel).await?,
            None if part.name.below(LARGE_OBJECTS).is_some() => {
                large_objects::load(&lane, from, self.policies, &self.cancel).await?;
            }
            None => {
                return Err(Error::archive(format!(
                    "a dump of a `postgres` node has no part {:?}",
                    part.name
                )));
            }
        }
        self.lanes.give_back(lane);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.insert(part.name.to_string());
        if let (Some((at, table)), Some(post_data)) = (table, &self.post_data)
            && table.parts.iter().all(|part| loaded.contains(part))
        {
            post_data.loaded(at);
        }
        Ok(())
    }

    async fn prepare(&mut self) -> Result<()> {
        if self.entry.step >= Step::Prepared {
            return Ok(());
        }
        if let Some(contents) = &self.contents {
            self.check_loaded(contents)?;
        }
        if let Some(post_data) = &mut self.post_data {
            unless_cancelled(&self.cancel, post_data.finish()).await?;
        }
        unless_cancelled(&self.cancel, self.resume_keys()).await?;
        let old = unless_cancelled(&self.cancel, self.make_ready()).await?;
        self.entry.old = Some(old);
        self.entry.limit = self.contents.as_ref().map(|contents| contents.database.connection_limit);
        self.entry.step = Step::Prepared;
        Ok(())
    }

    async fn make_ready(&self) -> Result<entry::Old> {
        let contents = match self.entry.staged {
            Staged::Made { .. } => Some(self.contents()?),
            Staged::Kept { .. } | Staged::Nothing => None,
        };
        if let Some(contents) = &contents {
            self.complete(contents).await?;
        }
        let session = self.maintenance().await?;
        if let Some(contents) = &contents {
            self.describe(&session, contents).await?;
            // That was put on disk, and with it all that was loaded, if the server has run through.
            self.lanes.check().await?;
            self.lanes.close().await;
            self.tell_lost_large_objects(&session, contents).await?;
        }
        let old = self.look_at_live(&session).await?;
        session.close().await;
        Ok(old)
    }

    fn contents(&self) -> Result<Arc<Contents>> {
        self.contents
            .clone()
            .ok_or_else(|| Error::defect("a restore is loaded or prepared that has not begun"))
    }
}

/// Does something, unless the run is to stop: what is under way at the server is then cut off.
async fn unless_cancelled<T>(cancel: &Cancel, work: impl Future<Output = Result<T>>) -> Result<T> {
    cancel.check()?;
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::cancelled()),
        done = work => done,
    }
}

/// Counts what restoring `archived` would create, replace and remove, and refuses what can't work.
pub(crate) async fn changes(
    setup: &Setup,
    archived: Arc<dyn ArchivedNode>,
    cx: &StageContext,
) -> Result<Changes> {
    let names = Names::new(&setup.target.database, &cx.run);
    let server = server_of(setup, &names);
    let mut contents = read_contents(archived).await?;
    let session = server.maintenance().await?;
    public::leave_as_new(&session, &mut contents).await?;
    let plan = Plan { server: &server, names: &names, policies: policies_of(setup), contents: &contents };
    plan.changes(session, cx.extras).await
}

fn policies_of(setup: &Setup) -> Policies {
    Policies { owners: setup.owners, privileges: setup.privileges, tablespaces: setup.tablespaces }
}

fn server_of(setup: &Setup, names: &Names) -> Server {
    Server {
        target: setup.target.with_database(&names.live),
        maintenance_db: setup.maintenance_db.clone(),
        lock_timeout: setup.lock_timeout,
        sessions: names.sessions.clone(),
    }
}

/// Drops what an earlier restore has kept. Twice is once.
pub(crate) async fn discard(setup: &Setup, kept: &Token) -> Result<()> {
    exchange::discard(setup, &Kept::parse(kept)?).await
}

/// Reads `contents.json`.
pub(crate) async fn read_contents(archived: Arc<dyn ArchivedNode>) -> Result<Contents> {
    let read = tokio::task::spawn_blocking(move || parse_contents(&*archived));
    read.await.map_err(|error| Error::defect("the `postgres` driver panicked").with_source(error))?
}

/// Reads `contents.json` on a thread that may block.
pub(crate) fn parse_contents(archived: &dyn ArchivedNode) -> Result<Contents> {
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut *archived.read(&PartName::new(CONTENTS)?)?, &mut text)
        .map_err(|error| Error::io("can't read `contents.json` of the archive", error))?;
    serde_json::from_slice(&text).map_err(|error| {
        Error::archive("`contents.json` of the archive is not well formed").with_source(error)
    })
}
