//! The place that is loaded into: a database beside the live one, and its tables.

mod children;
mod column_type;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use dumprestore_driver::{Content, Error, Result};

use super::Restore;
use super::changes::hidden_keys;
use super::choice::Choice;
use super::entry::{Staged, Step};
use super::exchange::refuse_foreign;
use super::head::{self, Changed, Kind};
use super::names::MARKER;
use super::rows::Way;
use super::state::State;
use super::swap;
use super::tables::{Around, Plan};
use crate::archived::{Contents, CreateTable, Sequence, Table, read_contents};
use crate::catalog;
use crate::connect::{Session, code};
use crate::quote;

use column_type::{ColumnType, column_types};

const DATABASE_EXISTS: u16 = 1007;

impl Restore {
    pub(super) async fn begin(&mut self) -> Result<()> {
        let Some(archived) = self.archived.clone() else {
            self.check_kept().await?;
            self.entry.step = Step::Begun;
            return Ok(());
        };
        let contents = read_contents(archived).await?;
        let mut session = self.server.session().await?;
        session.heed(&self.cancel);
        self.entry.check_server(super::server::identity(&mut session).await.as_deref())?;
        let mut choice = Choice::new(contents, &self.entry.selection, self.entry.extras)?;
        let origin = take_live_definitions(&mut session, &self.names.live, &mut choice).await?;
        let is_replaced =
            |name: &str| choice.covers.tables || choice.tables().iter().any(|table| table == name);
        hidden_keys(&mut session, &self.names.live, is_replaced).await?;
        let sequences = swap::tables(&mut session, &self.names.live).await?;
        self.plans = plans(&choice, &self.names.live, &origin, sequences)?;
        self.parts = choice.parts();
        *self.left.get_mut().unwrap_or_else(PoisonError::into_inner) =
            choice.contents.tables.iter().enumerate().map(|(at, table)| (at, table.parts.len())).collect();
        self.by_insert.store(Way::of(&mut session).await? == Way::Insert, Ordering::Relaxed);
        let choice = Arc::new(choice);
        self.choice = Some(choice.clone());
        self.make(&mut session, &choice).await?;
        session.close().await;
        self.entry.step = Step::Begun;
        Ok(())
    }

    async fn make(&self, session: &mut Session, choice: &Choice) -> Result<()> {
        let staging = &self.names.staging;
        let database = &choice.contents.database;
        let made = session
            .run(format!(
                "CREATE DATABASE {} CHARACTER SET {} COLLATE {}",
                quote::name(staging),
                word(&database.charset)?,
                word(&database.collation)?
            ))
            .await;
        match made {
            Err(error) if code(&error) == Some(DATABASE_EXISTS) => {
                refuse_foreign(session, staging, &self.entry.run).await?;
            }
            other => other.map(drop)?,
        }
        // Whose it is must be known before anything is in it.
        State::of_run(&self.entry.run).store(session, staging).await?;
        session
            .run(format!(
                "CREATE TABLE IF NOT EXISTS {} (run VARCHAR(255) NOT NULL PRIMARY KEY) ENGINE=InnoDB",
                quote::qualified(staging, MARKER)
            ))
            .await?;
        session.run(format!("USE {}", quote::name(staging))).await?;
        for sequence in &choice.contents.sequences {
            make_sequence(session, sequence).await?;
        }
        for plan in &self.plans {
            session.run_single(&plan.create).await.map_err(|error| {
                let hint = error.hint().map(str::to_owned);
                let made = Error::new(error.kind(), "can't make a table")
                    .with_context("table", plan.name.escape_debug());
                match hint {
                    Some(hint) => made.with_hint(hint),
                    None => {
                        made.with_hint("does the server lack its engine or its collation, or is it older?")
                    }
                }
                .with_source(error)
            })?;
        }
        Ok(())
    }

    /// Makes sure that what was kept is there still.
    async fn check_kept(&self) -> Result<()> {
        let Staged::Kept { database, .. } = &self.entry.staged else {
            return Err(Error::defect("a restore begins that has nothing to restore"));
        };
        let mut session = self.server.session().await?;
        self.entry.check_server(super::server::identity(&mut session).await.as_deref())?;
        let state = self.incoming(&mut session).await?;
        let there = swap::tables(&mut session, database).await?;
        session.close().await;
        let missing = state.tables.iter().find(|table| !there.contains(*table));
        match missing {
            None if there.contains(MARKER) => Ok(()),
            _ => Err(Error::environment("the state that was kept is not whole")
                .with_context("database", database)
                .with_hint("somebody has changed it: restore from an archive")),
        }
    }
}

/// A name of a character set or collation, which can't be quoted.
fn word(name: &str) -> Result<&str> {
    match !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        true => Ok(name),
        false => {
            Err(Error::archive("a character set or collation of the archive has no name that could be one"))
        }
    }
}

async fn make_sequence(session: &mut Session, sequence: &Sequence) -> Result<()> {
    let create = head::statement(Kind::Sequence, sequence.create.as_bytes(), Changed::default())?;
    session.run_single(&create).await?;
    let is_number = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(&sequence.next_value) || !is_number(&sequence.cycles) {
        return Err(Error::archive("the position of a sequence is no number")
            .with_context("sequence", sequence.name.escape_debug()));
    }
    let name = quote::name(&sequence.name);
    let set = format!("DO SETVAL({name}, {}, 0, {})", sequence.next_value, sequence.cycles);
    session.run(set).await?;
    if position(session, &name).await? == sequence.next_value {
        return Ok(());
    }
    // `SETVAL` passes over, without a word, what lies behind where it stands.
    session.run(format!("ALTER SEQUENCE {name} RESTART WITH {}", sequence.next_value)).await?;
    match position(session, &name).await? == sequence.next_value {
        true => Ok(()),
        false => Err(Error::environment("a sequence can't be set to where it stood")
            .with_context("sequence", sequence.name.escape_debug())
            .with_context("value", &sequence.next_value)),
    }
}

