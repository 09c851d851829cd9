//! What a dump of a table's rows needs to know.

use std::collections::HashMap;

use dumprestore_driver::Result;

use super::rows;
use crate::connect::Connection;

/// Of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TableDetail {
    /// In their order; none of them generated.
    pub(crate) columns: Vec<String>,
    /// How many bytes the rows themselves have, without what is kept outside of them.
    pub(crate) heap_bytes: u64,
    /// How many bytes all of it has, without indexes.
    pub(crate) bytes: u64,
    /// Whether its rows have places in pages, which can be read by range.
    pub(crate) is_heap: bool,
    /// The partitioned table at its root, if a table above it is partitioned by hash.
    pub(crate) load_through: Option<(String, String)>,
    /// Which rows an extension says are the user's: `WHERE …`, or empty for all.
    pub(crate) condition: String,
    /// The encoding to read its rows in: that of the database, if it is not UTF-8.
    pub(crate) encoding: Option<String>,
}

/// By number, those of `oids`. The session must hold locks on them: else it might wait for one here.
pub(crate) async fn table_details(
    connection: &Connection,
    oids: &[u32],
) -> Result<HashMap<u32, TableDetail>> {
    let mut details = sizes(connection, oids).await?;
    add_columns(connection, oids, &mut details).await?;
    add_roots(connection, oids, &mut details).await?;
    add_conditions(connection, &mut details).await?;
    let encoding = own_encoding(connection).await?;
    details.values_mut().for_each(|detail| detail.encoding.clone_from(&encoding));
    Ok(details)
}

/// Rows are read as the server keeps them. Not every character of another encoding has an equivalent in UTF-8: byte 81 of
/// `WIN1252`, or what a map of the server's leaves out of `EUC_JP`. In a database that knows nothing of encodings they
/// are bytes.
async fn own_encoding(connection: &Connection) -> Result<Option<String>> {
    let sql = "SELECT pg_catalog.current_setting('server_encoding')";
    let rows = rows(connection, "can't read the encoding of the database", sql, &[]).await?;
    Ok(rows.first().map(|row| row.get(0)).filter(|encoding| encoding != "UTF8"))
}

async fn sizes(connection: &Connection, oids: &[u32]) -> Result<HashMap<u32, TableDetail>> {
    // From 12 on other access methods are possible.
    let is_heap = match connection.version() {
        120_000.. => "c.relam = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'heap' AND amtype = 't')",
        _ => "true",
    };
    let sql = format!(
        "SELECT c.oid, COALESCE(pg_catalog.pg_relation_size(c.oid), 0), COALESCE(pg_catalog.pg_table_size(c.oid), 0), \
         COALESCE({is_heap}, false) FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1)"
    );
    let rows = rows(connection, "can't read the sizes of tables", &sql, &[&oids]).await?;
    let detail = |row: &tokio_postgres::Row| TableDetail {
        heap_bytes: u64::try_from(row.get::<_, i64>(1)).unwrap_or(0),
        bytes: u64::try_from(row.get::<_, i64>(2)).unwrap_or(0),
        is_heap: row.get(3),
        ..TableDetail::default()
    };
    Ok(rows.iter().map(|row| (row.get(0), detail(row))).collect())
}

async fn add_columns(
    connection: &Connection,
    oids: &[u32],
    details: &mut HashMap<u32, TableDetail>,
) -> Result<()> {
    let not_generated = if connection.version() >= 120_000 { "AND a.attgenerated = ''" } else { "" };
    let sql = format!(
        "SELECT a.attrelid, pg_catalog.array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped {not_generated} GROUP BY a.attrelid"
    );
    for row in rows(connection, "can't list the columns of tables", &sql, &[&oids]).await? {
        if let Some(detail) = details.get_mut(&row.get(0)) {
            detail.columns = row.get(1);
        }
    }
    Ok(())
}

const ROOTS: &str = "
    WITH RECURSIVE above (leaf, relation, height, hashed) AS (
        SELECT i.inhrelid, i.inhparent, 1, p.partstrat = 'h'
        FROM pg_catalog.pg_inherits i
        JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = i.inhparent
        WHERE i.inhrelid = ANY ($1)
        UNION ALL
        SELECT a.leaf, i.inhparent, a.height + 1, a.hashed OR p.partstrat = 'h'
        FROM above a
        JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.relation
        JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = i.inhparent
    ), roots AS (
        SELECT DISTINCT ON (leaf) leaf, relation, hashed FROM above ORDER BY leaf, height DESC
    )
    SELECT r.leaf, n.nspname::text, c.relname::text
    FROM roots r
    JOIN pg_catalog.pg_class c ON c.oid = r.relation
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE r.hashed";

async fn add_roots(
    connection: &Connection,
    oids: &[u32],
    details: &mut HashMap<u32, TableDetail>,
) -> Result<()> {
    for row in rows(connection, "can't look for partitioned tables", ROOTS, &[&oids]).await? {
        if let Some(detail) = details.get_mut(&row.get(0)) {
            detail.load_through = Some((row.get(1), row.get(2)));
        }
    }
    Ok(())
}

const CONDITIONS: &str = "
    SELECT c.oid, COALESCE(c.condition, '')
    FROM pg_catalog.pg_extension x,
        ROWS FROM (pg_catalog.unnest(x.extconfig), pg_catalog.unnest(x.extcondition)) AS c (oid, condition)";

async fn add_conditions(connection: &Connection, details: &mut HashMap<u32, TableDetail>) -> Result<()> {
    let what = "can't read which tables of extensions are configuration";
    for row in rows(connection, what, CONDITIONS, &[]).await? {
        if let Some(detail) = details.get_mut(&row.get(0)) {
            detail.condition = row.get(1);
        }
    }
    Ok(())
}
