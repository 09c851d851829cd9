//! Which relation a definition belongs to, where `pg_dump` tells it only as part of a name.

use std::collections::HashMap;

use dumprestore_driver::Result;

use super::rows;
use crate::connect::Connection;

/// What belongs to what.
#[derive(Debug, Default)]
pub(crate) struct Kinship {
    /// From the numbers of a catalogue and a thing in it, to those of the relation it is part of.
    parts: HashMap<(u32, u32), u32>,
    /// From the number of a sequence to that of the table whose column owns it.
    owners: HashMap<u32, u32>,
    /// From the number of a relation to its schema and name.
    names: HashMap<u32, (String, String)>,
}

impl Kinship {
    /// Number, schema and name of the relation that the thing is part of.
    pub(crate) fn relation_of(&self, object: (u32, u32)) -> Option<(u32, &(String, String))> {
        let relation = *self.parts.get(&object)?;
        Some((relation, self.names.get(&relation)?))
    }

    /// The number of the table whose column owns the sequence.
    pub(crate) fn owner_of_sequence(&self, sequence: u32) -> Option<u32> {
        self.owners.get(&sequence).copied()
    }
}

const PARTS: &str = "
    WITH part (catalogue, thing, relation) AS (
        SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::oid, oid, conrelid
            FROM pg_catalog.pg_constraint WHERE conrelid <> 0
        UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid, indexrelid, indrelid
            FROM pg_catalog.pg_index
        UNION ALL SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass::oid, oid, tgrelid
            FROM pg_catalog.pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass::oid, oid, ev_class
            FROM pg_catalog.pg_rewrite
        UNION ALL SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass::oid, oid, polrelid
            FROM pg_catalog.pg_policy
        UNION ALL SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass::oid, oid, adrelid
            FROM pg_catalog.pg_attrdef
    )
    SELECT p.catalogue, p.thing, c.oid, n.nspname::text, c.relname::text
    FROM part p
    JOIN pg_catalog.pg_class c ON c.oid = p.relation
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE pg_catalog.left(n.nspname::text, 3) <> 'pg_' AND n.nspname <> 'information_schema'";

const OWNERS: &str = "
    SELECT d.objid, d.refobjid
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.objsubid = 0 AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')";

/// What belongs to what, in all of the database.
pub(crate) async fn kinship(connection: &Connection) -> Result<Kinship> {
    let mut kinship = Kinship::default();
    for row in rows(connection, "can't read what belongs to which table", PARTS, &[]).await? {
        let relation: u32 = row.get(2);
        kinship.parts.insert((row.get(0), row.get(1)), relation);
        kinship.names.entry(relation).or_insert_with(|| (row.get(3), row.get(4)));
    }
    for row in rows(connection, "can't read which tables own sequences", OWNERS, &[]).await? {
        kinship.owners.insert(row.get(0), row.get(1));
    }
    Ok(kinship)
}
