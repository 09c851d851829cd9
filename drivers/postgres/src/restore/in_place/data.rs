//! Rows of tables that are there, replaced.

use std::collections::{BTreeMap, BTreeSet};

use dumprestore_driver::{Changes, Error, Extras, LedgerEntry, Result};

use super::super::foreign_keys::{self, ForeignKey, foreign_keys};
use super::super::items::Policies;
use super::super::needs::Obstacle;
use super::super::server::Server;
use super::choice::{Chosen, TableName};
use super::relations::{self, Relation};
use super::suspended::Suspended;
use super::{after, clear, emptied, extensions, extra_partitions, locks, plan, sequences};
use crate::archived::{Contents, Table};
use crate::connect::Connection;

/// Where rows go.
struct Targets {
    /// From a table of the archive to what it is loaded into.
    into: BTreeMap<TableName, TableName>,
    /// What is emptied: the tables that are loaded into.
    emptied: Vec<Relation>,
    /// The same, with all partitions.
    all: Vec<Relation>,
    keys: Vec<ForeignKey>,
    /// Foreign keys that somebody has put out of action.
    disabled: Vec<String>,
    /// At the other end of a foreign key.
    others: Vec<Relation>,
}

impl Targets {
    async fn look(session: &Connection, chosen: &Chosen) -> Result<Self> {
        let there = relations::all(session).await?;
        let mut into = BTreeMap::new();
        let mut names = BTreeSet::new();
        let by_leaf = loaded_by_leaf(chosen);
        for table in loaded(chosen) {
            let own = (table.schema.clone(), table.name.clone());
            let root = chosen.roots.get(&own).filter(|root| !by_leaf.contains(root));
            let target = root.unwrap_or(&own).clone();
            refuse_part_of_a_hash(table, &target)?;
            let relation = there.iter().find(|relation| relation.name == target).filter(|r| r.is_table());
            let Some(relation) = relation else { return Err(missing(&target)) };
            refuse_missing_columns(table, relation)?;
            names.insert(relation.oid);
            into.insert(own, target);
        }
        let oids: Vec<u32> = names.into_iter().collect();
        let emptied = relations::of(session, &oids).await?;
        let all = relations::with_partitions(session, &oids).await?;
        let concerned: Vec<u32> = all.iter().map(|relation| relation.oid).collect();
        let keys = foreign_keys(session, &concerned).await?;
        let disabled =
            foreign_keys::disabled(session, &concerned).await?.into_iter().map(|key| key.label).collect();
        let ends: BTreeSet<u32> = keys.iter().flat_map(|key| [key.referrer, key.referent]).collect();
        let ends: Vec<u32> = ends.into_iter().filter(|oid| !concerned.contains(oid)).collect();
        let others = relations::of(session, &ends).await?;
        Ok(Self { into, emptied, all, keys, disabled, others })
    }

    fn obstacles(&self) -> Vec<Obstacle> {
        let mut obstacles = Vec::new();
        // Its rows are on another server, and would go there.
        if let Some(foreign) = self.all.iter().find(|relation| relation.kind == 'f') {
            obstacles.push(Obstacle::new(
                format!("`{}` is a foreign table, whose rows are elsewhere", foreign.label()),
                "leave the table that it is a partition of out",
            ));
        }
        // It would be in action again, and the rows that it was to let in would not fit.
        if !self.disabled.is_empty() {
            obstacles.push(Obstacle::new(
                format!("foreign keys whose triggers are disabled: `{}`", self.disabled.join("`, `")),
                "put them into action with `ALTER TABLE … ENABLE TRIGGER ALL`, or drop them, for the restore",
            ));
        }
        // Who takes a foreign key away, and makes it again, must own the table that has it.
        let referrers =
            self.others.iter().filter(|other| self.keys.iter().any(|key| key.referrer == other.oid));
        obstacles.extend(plan::not_owned(self.all.iter().chain(referrers)));
        obstacles
    }
}

/// Tables of the archive whose rows are loaded, but those of extensions.
fn loaded(chosen: &Chosen) -> impl Iterator<Item = &Table> {
    chosen.contents.tables.iter().filter(|table| !table.of_extension && !table.without_data)
}

