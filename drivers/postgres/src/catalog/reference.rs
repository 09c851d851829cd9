//! Foreign keys.

use dumprestore_driver::Result;

use super::rows;
use crate::connect::Connection;

/// A foreign key that all rows were checked against. That of a partition, which the partitioned table brings, is none of
/// its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) name: String,
    /// The numbers of the table, and of that which it refers to.
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// Whether the table is partitioned.
    pub(crate) is_partitioned: bool,
}

impl Reference {
    /// As people write it: `public.orders.orders_customer_fkey`.
    pub(crate) fn label(&self) -> String {
        format!("{}.{}.{}", self.schema, self.table, self.name)
    }
}

/// All of them, by name.
pub(crate) async fn references(connection: &Connection) -> Result<Vec<Reference>> {
    let own = if connection.version() >= 110_000 { "AND k.conparentid = 0" } else { "" };
    let sql = format!(
        "SELECT k.oid, n.nspname::text, c.relname::text, k.conname::text, k.conrelid, k.confrelid, c.relkind = 'p' \
         FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE k.contype = 'f' AND k.convalidated {own} ORDER BY 2, 3, 4"
    );
    let rows = rows(connection, "can't list foreign keys", &sql, &[]).await?;
    let reference = |row: &tokio_postgres::Row| Reference {
        oid: row.get(0),
        schema: row.get(1),
        table: row.get(2),
        name: row.get(3),
        from: row.get(4),
        to: row.get(5),
        is_partitioned: row.get(6),
    };
    Ok(rows.iter().map(reference).collect())
}
