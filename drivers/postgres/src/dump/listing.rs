//! What is in a dump: `contents.json`, and which part reads what.

use std::collections::{HashMap, HashSet};

use dumprestore_driver::{LedgerEntry, Part, PartName, Result};

use super::blobs;
use super::configuration;
use super::definitions::{self, Defined};
use super::loose::{Loosened, loosen};
use super::omit::{Kept, omit};
use super::piece::{CONTENTS, Piece, pieces_of_table};
use super::pin::Pinned;
use super::public;
use super::unseen::unseen;
use crate::archived::{Contents, LargeObjectRoles, Matview, Origin, Sequence, Table};
use crate::catalog::{self, Kinship, Relation, TableDetail};
use crate::config::Setup;
use crate::connect::Connection;
use crate::contents::Definition;

const RELATIONS: u32 = 1259;
/// Of older servers a range of places is read by reading the whole table.
const RANGES_SINCE: u32 = 140_000;

/// All parts of a dump.
pub(crate) struct Listing {
    pub(crate) contents: Contents,
    pub(crate) pieces: HashMap<PartName, Piece>,
    /// The contents first, then the largest.
    pub(crate) parts: Vec<Part>,
    pub(crate) ledger: Vec<LedgerEntry>,
}

impl Listing {
    /// Lists the parts of what is pinned.
    pub(crate) async fn make(setup: &Setup, pinned: &Pinned) -> Result<Self> {
        let Defined { pg_dump, definitions, notes: warnings } = definitions::read(setup, pinned).await?;
        let main = pinned.main.lock().await;
        let kinship = catalog::kinship(&main).await?;
        let Kept { mut definitions, notes } = omit(definitions, &pinned.chosen, &kinship);
        name_tables(&mut definitions, &kinship);
        let schemas = schemas(&main, pinned).await?;
        if schemas.iter().any(|schema| schema == "public") {
            public::complete(&main, &pg_dump, &mut definitions).await?;
        }
        let mut ledger = warnings;
        ledger.extend(notes);
        ledger.extend(foreign_tables(pinned));
        ledger.extend(unseen(&main).await?);
        let kept = relations_of(&definitions);
        let (tables, mut pieces) = tables(&main, pinned, &kept, &mut ledger).await?;
        let Loosened { unchecked, keys: loose_keys, notes } =
            loosen(&main, pinned, &tables, &mut definitions).await?;
        ledger.extend(notes);
        let blobs = large_objects(&main, setup, pinned, &mut ledger).await?;
        let large_object_roles = match blobs.is_empty() {
            true => LargeObjectRoles::default(),
            false => catalog::large_object_roles(&main).await?,
        };
        pieces.extend(blobs);
        let contents = Contents {
            origin: Origin { server_version: pinned.version, pg_dump },
            database: catalog::database(&main).await?,
            roles: if setup.globals { catalog::roles(&main).await? } else { Vec::new() },
            tables,
            sequences: sequences(&main, pinned, &kept, &mut ledger).await?,
            matviews: matviews(&main, pinned, &definitions, &mut ledger).await?,
            schemas,
            whole: pinned.chosen.whole,
            large_object_roles,
            large_objects_left_out: !setup.large_objects || pinned.chosen.by_schema,
            unchecked,
            loose_keys,
            items: definitions.into_iter().map(|definition| definition.item).collect(),
        };
        Self::of(contents, pieces, ledger)
    }

    fn of(
        contents: Contents,
        mut pieces: Vec<(PartName, u64, Piece)>,
        ledger: Vec<LedgerEntry>,
    ) -> Result<Self> {
        in_order(&mut pieces);
        let mut parts = vec![Part::new(PartName::new(CONTENTS)?)];
        parts.extend(pieces.iter().map(|(name, bytes, _)| Part::new(name.clone()).with_size(*bytes)));
        let pieces = pieces.into_iter().map(|(name, _, piece)| (name, piece)).collect();
        Ok(Self { contents, pieces, parts, ledger })
    }
}

/// Large tables first, and the parts of each together: so nothing long is begun last, and a restore, which loads in this
/// order, can build the indexes of one while it loads the next.
fn in_order(pieces: &mut [(PartName, u64, Piece)]) {
    let table = |piece: &Piece| match piece {
        Piece::Rows { table, .. } => Some(table.clone()),
        Piece::LargeObjects { .. } => None,
    };
    let mut bytes: HashMap<Option<String>, u64> = HashMap::new();
    for (_, of_part, piece) in pieces.iter() {
        *bytes.entry(table(piece)).or_default() += of_part;
    }
    pieces.sort_by_cached_key(|(_, _, piece)| {
        let table = table(piece);
        (std::cmp::Reverse(bytes.get(&table).copied()), table)
    });
}

/// Says of each part of a table which table that is.
fn name_tables(definitions: &mut [Definition], kinship: &Kinship) {
    for definition in definitions {
        let relation = kinship.relation_of(definition.object);
        definition.item.table = relation.map(|(_, name)| name.clone());
    }
}

/// Numbers of the relations that are defined.
fn relations_of(definitions: &[Definition]) -> HashSet<u32> {
    let relations = definitions.iter().filter(|definition| definition.object.0 == RELATIONS);
    relations.map(|definition| definition.object.1).collect()
}

fn foreign_tables(pinned: &Pinned) -> impl Iterator<Item = LedgerEntry> {
    let foreign = |relation: &&Relation| relation.kind == 'f' && !pinned.chosen.omits(relation.oid);
    pinned.relations.iter().filter(foreign).map(|relation| {
        LedgerEntry::note(
            format!("foreign table `{}`", relation.label()),
            "its rows are on another server, and are not dumped",
        )
    })
}

