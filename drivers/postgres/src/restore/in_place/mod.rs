//! A restore in place: one transaction in the live database, for those who may not make another.
//!
//! - [`InPlace`] (here, `staging.rs`): the steps, as the engine calls them. `entry.rs` is what the journal has of it.
//! - `outcome.rs`: the transaction, and what became of it, also when the answer to its commit got lost.
//! - `locks.rs`: all that is replaced is locked at once, before anything is dropped.
//! - `whole.rs` restores a whole database: `holdings.rs` is what it holds, `clear.rs` drops that, `extensions.rs` is what
//!   stays, `after.rs` and `database.rs` come after the rows.
//! - `choice.rs`: what of the archive is meant. `tables.rs` replaces some tables, if nothing else depends on them
//!   (`dependents.rs`), and definitions alone replace no rows (`emptied.rs`); `data.rs` the rows of tables, with foreign
//!   keys and triggers `suspended.rs` meanwhile. What partitions have that the archive does not is in
//!   `extra_partitions.rs`.
//! - `plan.rs`: what it would change, what it costs, and what is in its way.
//!
//! Until the commit nobody else sees anything of it, but has to wait. After it there is no way back.

mod after;
mod choice;
mod clear;
mod data;
mod database;
mod dependents;
mod emptied;
mod entry;
mod extensions;
mod extra_partitions;
mod holdings;
mod locks;
mod lost_objects;
mod outcome;
mod plan;
mod relations;
mod sequences;
mod staging;
mod suspended;
mod tables;
mod tolerance;
mod whole;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, Cancel, Changes, Error, Extras, LedgerEntry, PartName, PartReader, Result,
    Selection, StageContext, Token,
};
use tokio::sync::Mutex;

use super::entry::Step;
use super::items::Policies;
use super::lanes::SETTINGS;
use super::rows;
use super::server::Server;
use super::{
    CONTENTS, LARGE_OBJECTS, large_objects, policies_of, public, read_contents, server_of, unless_cancelled,
};
use crate::config::Setup;
use crate::connect::Connection;
pub(crate) use choice::Chosen;
use choice::Scope;
use entry::Entry;
use outcome::Outcome;
use suspended::Suspended;

/// A restore into the live database.
pub(crate) struct InPlace {
    entry: Entry,
    server: Server,
    policies: Policies,
    selection: Selection,
    extras: Extras,
    cancel: Cancel,
    /// Not there after a crash.
    archived: Option<Arc<dyn ArchivedNode>>,
    /// Known when the restore begins.
    chosen: Option<Chosen>,
    suspended: Suspended,
    /// Which table each part belongs to, by its place among them.
    tables: HashMap<String, usize>,
    /// The session of the one transaction, from `begin` to `commit`.
    session: Mutex<Option<Connection>>,
    loaded: std::sync::Mutex<HashSet<String>>,
    ledger: std::sync::Mutex<Vec<LedgerEntry>>,
}

