//! What is there: tables, views and their like.

use dumprestore_driver::Result;

use super::rows;
use crate::connect::Connection;

/// A table, a view, or what is like one. It is of a schema of the user's, and not temporary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Relation {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// As `relkind` has it: `r` table, `p` partitioned table, `v` view, `m` materialized view, `f` foreign table.
    pub(crate) kind: char,
    /// As `relpersistence` has it: `p` permanent, `u` unlogged.
    pub(crate) persistence: char,
    /// Whether an extension made it, and says that its rows are the user's.
    pub(crate) of_extension: bool,
    /// Whether a materialized view has its rows.
    pub(crate) populated: bool,
    /// The number of the partitioned table that it is a partition of.
    pub(crate) partition_of: Option<u32>,
}

impl Relation {
    /// Whether `LOCK TABLE` keeps its definition from changing under a dump.
    pub(crate) fn is_lockable(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }

    /// As people write it: `public.orders`.
    pub(crate) fn label(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Whether it has rows of its own, to be dumped.
    pub(crate) fn has_rows(&self) -> bool {
        self.kind == 'r'
    }
}

const RELATIONS: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text, c.relkind, c.relpersistence, e.objid IS NOT NULL, c.relispopulated,
        i.inhparent
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_depend e ON e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid
        AND e.objsubid = 0 AND e.deptype = 'e'
    LEFT JOIN pg_catalog.pg_inherits i ON c.relispartition AND i.inhrelid = c.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
        AND pg_catalog.left(n.nspname::text, 3) <> 'pg_' AND n.nspname <> 'information_schema'
        AND (e.objid IS NULL
             OR c.oid IN (SELECT pg_catalog.unnest(extconfig) FROM pg_catalog.pg_extension))
    ORDER BY c.oid";

/// All of them, by their numbers.
pub(crate) async fn relations(connection: &Connection) -> Result<Vec<Relation>> {
    let rows = rows(connection, "can't list the tables", RELATIONS, &[]).await?;
    let relation = |row: &tokio_postgres::Row| Relation {
        oid: row.get(0),
        schema: row.get(1),
        name: row.get(2),
        kind: letter(row.get(3)),
        persistence: letter(row.get(4)),
        of_extension: row.get(5),
        populated: row.get(6),
        partition_of: row.get(7),
    };
    Ok(rows.iter().map(relation).collect())
}

/// The server's type `"char"`.
fn letter(code: i8) -> char {
    char::from(code.to_ne_bytes()[0])
}