fn missing(name: &TableName) -> Error {
    let (schema, name) = name;
    Error::config(format!("the live database has no table `{schema}.{name}` for the rows"))
        .with_hint("make it; or restore it with its definition, without `--data-only`")
}

/// Partitioned tables that have a partition whose rows the dump is without. Emptied as a whole, they would lose those: so
/// the other partitions are emptied and loaded one by one.
fn loaded_by_leaf(chosen: &Chosen) -> BTreeSet<&TableName> {
    let without = chosen.contents.tables.iter().filter(|table| table.without_data);
    without.filter_map(|table| chosen.roots.get(&(table.schema.clone(), table.name.clone()))).collect()
}

/// Where a row of it belongs may be another partition by now, which keeps its rows.
fn refuse_part_of_a_hash(table: &Table, target: &TableName) -> Result<()> {
    match &table.load_through {
        Some(root) if root != target => Err(Error::unsupported(format!(
            "the rows of `{}.{}` are only restored with all those of `{}.{}`",
            table.schema, table.name, root.0, root.1
        ))
        .with_hint("choose the partitioned table, in an archive that has the rows of all its partitions")),
        _ => Ok(()),
    }
}

fn refuse_missing_columns(table: &Table, relation: &Relation) -> Result<()> {
    let missing: Vec<&str> =
        table.columns.iter().filter(|c| !relation.columns.contains(c)).map(String::as_str).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::environment(format!(
            "`{}` has no columns `{}` for the rows",
            relation.label(),
            missing.join("`, `")
        ))
        .with_hint("add them, or restore the table with its definition, without `--data-only`")),
    }
}

/// Rows that go, and are not the archive's to replace.
struct Lost {
    /// Partitions that the archive does not have.
    extras: Vec<String>,
    /// Partitions whose rows it is without.
    without: Vec<String>,
}

impl Lost {
    async fn look(session: &Connection, chosen: &Chosen, targets: &Targets) -> Result<Self> {
        let ours = |relation: &&Relation| chosen.tables.contains(&relation.name);
        let (ours, extras): (Vec<&Relation>, Vec<&Relation>) = targets.all.iter().partition(ours);
        let is_without = |one: &&Relation| extra_partitions::is_without_rows(chosen, &one.name);
        let without: Vec<&Relation> = ours.into_iter().filter(is_without).collect();
        Ok(Self {
            without: emptied::with_rows(session, &without).await?,
            extras: emptied::with_rows(session, &extras).await?,
        })
    }

    fn obstacles(&self, extras: Extras) -> Vec<Obstacle> {
        let without = extra_partitions::without_rows(&self.without);
        without.into_iter().chain(extra_partitions::emptied(&self.extras, extras)).collect()
    }
}

const CHECKS: &str =
    "triggers do not fire; foreign keys are checked once all rows are in, but for those that are `NOT VALID`";

/// What a restore of these rows would change, and what is in its way.
pub(super) async fn changes(
    session: &Connection,
    chosen: &Chosen,
    policies: Policies,
    extras: Extras,
) -> Result<Changes> {
    chosen.refuse_without_rows()?;
    let targets = Targets::look(session, chosen).await?;
    let (login, mut obstacles) = plan::obstacles_within(session, &chosen.contents, policies).await?;
    obstacles.extend(targets.obstacles());
    obstacles.extend(plan::others_large_objects(session, &login).await?.filter(|_| chosen.large_objects));
    Obstacle::refuse(obstacles)?;
    let lost = Lost::look(session, chosen, &targets).await?;
    Obstacle::refuse(lost.obstacles(extras))?;
    let mut changes = Changes::of("tables");
    changes.replace = loaded(chosen).count() as u64;
    if !lost.extras.is_empty() {
        changes
            .notes
            .push("of partitions that the archive does not have, only the rows are removed".to_owned());
    }
    lost.extras.into_iter().for_each(|label| changes.count_removed(|| label));
    changes.notes.push(CHECKS.to_owned());
    if !targets.others.is_empty() {
        let others: Vec<String> = targets.others.iter().map(Relation::label).collect();
        changes.notes.push(format!("locked as well, for their foreign keys: `{}`", others.join("`, `")));
    }
    let left = chosen.contents.without_rows();
    if !left.is_empty() {
        changes.notes.push(format!("left alone, as the dump is without their rows: `{}`", left.join("`, `")));
    }
    changes.notes.extend(plan::notes_within(session, chosen).await?);
    changes.needs_bytes = Some(loaded(chosen).map(|table| table.bytes).sum());
    Ok(changes)
}

