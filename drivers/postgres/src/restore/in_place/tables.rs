//! Some tables, dropped and made again.

use std::collections::BTreeSet;

use dumprestore_driver::{Changes, Error, Extras, LedgerEntry, Result};

use super::super::changes::loose_keys;
use super::super::items::{self, Policies};
use super::super::needs::Obstacle;
use super::super::prepare;
use super::super::server::Server;
use super::choice::{Chosen, TableName};
use super::dependents::{Published, dependents};
use super::relations::{self, Relation};
use super::{after, emptied, extra_partitions, locks, plan, sequences};
use crate::archived::{Contents, Item, Section};
use crate::catalog;
use crate::config::Policy;
use crate::connect::Connection;
use crate::pattern::fits_table;
use crate::quote;

/// What of the live database is about to be dropped.
struct Doomed {
    replaced: Vec<Relation>,
    /// They fit what was chosen, and the archive does not have them.
    extras: Vec<Relation>,
    /// Partitions of what is dropped that the archive does not have: they go with it, whatever they are called.
    partitions: Vec<Relation>,
}

impl Doomed {
    async fn look(session: &Connection, chosen: &Chosen, extras: Extras) -> Result<Self> {
        let all = relations::all(session).await?;
        let is_meant = |relation: &Relation| {
            let (schema, name) = &relation.name;
            relation.is_table() && chosen.patterns.iter().any(|pattern| fits_table(pattern, schema, name))
        };
        let (replaced, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|relation| chosen.tables.contains(&relation.name));
        // Partitions go with what they are of.
        let of_replaced: Vec<u32> = replaced.iter().map(|relation| relation.oid).collect();
        let parts = relations::with_partitions(session, &of_replaced).await?;
        let goes = |relation: &Relation| parts.iter().any(|part| part.oid == relation.oid);
        let meant = others.into_iter().filter(|relation| is_meant(relation) && !goes(relation)).collect();
        let mut doomed = Self { replaced, extras: meant, partitions: Vec::new() };
        let dropped = doomed.dropped(extras).map(|relation| relation.oid).collect::<Vec<_>>();
        doomed.partitions = extra_partitions::of(session, &dropped, chosen).await?;
        Ok(doomed)
    }

    fn dropped(&self, extras: Extras) -> impl Iterator<Item = &Relation> {
        let extras = self.extras.iter().filter(move |_| extras == Extras::Remove);
        self.replaced.iter().chain(extras)
    }

    /// What of all that stands in the way.
    async fn obstacles(
        &self,
        session: &Connection,
        chosen: &Chosen,
        extras: Extras,
    ) -> Result<Vec<Obstacle>> {
        let mut obstacles: Vec<Obstacle> = Vec::new();
        for relation in self.dropped(extras).filter(|relation| !relation.is_table()) {
            obstacles.push(Obstacle::new(
                format!("`{}` is no table in the live database", relation.label()),
                "rename or drop what has the name",
            ));
        }
        obstacles.extend(plan::not_owned(self.dropped(extras)));
        obstacles.extend(extra_partitions::dropped(&self.partitions, extras));
        let oids: Vec<u32> = self.dropped(extras).map(|relation| relation.oid).collect();
        let published = Published::look(session).await?.by(&chosen.contents);
        obstacles.extend(dependents(session, &oids, &published).await?);
        Ok(obstacles)
    }

    /// Definitions alone have no rows to put in the place of those that go.
    async fn refuse_rows(&self, session: &Connection, chosen: &Chosen, extras: Extras) -> Result<()> {
        if chosen.with_data {
            return Ok(());
        }
        let oids: Vec<u32> = self.dropped(extras).map(|relation| relation.oid).collect();
        emptied::refuse_rows(session, &oids).await
    }
}

/// What a restore of these tables would change, and what is in its way.
pub(super) async fn changes(
    session: &Connection,
    chosen: &Chosen,
    policies: Policies,
    extras: Extras,
) -> Result<Changes> {
    chosen.refuse_without_rows()?;
    refuse_partitions_alone(chosen)?;
    refuse_missing_schemas(session, chosen).await?;
    let doomed = Doomed::look(session, chosen, extras).await?;
    let (_, mut obstacles) = plan::obstacles_within(session, &chosen.contents, policies).await?;
    obstacles.extend(doomed.obstacles(session, chosen, extras).await?);
    Obstacle::refuse(obstacles)?;
    doomed.refuse_rows(session, chosen, extras).await?;
    let there: BTreeSet<&TableName> = doomed.replaced.iter().map(|relation| &relation.name).collect();
    let mut changes = Changes::of("tables");
    changes.replace = chosen.tables.iter().filter(|table| there.contains(table)).count() as u64;
    changes.create = chosen.tables.len() as u64 - changes.replace;
    let removed = doomed.extras.iter().chain(&doomed.partitions);
    removed.for_each(|relation| changes.count_removed(|| relation.label()));
    changes.notes.push(
        "the tables are dropped and made again: indexes, triggers, policies and privileges are then the archive's"
            .to_owned(),
    );
    if !chosen.with_data {
        changes.notes.push(plan::SEQUENCES_ANEW.to_owned());
    }
    changes.notes.extend(loose_keys(&chosen.contents));
    changes.notes.extend(plan::notes_within(session, chosen).await?);
    changes.needs_bytes = Some(chosen.contents.tables.iter().map(|table| table.bytes).sum());
    Ok(changes)
}

