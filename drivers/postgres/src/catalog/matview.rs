//! Materialized views that can't be filled again.

use std::collections::HashMap;

use dumprestore_driver::Result;

use super::rows;
use crate::connect::Connection;

const UNFILLABLE: &str = "
    WITH RECURSIVE reads (reader, relation) AS (
        SELECT oid, oid FROM pg_catalog.pg_class WHERE relkind = 'm' AND relispopulated
        UNION
        SELECT r.reader, d.refobjid
        FROM reads r
        JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.relation
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = w.oid
            AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('m', 'v')
    )
    SELECT r.reader, pg_catalog.min(n.nspname || '.' || c.relname)
    FROM reads r
    JOIN pg_catalog.pg_class c ON c.oid = r.relation AND c.relkind = 'm' AND NOT c.relispopulated
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    GROUP BY r.reader";

/// Numbers of those that have rows, and read, if only through others, one that has none by now: and which one.
pub(crate) async fn unfillable(connection: &Connection) -> Result<HashMap<u32, String>> {
    let rows = rows(connection, "can't read what materialized views read", UNFILLABLE, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
