//! What is in a dump: definitions, and parts.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use dumprestore_driver::{Cancel, Error, LedgerEntry, Part, PartName, Result};

use super::choice::Choice;
use super::defaults::lost_defaults;
use super::piece::{Piece, ranges};
use super::pin::{Pinned, patient};
use super::programs::{Programs, Readers};
use super::reading::Reading;
use super::touch::hasty;
use crate::archived::{
    CONTENTS, Contents, Database, Family, ForeignKey, Held, History, Origin, Sequence, Table, part_name,
};
use crate::catalog::{self, Column, Kind, Relation};
use crate::config::Setup;
use crate::connect::{self, Session};

/// Everything that is dumped.
pub(super) struct Listing {
    pub(super) contents: Contents,
    pub(super) parts: Vec<Part>,
    pub(super) pieces: HashMap<PartName, Piece>,
    pub(super) ledger: Vec<LedgerEntry>,
}

/// Of all tables, what the server lists of them together.
struct Lists {
    columns: HashMap<String, Vec<Column>>,
    leading: HashMap<String, String>,
    foreign_keys: HashMap<String, Vec<ForeignKey>>,
}

impl Listing {
    /// Reads all definitions, and cuts tables into parts.
    pub(super) async fn make(
        setup: &Setup,
        choice: &Choice,
        pinned: &Pinned,
        cancel: &Cancel,
    ) -> Result<Self> {
        // In a transaction that only reads, MariaDB does not even show a view that calls `NEXTVAL`.
        let mut apart = pinned.apart(setup, cancel).await?;
        let mut lane = pinned.lanes.take().await?;
        let session = lane.session()?;
        session.run(hasty()).await?;
        let mut readers = Readers { lane: session, apart: &mut apart };
        let programs = Programs::read(setup, pinned, &mut readers).await?;
        session.run(patient(setup)).await?;
        apart.close().await;
        let mut listing = Self {
            contents: Contents {
                origin: origin(&pinned.server),
                database: database(session, &pinned.database).await?,
                tables: Vec::new(),
                sequences: Vec::new(),
                views: programs.views,
                triggers: programs.triggers,
                routines: programs.routines,
                events: programs.events,
                held: Held {
                    all_tables: pinned.chosen.whole,
                    triggers: setup.triggers,
                    routines: setup.routines,
                    events: setup.events,
                },
            },
            parts: vec![Part::new(PartName::new(CONTENTS)?)],
            pieces: HashMap::new(),
            ledger: programs.ledger,
        };
        listing.add_tables(pinned, session).await?;
        listing.ledger.extend(lost_defaults(pinned, session).await?);
        listing.contents.sequences = sequences(choice, pinned, session, &listing.contents.tables).await?;
        if let Some(hold) = &pinned.hold {
            hold.expect(listing.pieces.values().filter(|piece| piece.held).count());
        }
        Ok(listing)
    }

    async fn add_tables(&mut self, pinned: &Pinned, session: &mut Session) -> Result<()> {
        let lists = Lists {
            columns: catalog::columns(session, &pinned.database).await?,
            leading: catalog::leading_columns(session, &pinned.database).await?,
            foreign_keys: catalog::foreign_keys(session, &pinned.database).await?,
        };
        let mut tables: Vec<&Relation> = pinned
            .relations
            .iter()
            .filter(|relation| relation.is_table() && !pinned.chosen.omits(&relation.name))
            .collect();
        // Others wait for what is held; and of the rest, the largest take the longest.
        tables.sort_by_key(|table| (is_transactional(table), Reverse(table.bytes)));
        for table in tables {
            self.add_table(pinned, session, table, &lists).await?;
        }
        self.contents.tables.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(())
    }

    async fn add_table(
        &mut self,
        pinned: &Pinned,
        session: &mut Session,
        table: &Relation,
        lists: &Lists,
    ) -> Result<()> {
        // A table that is just being changed is left out of the server's lists, and would have no columns.
        let columns = lists.columns.get(&table.name).filter(|columns| !columns.is_empty());
        let columns = columns.ok_or_else(|| unlisted(table))?;
        let create = catalog::create_table(session, &table.name).await?;
        let reading = Arc::new(Reading::new(&pinned.server, table, columns));
        self.tell(pinned, table, &reading);
        let with_rows = pinned.chosen.has_rows_of(&table.name) && !table.is_a_window();
        let leading = lists.leading.get(&table.name);
        let leading = leading.and_then(|name| columns.iter().find(|column| column.name == *name));
        let parts = match with_rows {
            true => self.add_parts(session, table, leading, &reading, pinned.hold.is_some()).await?,
            false => Vec::new(),
        };
        self.contents.tables.push(Table {
            name: table.name.clone(),
            create,
            engine: table.engine.clone().unwrap_or_default(),
            transactional: is_transactional(table),
            columns: reading.columns.clone(),
            collations: collations(table, columns),
            foreign_keys: lists.foreign_keys.get(&table.name).cloned().unwrap_or_default(),
            history: reading.history.clone(),
            without_data: !with_rows,
            bytes: table.bytes,
            parts,
        });
        Ok(())
    }