type Pieces = Vec<(PartName, u64, Piece)>;

async fn tables(
    main: &Connection,
    pinned: &Pinned,
    kept: &HashSet<u32>,
    ledger: &mut Vec<LedgerEntry>,
) -> Result<(Vec<Table>, Pieces)> {
    let wanted: Vec<&Relation> = pinned
        .relations
        .iter()
        .filter(|relation| relation.has_rows() && !pinned.chosen.omits(relation.oid))
        .filter(|relation| relation.of_extension || kept.contains(&relation.oid))
        .collect();
    let wanted = configuration::in_order(main, wanted).await?;
    let oids: Vec<u32> = wanted.iter().map(|relation| relation.oid).collect();
    let mut details = catalog::table_details(main, &oids).await?;
    let (mut tables, mut all) = (Vec::with_capacity(wanted.len()), Pieces::new());
    for relation in wanted {
        let detail = details.remove(&relation.oid).unwrap_or_default();
        let without_data = why_without_rows(pinned, relation);
        let pieces = match without_data {
            None => pieces_of_table(relation, &detail, pinned.version >= RANGES_SINCE)?,
            Some(_) => Pieces::new(),
        };
        tables.push(table(relation, detail, &pieces, without_data.is_some()));
        ledger.extend(without_data.flatten());
        all.extend(pieces);
    }
    Ok((tables, all))
}

/// `None`: its rows are dumped. Otherwise, whether there is anything to say about it.
fn why_without_rows(pinned: &Pinned, relation: &Relation) -> Option<Option<LedgerEntry>> {
    if !pinned.chosen.has_rows_of(relation.oid) {
        return Some(None);
    }
    let unlogged = pinned.is_standby && relation.persistence == 'u';
    let why = "it is unlogged, and a standby does not have its rows: dump the primary to have them";
    unlogged.then(|| Some(LedgerEntry::degrading(format!("table `{}`", relation.label()), why)))
}

fn table(relation: &Relation, detail: TableDetail, pieces: &Pieces, without_data: bool) -> Table {
    Table {
        schema: relation.schema.clone(),
        name: relation.name.clone(),
        columns: detail.columns,
        load_through: detail.load_through,
        encoding: detail.encoding,
        without_data,
        of_extension: relation.of_extension,
        bytes: detail.bytes,
        parts: pieces.iter().map(|(name, ..)| name.to_string()).collect(),
    }
}

async fn large_objects(
    main: &Connection,
    setup: &Setup,
    pinned: &Pinned,
    ledger: &mut Vec<LedgerEntry>,
) -> Result<Pieces> {
    let pieces = blobs::pieces(main).await?;
    let why = match (setup.large_objects, pinned.chosen.by_schema) {
        _ if pieces.is_empty() => return Ok(pieces),
        (true, false) => return Ok(pieces),
        (false, _) => "the option `large_objects` leaves them out",
        (true, true) => "they are in no schema, and `schemas` says what is dumped",
    };
    ledger.push(LedgerEntry::note("large objects", why));
    Ok(Pieces::new())
}

async fn sequences(
    main: &Connection,
    pinned: &Pinned,
    kept: &HashSet<u32>,
    ledger: &mut Vec<LedgerEntry>,
) -> Result<Vec<Sequence>> {
    let mut names = catalog::sequence_names(main).await?;
    names.retain(|name| !pinned.chosen.omits_schema(&name.schema));
    names.retain(|name| name.of_extension || kept.contains(&name.oid));
    if pinned.is_standby {
        let why = "it is unlogged, and a standby does not know where it stands: dump the primary";
        let unlogged = names.iter().filter(|name| name.is_unlogged);
        ledger
            .extend(unlogged.map(|name| {
                LedgerEntry::degrading(format!("sequence `{}.{}`", name.schema, name.name), why)
            }));
        names.retain(|name| !name.is_unlogged);
    }
    catalog::sequences(main, &names).await
}

/// In the order of their definitions, in which each comes after all that it reads, also through views.
async fn matviews(
    main: &Connection,
    pinned: &Pinned,
    definitions: &[Definition],
    ledger: &mut Vec<LedgerEntry>,
) -> Result<Vec<Matview>> {
    let unfillable = catalog::unfillable(main).await?;
    let populated = |definition: &&Definition| {
        definition.item.kind == "MATERIALIZED VIEW"
            && pinned.relation(definition.object.1).is_some_and(|relation| relation.populated)
    };
    // Those after the rows come after those before them already.
    let (empty, matviews): (Vec<_>, Vec<_>) =
        definitions.iter().filter(populated).partition(|found| unfillable.contains_key(&found.object.1));
    ledger.extend(empty.iter().map(|found| {
        let read = unfillable.get(&found.object.1).map_or("another", String::as_str);
        LedgerEntry::degrading(
            format!("materialized view `{}.{}`", found.item.schema, found.item.name),
            format!("it reads `{read}`, which has no rows by now: a restore leaves it without rows as well"),
        )
    }));
    let matview =
        |found: &Definition| Matview { schema: found.item.schema.clone(), name: found.item.name.clone() };
    Ok(matviews.into_iter().map(matview).collect())
}

async fn schemas(main: &Connection, pinned: &Pinned) -> Result<Vec<String>> {
    let mut schemas = catalog::schemas(main).await?;
    schemas.retain(|schema| !pinned.chosen.omits_schema(schema));
    Ok(schemas)
}