/// A partition is made with what its table has, and that may differ from what it had when it was dumped.
fn refuse_partitions_alone(chosen: &Chosen) -> Result<()> {
    let attached = chosen.contents.items.iter().filter(|item| item.kind == "TABLE ATTACH");
    let is_part = |item: &&Item| !chosen.roots.contains_key(&(item.schema.clone(), item.name.clone()));
    match attached.into_iter().find(is_part) {
        None => Ok(()),
        Some(item) => Err(Error::unsupported(format!(
            "`{}.{}` is a partition, and is not made again without its table",
            item.schema, item.name
        ))
        .with_hint("choose the partitioned table, or restore the rows alone with `--data-only`")),
    }
}

async fn refuse_missing_schemas(session: &Connection, chosen: &Chosen) -> Result<()> {
    let there = catalog::schemas(session).await?;
    match chosen.tables.iter().find(|(schema, _)| !there.contains(schema)) {
        None => Ok(()),
        Some((schema, name)) => {
            Err(Error::config(format!("the live database has no schema `{schema}` for the table `{name}`"))
                .with_hint("make it, or restore the whole node"))
        }
    }
}

/// Drops the tables, and makes them again.
pub(super) async fn begin(
    server: &Server,
    session: &Connection,
    chosen: &mut Chosen,
    policies: Policies,
    extras: Extras,
) -> Result<Vec<LedgerEntry>> {
    let before = Doomed::look(session, chosen, extras).await?;
    let names = |doomed: &Doomed| doomed.dropped(extras).map(Relation::quoted).collect::<Vec<_>>();
    let outermost = before.dropped(extras).filter(|relation| relation.is_table() && !relation.is_partition);
    locks::lock(server, session, &outermost.map(Relation::quoted).collect::<Vec<_>>()).await?;
    // Since the plan, and before the locks, something may have come to depend on them.
    let doomed = Doomed::look(session, chosen, extras).await?;
    Obstacle::refuse(doomed.obstacles(session, chosen, extras).await?)?;
    doomed.refuse_rows(session, chosen, extras).await?;
    let dropped = names(&doomed);
    if !dropped.is_empty() {
        let statement = format!("DROP TABLE {} RESTRICT", dropped.join(", "));
        let failed = |error| session.fault(error, "can't drop the tables that are to be replaced");
        session.batch_execute(&statement).await.map_err(failed)?;
    }
    let ledger = leave_out_missing_publications(session, &mut chosen.contents).await?;
    let items = chosen.contents.items.iter().filter(|item| item.section == Section::PreData);
    items::make(session, &items.collect::<Vec<_>>(), policies).await?;
    Ok(ledger)
}

/// A table that belongs to a publication which is gone is restored without.
async fn leave_out_missing_publications(
    session: &Connection,
    contents: &mut Contents,
) -> Result<Vec<LedgerEntry>> {
    let published = Published::look(session).await?;
    let (lost, kept): (Vec<Item>, Vec<Item>) = std::mem::take(&mut contents.items)
        .into_iter()
        .partition(|item| item.kind == "PUBLICATION TABLE" && published.of(item).is_none());
    contents.items = kept;
    let told = |item: &Item| {
        let why = "the publication that it could be added to is not there";
        LedgerEntry::degrading(format!("publication table `{}`", item.name), why)
    };
    Ok(lost.iter().map(told).collect())
}

/// Everything after the rows.
pub(super) async fn complete(
    session: &Connection,
    chosen: &Chosen,
    policies: Policies,
) -> Result<Vec<LedgerEntry>> {
    let contents = &chosen.contents;
    let post_data = contents.items.iter().filter(|item| item.section == Section::PostData);
    after::make(session, &post_data.collect::<Vec<_>>(), contents, policies).await?;
    prepare::set_sequences(session, contents).await?;
    if policies.privileges == Policy::Keep {
        forget_default_privileges(session, chosen).await?;
    }
    let last = contents.items.iter().filter(|item| item.section == Section::Last);
    after::make(session, &last.collect::<Vec<_>>(), contents, policies).await?;
    let mut ledger = sequences::behind(session, &chosen.lent_sequences).await?;
    ledger.extend(after::analyze(session, contents).await?);
    Ok(ledger)
}

/// What `ALTER DEFAULT PRIVILEGES` gave to the new tables is not what they had.
async fn forget_default_privileges(session: &Connection, chosen: &Chosen) -> Result<()> {
    let asked = "SELECT n.nspname::text, c.relname::text, c.relkind = 'S', \
            ARRAY (SELECT DISTINCT coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC') \
                FROM pg_catalog.aclexplode(c.relacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee \
                WHERE a.grantee <> c.relowner) \
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r', 'p', 'S') AND c.relacl IS NOT NULL";
    let failed = |error| session.fault(error, "can't take default privileges away");
    let rows = session.query(asked, &[]).await.map_err(failed)?;
    let sequences = chosen.contents.items.iter().filter(|item| item.kind == "SEQUENCE");
    let sequences: BTreeSet<(&str, &str)> =
        sequences.map(|item| (item.schema.as_str(), item.name.as_str())).collect();
    for row in &rows {
        let (schema, name): (String, String) = (row.get(0), row.get(1));
        let (is_sequence, grantees): (bool, Vec<String>) = (row.get(2), row.get(3));
        let quoted = quote::qualified(&schema, &name);
        let ours = match is_sequence {
            true => sequences.contains(&(schema.as_str(), name.as_str())),
            false => chosen.tables.contains(&(schema, name)),
        };
        if ours && !grantees.is_empty() {
            let kind = if is_sequence { "SEQUENCE" } else { "TABLE" };
            let statement = format!("REVOKE ALL ON {kind} {quoted} FROM {}", grantees.join(", "));
            session.batch_execute(&statement).await.map_err(failed)?;
        }
    }
    Ok(())
}
