//! Foreign keys that are out of action while rows are loaded, and come back afterwards.

use dumprestore_driver::{Error, Result};

use crate::archived::Table;
use crate::connect::Connection;
use crate::quote;

/// A foreign key, as it is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignKey {
    /// Quoted, and its number.
    table: String,
    pub(super) referrer: u32,
    pub(super) referent: u32,
    name: String,
    definition: String,
    comment: Option<String>,
}

impl ForeignKey {
    /// Takes it out of action.
    pub(super) async fn take_away(&self, session: &Connection) -> Result<()> {
        let statement = format!("ALTER TABLE {} DROP CONSTRAINT {}", self.table, quote::name(&self.name));
        let done = session.batch_execute(&statement).await;
        done.map_err(|error| {
            session.fault(error, "can't take a foreign key out of action while rows are loaded")
        })
    }

    /// Puts it into action again. A row that refers to none is named.
    pub(super) async fn put_back(&self, session: &Connection) -> Result<()> {
        let name = quote::name(&self.name);
        let statement = format!("ALTER TABLE {} ADD CONSTRAINT {name} {}", self.table, self.definition);
        let done = session.batch_execute(&statement).await;
        done.map_err(|error| self.broken(session, error))?;
        let Some(comment) = &self.comment else { return Ok(()) };
        let comment = quote::literal(comment);
        let statement = format!("COMMENT ON CONSTRAINT {name} ON {} IS {comment}", self.table);
        let done = session.batch_execute(&statement).await;
        done.map_err(|error| session.fault(error, "can't put a comment on a foreign key"))
    }

    fn broken(&self, session: &Connection, error: tokio_postgres::Error) -> Error {
        session
            .fault(error, "the rows that were restored, and those that are there, do not fit together")
            .with_context("table", &self.table)
            .with_context("foreign key", &self.name)
            .with_hint(
                "restore the table that is referred to as well, or remove the rows that refer to nothing",
            )
    }
}

/// All that concern these tables: theirs, and those of others that refer to them. Also those that are `NOT VALID`: they hold
/// for new rows, and would keep out the rows that they were made so for. They come back as they were.
///
/// One of a partition that comes from its table is that of the table.
const KEYS: &str = "
    WITH RECURSIVE up (oid, above) AS (
        SELECT c.oid, {above} FROM pg_catalog.pg_constraint c WHERE c.contype = 'f'
            AND (c.confrelid = ANY ($1) OR c.conrelid = ANY ($1))
        UNION SELECT c.oid, {above} FROM pg_catalog.pg_constraint c JOIN up u ON u.above = c.oid
    )
    SELECT n.nspname::text, r.relname::text, c.conrelid, c.confrelid, c.conname::text,
        pg_catalog.pg_get_constraintdef(c.oid), pg_catalog.obj_description(c.oid, 'pg_constraint')
    FROM up u JOIN pg_catalog.pg_constraint c ON c.oid = u.oid
    JOIN pg_catalog.pg_class r ON r.oid = c.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
    WHERE u.above = 0 ORDER BY c.oid";

/// Lists the foreign keys that concern these tables, which are given with all their partitions.
pub(super) async fn foreign_keys(session: &Connection, tables: &[u32]) -> Result<Vec<ForeignKey>> {
    let above = if session.version() >= 110_000 { "c.conparentid" } else { "0::oid" };
    let rows = session.query(&KEYS.replace("{above}", above), &[&tables]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't list foreign keys"))?;
    let key = |row: &tokio_postgres::Row| ForeignKey {
        table: quote::qualified(row.get(0), row.get(1)),
        referrer: row.get(2),
        referent: row.get(3),
        name: row.get(4),
        definition: row.get(5),
        comment: row.get(6),
    };
    Ok(rows.iter().map(key).collect())
}

/// Lists those from one configuration table of an extension to another, or to itself. An extension makes them with its
/// tables, so that they would hold while rows are loaded, in whatever order. Those of tables that the login does not own
/// are left out: they can't be taken away.
pub(super) async fn among_configuration(session: &Connection, tables: &[Table]) -> Result<Vec<ForeignKey>> {
    let of_extensions = tables.iter().filter(|table| table.of_extension);
    let (schemas, names): (Vec<&str>, Vec<&str>) =
        of_extensions.map(|table| (table.schema.as_str(), table.name.as_str())).unzip();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let asked = "SELECT c.oid \
        FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS t (schema, name) \
        JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema \
        JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.name \
        WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE') \
        AND EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig))";
    let rows = session.query(asked, &[&schemas, &names]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't list the tables of extensions"))?;
    let tables: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    let mut keys = foreign_keys(session, &tables).await?;
    keys.retain(|key| tables.contains(&key.referrer) && tables.contains(&key.referent));
    if keys.is_empty() {
        return Ok(keys);
    }
    // What somebody has put out of action is in nobody's way, and would be in action again.
    let disabled = disabled(session, &tables).await?;
    keys.retain(|key| !disabled.iter().any(|one| one.referrer == key.referrer && one.name == key.name));
    Ok(keys)
}

/// A foreign key that somebody has put out of action.
pub(super) struct Disabled {
    referrer: u32,
    name: String,
    /// `orders_customer_fkey of public.orders`.
    pub(super) label: String,
}

/// Lists those that concern these tables and that somebody has put out of action, wholly or for some sessions, by their
/// triggers: made anew, they would be in action.
pub(super) async fn disabled(session: &Connection, tables: &[u32]) -> Result<Vec<Disabled>> {
    let asked = "SELECT DISTINCT c.conrelid, c.conname::text, \
            pg_catalog.format('%s of %s', c.conname, c.conrelid::pg_catalog.regclass) \
        FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_trigger t ON t.tgconstraint = c.oid \
        WHERE c.contype = 'f' AND t.tgisinternal AND t.tgenabled <> 'O' \
        AND (c.confrelid = ANY ($1) OR c.conrelid = ANY ($1)) ORDER BY 3";
    let rows = session.query(asked, &[&tables]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't list foreign keys"))?;
    let key =
        |row: &tokio_postgres::Row| Disabled { referrer: row.get(0), name: row.get(1), label: row.get(2) };
    Ok(rows.iter().map(key).collect())
}