/// The next value of a sequence that nobody has taken.
async fn position(session: &mut Session, name: &str) -> Result<String> {
    let rows = session.rows(format!("SELECT next_not_cached_value FROM {name}")).await?;
    let row = rows.first().ok_or_else(|| Error::environment("a sequence does not say where it stands"))?;
    row.text(0).map(str::to_owned)
}

/// For data alone, what is live says how tables are made. Gives the name of the database that definitions are of.
pub(super) async fn take_live_definitions(
    session: &mut Session,
    live: &str,
    choice: &mut Choice,
) -> Result<String> {
    if choice.content != Content::DataOnly {
        return Ok(choice.contents.database.name.clone());
    }
    let Some(database) = catalog::database(session, live).await? else {
        return Err(Error::config("there is no database to load the data into")
            .with_context("database", live)
            .with_hint("restore it with its schema"));
    };
    choice.contents.database = database;
    session.run(format!("USE {}", quote::name(live))).await?;
    let relations = catalog::relations(session, live).await?;
    let columns = catalog::columns(session, live).await?;
    let mut keys = catalog::foreign_keys(session, live).await?;
    for table in &mut choice.contents.tables {
        let missing = |what: &str| {
            Error::config(format!("{what} that the archive has data for is not there"))
                .with_context("table", table.name.escape_debug())
                .with_hint("restore the table with its schema, or name other tables with `--only`")
        };
        let there = relations.iter().find(|relation| relation.name == table.name && relation.is_table());
        let there = there.ok_or_else(|| missing("a table"))?;
        let known: BTreeSet<&str> = columns
            .get(&table.name)
            .into_iter()
            .flatten()
            .filter(|column| !column.generated)
            .map(|column| column.name.as_str())
            .collect();
        // Those that say from when and until when a row was valid may be there without being told of.
        let told = table.columns.len() - if table.history.is_some() { 2.min(table.columns.len()) } else { 0 };
        if let Some(column) =
            table.columns.iter().take(told).find(|column| !known.contains(column.name.as_str()))
        {
            return Err(missing("a column").with_context("column", column.name.escape_debug()));
        }
        let create = catalog::create_table(session, &table.name).await?;
        check_columns(table, told, create.as_bytes())
            .map_err(|error| error.with_context("table", table.name.escape_debug()))?;
        table.create = create;
        table.engine = there.engine.clone().unwrap_or_default();
        // What is live says as well what rows are to lead to.
        table.foreign_keys = keys.remove(&table.name).unwrap_or_default();
    }
    session.run("USE information_schema").await?;
    Ok(live.to_owned())
}

/// Refuses columns that would change values of the archive: a server does so without an error.
fn check_columns(table: &Table, told: usize, live: &[u8]) -> Result<()> {
    let (dumped, live) = (CreateTable::parse(table.create.as_bytes())?, CreateTable::parse(live)?);
    let (dumped, live) = (column_types(&dumped), column_types(&live));
    for column in table.columns.iter().take(told) {
        let of = |types: &[(&[u8], ColumnType)]| {
            types.iter().find(|(name, _)| *name == column.name.as_bytes()).map(|(_, found)| found.clone())
        };
        // Names of columns are compared without regard to case.
        let live = of(&live).or_else(|| {
            let is_named =
                |name: &[u8]| String::from_utf8_lossy(name).to_lowercase() == column.name.to_lowercase();
            live.iter().find(|(name, _)| is_named(name)).map(|(_, found)| found.clone())
        });
        let (Some(dumped), Some(live)) = (of(&dumped), live) else {
            return Err(Error::archive("a column that the archive has data for is in no definition")
                .with_context("column", column.name.escape_debug()));
        };
        if !dumped.fits(&live) {
            return Err(Error::config("a column is another one than the archive has data for, and would change them")
                .with_context("column", column.name.escape_debug())
                .with_context("archived", dumped)
                .with_context("live", live)
                .with_hint("restore the table with its schema, or give the column the type that it had, and change it after"));
        }
    }
    Ok(())
}

/// How each table is made.
fn plans(choice: &Choice, live: &str, origin: &str, there: BTreeSet<String>) -> Result<Vec<Plan>> {
    let tables = choice.tables();
    let around = Around {
        live,
        origin,
        names: tables.iter().map(String::as_str).collect(),
        sequences: there,
        referenced: referenced(&choice.contents),
    };
    choice.contents.tables.iter().map(|table| around.plan(table)).collect()
}

/// Columns that foreign keys lead to, the first of each key, by table.
fn referenced(contents: &Contents) -> BTreeMap<String, BTreeSet<String>> {
    let mut referenced = BTreeMap::<String, BTreeSet<String>>::new();
    for key in contents.tables.iter().flat_map(|table| &table.foreign_keys) {
        if key.to_database.is_none() {
            referenced.entry(key.to_table.clone()).or_default().extend(key.to_columns.first().cloned());
        }
    }
    referenced
}