impl InPlace {
    /// Plans to restore what is archived.
    pub(crate) fn of_archive(setup: &Setup, archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Self {
        let entry = Entry::new(&setup.target.database, &cx.run);
        Self { archived: Some(archived), ..Self::new(setup, entry, cx) }
    }

    /// Picks up what a crash has left. `None`: the token is that of another kind of restore.
    pub(crate) fn of_token(setup: &Setup, token: &Token, cx: StageContext) -> Result<Option<Self>> {
        Ok(Entry::parse(token)?.map(|entry| Self::new(setup, entry, cx)))
    }

    /// Counts what restoring `archived` would create, replace and remove, and refuses what can't work.
    pub(crate) async fn changes(
        setup: &Setup,
        archived: Arc<dyn ArchivedNode>,
        cx: &StageContext,
    ) -> Result<Changes> {
        plan::changes(setup, archived, cx).await
    }

    fn new(setup: &Setup, entry: Entry, cx: StageContext) -> Self {
        Self {
            server: server_of(setup, &entry.names()),
            entry,
            policies: policies_of(setup),
            selection: cx.selection,
            extras: cx.extras,
            cancel: cx.cancel,
            archived: None,
            chosen: None,
            suspended: Suspended::default(),
            tables: HashMap::new(),
            session: Mutex::default(),
            loaded: std::sync::Mutex::default(),
            ledger: std::sync::Mutex::default(),
        }
    }

    fn tell(&self, entries: impl IntoIterator<Item = LedgerEntry>) {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
    }

    async fn begin(&mut self) -> Result<()> {
        let archived = self.archived.clone().ok_or_else(not_begun)?;
        let contents = read_contents(archived.clone()).await?;
        let mut chosen = Chosen::of(contents, &self.selection, &*archived)?;
        let (session, transaction, suspended) =
            unless_cancelled(&self.cancel, self.open(&mut chosen)).await?;
        self.tables = chosen
            .contents
            .tables
            .iter()
            .enumerate()
            .flat_map(|(at, table)| table.parts.iter().map(move |part| (part.clone(), at)))
            .collect();
        (self.chosen, self.suspended) = (Some(chosen), suspended);
        self.entry.transaction = Some(transaction);
        *self.session.get_mut() = Some(session);
        self.entry.step = Step::Begun;
        Ok(())
    }

    async fn open(&self, chosen: &mut Chosen) -> Result<(Connection, entry::Transaction, Suspended)> {
        let session = self.server.session(&self.entry.live).await?;
        let failed = |error| session.fault(error, "can't set a session up");
        session.batch_execute(SETTINGS).await.map_err(failed)?;
        // What is committed here is committed for good.
        let mut settings = "SET synchronous_commit = on".to_owned();
        if session.version() >= 120_000 {
            settings.push_str("; SET default_table_access_method = heap");
        }
        session.batch_execute(&settings).await.map_err(failed)?;
        public::leave_as_new(&session, &mut chosen.contents).await?;
        let transaction = outcome::begin(&session).await?;
        let mut suspended = Suspended::default();
        let (server, policies) = (&self.server, self.policies);
        self.tell(match chosen.scope {
            Scope::Database => {
                let (ledger, keys) = whole::begin(server, &session, chosen, policies).await?;
                suspended = keys;
                ledger
            }
            Scope::Tables => tables::begin(server, &session, chosen, policies, self.extras).await?,
            Scope::Rows => {
                suspended = data::begin(server, &session, chosen, self.extras).await?;
                Vec::new()
            }
        });
        Ok((session, transaction, suspended))
    }

    /// Whether a part belongs to what is chosen.
    fn wants(&self, part: &PartName) -> bool {
        let Some(chosen) = &self.chosen else { return false };
        match part.below(LARGE_OBJECTS) {
            Some(_) => chosen.large_objects,
            // An archive with parts that nobody knows is not restored whole without a word.
            None => {
                self.selection.is_whole() && part.as_str() != CONTENTS
                    || self.tables.contains_key(part.as_str())
            }
        }
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        let contents = &self.chosen.as_ref().ok_or_else(not_begun)?.contents;
        let session = self.session.lock().await;
        let session = session.as_ref().ok_or_else(not_begun)?;
        match self.tables.get(part.name.as_str()).and_then(|at| contents.tables.get(*at)) {
            Some(table) => rows::load_within(session, table, part, from, &self.cancel).await?,
            None if part.name.below(LARGE_OBJECTS).is_some() => {
                large_objects::load(session, from, self.policies, &self.cancel).await?;
            }
            None => {
                return Err(Error::archive(format!(
                    "a dump of a `postgres` node has no part {:?}",
                    part.name
                )));
            }
        }
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(part.name.to_string());
        Ok(())
    }

    async fn prepare(&mut self) -> Result<()> {
        if self.entry.step >= Step::Prepared {
            return Ok(());
        }
        unless_cancelled(&self.cancel, self.complete()).await?;
        self.entry.step = Step::Prepared;
        Ok(())
    }

    async fn complete(&self) -> Result<()> {
        let chosen = self.chosen.as_ref().ok_or_else(not_begun)?;
        {
            let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(missing) = self.tables.keys().find(|part| !loaded.contains(*part)) {
                return Err(Error::archive("the archive has not all the rows that it should")
                    .with_context("part", missing));
            }
        }
        let session = self.session.lock().await;
        let session = session.as_ref().ok_or_else(not_begun)?;
        // What a commit would check, fails here.
        let failed = |error| session.fault(error, "what was restored breaks a constraint");
        session.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await.map_err(failed)?;
        self.tell(match chosen.scope {
            Scope::Database => {
                whole::complete(session, &chosen.contents, self.policies, &self.suspended).await?
            }
            Scope::Tables => tables::complete(session, chosen, self.policies).await?,
            Scope::Rows => data::complete(session, chosen, &self.suspended).await?,
        });
        self.tell(lost_objects::named(session, chosen).await?);
        session.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await.map_err(failed)?;
        outcome::keep_number(&self.server, session).await
    }

    /// What was begun by this process, or by one that was killed, is over after it.
    async fn settled(&mut self) -> Result<Connection> {
        if let Some(session) = self.session.get_mut().take() {
            session.close().await;
        }
        self.server.wait_until_up().await;
        let session = self.server.session(&self.entry.live).await?;
        self.server.end_left_sessions(&session).await?;
        Ok(session)
    }

    /// What became of the transaction, of which the commit may have been asked for.
    async fn find_outcome(&mut self) -> Result<Outcome> {
        let Some(transaction) = self.entry.transaction.clone() else { return Ok(Outcome::RolledBack) };
        let session = self.settled().await?;
        let outcome = outcome::outcome(&session, &transaction).await?;
        session.close().await;
        Ok(outcome)
    }

    async fn commit(&mut self) -> Result<()> {
        match self.entry.step {
            Step::Committed => return Ok(()),
            Step::Prepared => {}
            _ => return Err(Error::defect("a restore is committed that is not prepared")),
        }
        let Some(session) = self.session.get_mut().take() else { return self.commit_resumed().await };
        self.cancel.check()?;
        let committed = session.batch_execute("COMMIT").await;
        committed.map_err(|error| session.fault(error, "can't commit a restore in place"))?;
        session.close().await;
        // A server answers so as well if it has rolled back.
        self.expect_committed().await
    }

    /// After a crash it is asked for only where all nodes have committed, or the last of them, which was asked after all
    /// others. A server that does not know any more must not keep the rest from going forward, now and for ever.
    async fn commit_resumed(&mut self) -> Result<()> {
        let outcome = self.find_outcome().await?;
        if outcome == Outcome::Unknown {
            self.tell([LedgerEntry::degrading(
                &self.entry.live,
                "the restore in place was committed, but the server has changed since and does not know of it: look \
                 whether the database holds what was restored",
            )]);
            self.entry.step = Step::Committed;
            return Ok(());
        }
        self.expect(outcome)
    }

    async fn expect_committed(&mut self) -> Result<()> {
        let outcome = self.find_outcome().await?;
        self.expect(outcome)
    }

    fn expect(&mut self, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Committed => {
                self.entry.step = Step::Committed;
                Ok(())
            }
            Outcome::RolledBack => {
                Err(Error::environment("the restore in place was rolled back by the server")
                    .with_hint("see the server's log; then restore again"))
            }
            Outcome::Unknown => Err(unknown()),
        }
    }