    async fn add_parts(
        &mut self,
        session: &mut Session,
        table: &Relation,
        leading: Option<&Column>,
        reading: &Arc<Reading>,
        held: bool,
    ) -> Result<Vec<String>> {
        let name: Arc<str> = table.name.as_str().into();
        let ranges = ranges(session, table, leading).await?;
        let size = table.bytes / ranges.len().max(1) as u64;
        let mut names = Vec::with_capacity(ranges.len());
        for (at, range) in ranges.into_iter().enumerate() {
            let part = part_name(&table.name, at + 1)?;
            names.push(part.to_string());
            self.parts.push(Part::new(part.clone()).with_size(size));
            let held = held && !is_transactional(table);
            self.pieces.insert(part, Piece { table: name.clone(), reading: reading.clone(), range, held });
        }
        Ok(names)
    }

    /// What is not as one would think.
    fn tell(&mut self, pinned: &Pinned, table: &Relation, reading: &Reading) {
        let name = || table.name.clone();
        if !pinned.chosen.has_rows_of(&table.name) {
            return;
        }
        if table.is_a_window() {
            let engine = table.engine.as_deref().unwrap_or_default();
            let why = format!("its rows are not its own (`{engine}`): only its definition is dumped");
            // It may have them in the database's own folder.
            let entry = if engine.eq_ignore_ascii_case("CONNECT") {
                LedgerEntry::degrading
            } else {
                LedgerEntry::note
            };
            self.ledger.push(entry(name(), why));
            return;
        }
        if !is_transactional(table) && pinned.hold.is_none() {
            let why = "its engine has no transactions: it was read while others may have written, and not at the cut";
            self.ledger.push(LedgerEntry::degrading(name(), why));
        }
        if reading.history == Some(History::Lost) {
            let why = "its rows of the past are left out: this server can't take them back";
            self.ledger.push(LedgerEntry::degrading(name(), why));
        }
    }
}

/// Rows that lie elsewhere are no reason to wait.
fn is_transactional(table: &Relation) -> bool {
    table.transactional || table.is_a_window()
}

fn unlisted(table: &Relation) -> Error {
    Error::environment("the server does not list the columns of a table")
        .with_context("table", table.name.escape_debug())
        .with_hint("its definition is being changed, or the login may not read it: run it again")
}

fn origin(server: &connect::Server) -> Origin {
    let (major, minor, patch) = server.version;
    let family = if server.is_mariadb() { Family::MariaDb } else { Family::MySql };
    Origin { family, version: format!("{major}.{minor}.{patch}") }
}

async fn database(session: &mut Session, name: &str) -> Result<Database> {
    catalog::database(session, name).await?.ok_or_else(|| Error::environment("the database has vanished"))
}

fn collations(table: &Relation, columns: &[Column]) -> Vec<String> {
    let all: BTreeSet<&String> =
        table.collation.iter().chain(columns.iter().filter_map(|column| column.collation.as_ref())).collect();
    all.into_iter().cloned().collect()
}

/// Those that were chosen, and those that a table takes its numbers from.
async fn sequences(
    choice: &Choice,
    pinned: &Pinned,
    session: &mut Session,
    tables: &[Table],
) -> Result<Vec<Sequence>> {
    let mut sequences = Vec::new();
    for relation in pinned.relations.iter().filter(|relation| relation.kind == Kind::Sequence) {
        let quoted = crate::quote::name(&relation.name);
        let needed = || {
            tables
                .iter()
                .any(|table| memchr::memmem::find(table.create.as_bytes(), quoted.as_bytes()).is_some())
        };
        if !pinned.chosen.omits(&relation.name) && (choice.wants_sequence(&relation.name) || needed()) {
            sequences.push(catalog::sequence(session, &relation.name).await?);
        }
    }
    Ok(sequences)
}
