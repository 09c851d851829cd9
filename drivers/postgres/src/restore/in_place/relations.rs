//! Tables of the live database, as far as a restore of some of them is concerned.

use dumprestore_driver::Result;

use super::choice::TableName;
use crate::connect::Connection;
use crate::quote;

/// A relation that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) name: TableName,
    /// As `relkind` has it: `r` table, `p` partitioned table, `v` view, …
    pub(super) kind: char,
    pub(super) is_partition: bool,
    pub(super) is_ours: bool,
    /// Columns that rows have values for.
    pub(super) columns: Vec<String>,
}

impl Relation {
    pub(super) fn quoted(&self) -> String {
        quote::qualified(&self.name.0, &self.name.1)
    }

    pub(super) fn label(&self) -> String {
        format!("{}.{}", self.name.0, self.name.1)
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }
}

const RELATIONS: &str = "
    SELECT c.oid, n.nspname::text, c.relname::text, c.relkind, c.relispartition,
        pg_catalog.pg_has_role(c.relowner, 'USAGE'),
        ARRAY (SELECT a.attname::text FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relpersistence <> 't'
        AND pg_catalog.left(n.nspname::text, 3) <> 'pg_' AND n.nspname <> 'information_schema'";

/// All of them, but members of extensions.
pub(super) async fn all(session: &Connection) -> Result<Vec<Relation>> {
    let asked = format!(
        "{RELATIONS} AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e' \
         AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass) ORDER BY c.oid"
    );
    read(session, &asked, &[]).await
}

/// These, and their partitions, however deep: what is partitioned before its partitions.
pub(super) async fn with_partitions(session: &Connection, tables: &[u32]) -> Result<Vec<Relation>> {
    let asked = "WITH RECURSIVE part (oid, depth) AS ( \
            SELECT t.oid, 0 FROM pg_catalog.unnest($1::oid[]) AS t (oid) \
            UNION SELECT i.inhrelid, p.depth + 1 FROM pg_catalog.pg_inherits i JOIN part p ON p.oid = i.inhparent \
                JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relispartition) \
        SELECT oid FROM part GROUP BY oid ORDER BY pg_catalog.max(depth), oid";
    let rows = session.query(asked, &[&tables]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't list the partitions of tables"))?;
    let oids: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    of(session, &oids).await
}

/// These, in their order.
pub(super) async fn of(session: &Connection, oids: &[u32]) -> Result<Vec<Relation>> {
    let asked = format!("{RELATIONS} AND c.oid = ANY ($1)");
    let mut found = read(session, &asked, &[&oids]).await?;
    found.sort_by_key(|relation| oids.iter().position(|oid| *oid == relation.oid));
    Ok(found)
}

async fn read(
    session: &Connection,
    asked: &str,
    values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Vec<Relation>> {
    let rows = session.query(asked, values).await;
    let rows = rows.map_err(|error| session.fault(error, "can't list the tables of the live database"))?;
    let relation = |row: &tokio_postgres::Row| Relation {
        oid: row.get(0),
        name: (row.get(1), row.get(2)),
        kind: char::from(row.get::<_, i8>(3).to_ne_bytes()[0]),
        is_partition: row.get(4),
        is_ours: row.get(5),
        columns: row.get(6),
    };
    Ok(rows.iter().map(relation).collect())
}