/// Empties the tables, and has nothing act on what is loaded into them.
pub(super) async fn begin(
    server: &Server,
    session: &Connection,
    chosen: &mut Chosen,
    extras: Extras,
) -> Result<Suspended> {
    let before = Targets::look(session, chosen).await?;
    let tables = before.emptied.iter().chain(&before.others).filter(|r| r.is_table());
    let mut tables: Vec<String> = tables.map(Relation::quoted).collect();
    tables.extend(extensions::tables_with_keys(session, &chosen.contents.tables).await?);
    locks::lock(server, session, &tables).await?;
    // Since the plan, and before the locks, it may have changed.
    let targets = Targets::look(session, chosen).await?;
    Obstacle::refuse(targets.obstacles())?;
    Obstacle::refuse(Lost::look(session, chosen, &targets).await?.obstacles(extras))?;
    let Targets { into, emptied, all, mut keys, .. } = targets;
    keys.extend(foreign_keys::among_configuration(session, &chosen.contents.tables).await?);
    let suspended = Suspended::begin(session, keys, all).await?;
    if !emptied.is_empty() {
        // Tables that inherit from one keep their rows; partitions don't.
        let named = emptied.iter().map(|relation| match relation.kind {
            'p' => relation.quoted(),
            _ => format!("ONLY {}", relation.quoted()),
        });
        let statement = format!("TRUNCATE {}", named.collect::<Vec<_>>().join(", "));
        let failed = |error| session.fault(error, "can't empty the tables");
        session.batch_execute(&statement).await.map_err(failed)?;
    }
    if chosen.large_objects {
        clear::remove_large_objects(session).await?;
    }
    let extensions = extensions::all(session).await?;
    let (of_extensions, others): (Vec<Table>, Vec<Table>) =
        std::mem::take(&mut chosen.contents.tables).into_iter().partition(|table| table.of_extension);
    extensions::empty_tables(session, &extensions, Some(&of_extensions)).await?;
    let loaded = others.into_iter().filter(|table| !table.without_data).map(|table| {
        let target = into.get(&(table.schema.clone(), table.name.clone())).cloned();
        Table { load_through: target, ..table }
    });
    chosen.contents.tables = loaded.chain(of_extensions).collect();
    Ok(suspended)
}

/// Everything after the rows.
pub(super) async fn complete(
    session: &Connection,
    chosen: &Chosen,
    suspended: &Suspended,
) -> Result<Vec<LedgerEntry>> {
    let contents = &chosen.contents;
    let (there, mut ledger) = sequences::there(session, &contents.sequences).await?;
    sequences::rewind(session, &there).await?;
    ledger.extend(sequences::behind(session, &chosen.lent_sequences).await?);
    suspended.end(session).await?;
    let views = relations::all(session).await?;
    let is_there = |schema: &String, name: &String| {
        views.iter().any(|view| view.kind == 'm' && view.name.0 == *schema && view.name.1 == *name)
    };
    let mut filled = Contents { items: Vec::new(), ..contents.clone() };
    filled.matviews.retain(|view| is_there(&view.schema, &view.name));
    ledger.extend(after::refresh(session, &filled).await?);
    let emptied: BTreeSet<TableName> =
        filled.tables.iter().filter_map(|table| table.load_through.clone()).collect();
    for table in &mut filled.tables {
        if let Some((schema, name)) = table.load_through.take() {
            (table.schema, table.name) = (schema, name);
        }
    }
    filled.tables.retain({
        let mut left = emptied;
        move |table| left.remove(&(table.schema.clone(), table.name.clone()))
    });
    ledger.extend(after::analyze(session, &filled).await?);
    Ok(ledger)
}
