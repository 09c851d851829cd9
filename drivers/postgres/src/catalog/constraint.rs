//! Constraints that rows were not checked against.

use dumprestore_driver::Result;

use super::rows;
use crate::archived::Unchecked;
use crate::connect::Connection;

/// Those that are `NOT VALID`, sorted. Constraints that are not enforced are never checked, and are not among them. Nor are
/// those that stand for another one that is not valid, of one partition: the server makes up their names.
pub(crate) async fn unchecked(connection: &Connection) -> Result<Vec<Unchecked>> {
    let enforced = if connection.version() >= 180_000 { "AND c.conenforced" } else { "" };
    let own = match connection.version() {
        110_000.. => {
            "AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint p WHERE p.oid = c.conparentid AND NOT p.convalidated)"
        }
        _ => "",
    };
    let sql = format!(
        "SELECT n.nspname::text, COALESCE(r.relname, t.typname)::text, c.conname::text \
         FROM pg_catalog.pg_constraint c \
         LEFT JOIN pg_catalog.pg_class r ON r.oid = c.conrelid \
         LEFT JOIN pg_catalog.pg_type t ON t.oid = c.contypid AND c.conrelid = 0 \
         JOIN pg_catalog.pg_namespace n ON n.oid = COALESCE(r.relnamespace, t.typnamespace) \
         WHERE NOT c.convalidated {enforced} {own} \
             AND pg_catalog.left(n.nspname::text, 3) <> 'pg_' AND n.nspname <> 'information_schema'"
    );
    let rows = rows(connection, "can't list constraints that are not valid", &sql, &[]).await?;
    let constraint =
        |row: &tokio_postgres::Row| Unchecked { schema: row.get(0), of: row.get(1), name: row.get(2) };
    let mut constraints: Vec<Unchecked> = rows.iter().map(constraint).collect();
    // Not as the server would: one of another locale has to agree.
    constraints.sort();
    Ok(constraints)
}