    async fn took_effect(&mut self) -> Result<Option<bool>> {
        match self.entry.step {
            Step::Committed => return Ok(Some(true)),
            Step::Prepared => {}
            // It is never asked for before.
            _ => return Ok(Some(false)),
        }
        Ok(match self.find_outcome().await? {
            Outcome::Committed => {
                self.entry.step = Step::Committed;
                Some(true)
            }
            Outcome::RolledBack => Some(false),
            Outcome::Unknown => None,
        })
    }

    async fn rollback(&mut self) -> Result<()> {
        if self.entry.step < Step::Prepared || self.session.get_mut().is_some() {
            // Its commit was never asked for: its session's end is its own.
            self.settled().await?.close().await;
            return Ok(());
        }
        match self.find_outcome().await? {
            Outcome::RolledBack => Ok(()),
            Outcome::Committed => Err(Error::stuck("the restore in place is committed, and can't be undone")
                .with_context("database", &self.entry.live)
                .with_hint("what was there before can only come from another archive")),
            Outcome::Unknown => Err(unknown()),
        }
    }
}

fn unknown() -> Error {
    Error::stuck("the server does not know any more whether the restore in place was committed").with_hint(
        "look whether the database holds what was restored; if it does not, the restore has changed nothing",
    )
}

fn not_begun() -> Error {
    Error::defect("a restore in place is gone on with that was not begun")
}
