//! What the live database has besides tables, and loses by a restore, as the archive does not have it.

use std::collections::HashSet;

use dumprestore_driver::{LedgerEntry, Result};

use super::Restore;
use super::databases::Database;
use crate::archived::{Contents, Item};
use crate::connect::{Connection, connect, sqlstate};

/// As many as a note names.
const NAMED: usize = 10;

/// What holds data or code.
#[derive(Debug, Default)]
pub(super) struct BesideTables {
    /// Such as ``view `s.v` ``.
    things: Vec<String>,
    /// Large objects that are there.
    large_objects: i64,
    /// Whether the archive has any.
    has_large_objects: bool,
}

const RELATIONS: &str = "
    SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
        ELSE 'foreign table' END, n.nspname::text, c.relname::text
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm', 'f', 'S') AND c.relpersistence <> 't'
        AND n.nspname <> 'information_schema' AND pg_catalog.left(n.nspname::text, 3) <> 'pg_'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND (d.deptype = 'e'
            OR d.deptype IN ('a', 'i') AND c.relkind = 'S'
                AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass))
    ORDER BY c.oid";

/// By name, and types of arguments.
const ROUTINES: &str = "
    SELECT 'routine', n.nspname::text, p.proname || '(' || CASE
        WHEN p.pronargs = 0 AND EXISTS (SELECT FROM pg_catalog.pg_aggregate a WHERE a.aggfnoid = p.oid) THEN '*'
        ELSE pg_catalog.array_to_string(ARRAY (SELECT pg_catalog.format_type(t.type, NULL)
            FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS t (type, place) ORDER BY t.place), ', ')
        END || ')'
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname <> 'information_schema' AND pg_catalog.left(n.nspname::text, 3) <> 'pg_'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
            AND d.deptype IN ('e', 'i'))
    ORDER BY p.oid";

/// Kinds of relations and routines, as an archive calls them.
const KINDS: [&str; 8] =
    ["AGGREGATE", "FOREIGN TABLE", "FUNCTION", "MATERIALIZED VIEW", "PROCEDURE", "SEQUENCE", "TABLE", "VIEW"];

impl BesideTables {
    /// Looks, in a session of the live database.
    pub(super) async fn look(session: &Connection, contents: &Contents) -> Result<Self> {
        let archived = contents.items.iter().filter(|item| KINDS.contains(&item.kind.as_str()));
        let archived: HashSet<(&str, &str)> = archived.map(name).collect();
        let mut things = Vec::new();
        for asked in [RELATIONS, ROUTINES] {
            let rows = session.query(asked, &[]).await;
            let rows =
                rows.map_err(|error| session.fault(error, "can't list what the live database holds"))?;
            for row in &rows {
                let (kind, schema, name): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
                if !archived.contains(&(schema, bare(name))) {
                    things.push(format!("{kind} `{schema}.{name}`"));
                }
            }
        }
        let large_objects = large_objects(session).await?;
        let has_large_objects = !contents.large_object_roles.owners.is_empty();
        Ok(Self { things, large_objects, has_large_objects })
    }

    /// All of it in words. `None`, if there is nothing. Which large objects an archive has is known only when they are
    /// read: they are counted if it has none at all.
    pub(super) fn told(&self) -> Option<String> {
        let mut told: Vec<String> = self.things.iter().take(NAMED).cloned().collect();
        let more = self.things.len().saturating_sub(NAMED);
        if more > 0 {
            told.push(format!("{more} more"));
        }
        if self.large_objects > 0 && !self.has_large_objects {
            told.push(format!("{} large objects", self.large_objects));
        }
        (!told.is_empty()).then(|| told.join(", "))
    }

    /// What becomes of the large objects.
    pub(super) fn told_of_large_objects(&self, contents: &Contents) -> Option<String> {
        let count = self.large_objects;
        (count > 0).then(|| match contents.large_objects_left_out {
            true => format!("large objects that are lost, as the dump was made without any: {count}"),
            false => format!("large objects that are removed, in favour of those of the archive: {count}"),
        })
    }
}

fn name(item: &Item) -> (&str, &str) {
    (&item.schema, bare(&item.name))
}

/// Without the types of arguments, which an archive may spell otherwise: routines of one name count as one.
fn bare(name: &str) -> &str {
    name.split_once('(').map_or(name, |(name, _)| name)
}

/// How many there are.
pub(super) async fn large_objects(session: &Connection) -> Result<i64> {
    let asked = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata";
    let row = session.query_one(asked, &[]).await;
    Ok(row.map_err(|error| session.fault(error, "can't count the large objects"))?.get(0))
}

/// Tells of large objects that a restore takes away, of a dump that was asked to be without.
pub(super) async fn lost(session: &Connection, contents: &Contents) -> Result<Option<LedgerEntry>> {
    if !contents.large_objects_left_out {
        return Ok(None);
    }
    let count = large_objects(session).await?;
    let why = format!("the database had {count}, which go: the dump was made without any");
    Ok((count > 0).then(|| LedgerEntry::degrading("large objects", why)))
}

impl Restore {
    pub(super) async fn tell_lost_large_objects(
        &self,
        maintenance: &Connection,
        contents: &Contents,
    ) -> Result<()> {
        let is_there = Database::named(maintenance, &self.names.live).await?.is_some();
        if !is_there || !contents.large_objects_left_out {
            return Ok(());
        }
        let session = match connect(&self.server.target, "plan").await {
            Ok(session) => session,
            // It lets nobody in.
            Err(error) if sqlstate(&error) == Some("55000") => return Ok(()),
            Err(error) => return Err(error),
        };
        if let Some(entry) = lost(&session, contents).await? {
            self.tell(entry);
        }
        session.close().await;
        Ok(())
    }
}
