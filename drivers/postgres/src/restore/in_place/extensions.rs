//! Extensions: those that the archive has too stay as they are, with rows of theirs that were dumped replaced.

use dumprestore_driver::Result;

use super::super::foreign_keys::{ForeignKey, among_configuration};
use super::relations::{self, Relation};
use crate::archived::{Contents, Table};
use crate::connect::Connection;
use crate::quote;

/// An extension of the live database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) name: String,
    oid: u32,
    pub(super) schema: u32,
    /// The name of that.
    home: String,
    pub(super) is_ours: bool,
}

/// Those of the live database that the archive has too. What stays needs no rights to be made again; but what hangs on its
/// schema must stay with it.
pub(super) async fn staying(session: &Connection, contents: &Contents) -> Result<Vec<Extension>> {
    let archived = |extension: &Extension| {
        let schema = &extension.home;
        contents.items.iter().any(|item| {
            let end = item.sql.trim_end().trim_end_matches(';');
            item.kind == "EXTENSION"
                && item.name == extension.name
                && (end.ends_with(&format!("WITH SCHEMA {}", quote::name(schema)))
                    || end.ends_with(&format!("WITH SCHEMA {schema}"))
                    || !end.contains("WITH SCHEMA"))
        })
    };
    let mut extensions = all(session).await?;
    extensions.retain(archived);
    Ok(extensions)
}

/// All of the live database.
pub(super) async fn all(session: &Connection) -> Result<Vec<Extension>> {
    let asked = "SELECT e.extname::text, e.oid, e.extnamespace, n.nspname::text, \
            pg_catalog.pg_has_role(e.extowner, 'USAGE') \
        FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY 1";
    let rows = session.query(asked, &[]).await;
    let rows =
        rows.map_err(|error| session.fault(error, "can't list the extensions of the live database"))?;
    let extension = |row: &tokio_postgres::Row| Extension {
        name: row.get(0),
        oid: row.get(1),
        schema: row.get(2),
        home: row.get(3),
        is_ours: row.get(4),
    };
    Ok(rows.iter().map(extension).collect())
}

/// Configuration tables among these that refer to each other, quoted: what is locked before their foreign keys are taken
/// away.
pub(super) async fn tables_with_keys(session: &Connection, tables: &[Table]) -> Result<Vec<String>> {
    let keys = among_configuration(session, tables).await?;
    let mut ends: Vec<u32> = keys.iter().flat_map(|key| [key.referrer, key.referent]).collect();
    ends.sort_unstable();
    ends.dedup();
    Ok(relations::of(session, &ends).await?.iter().map(Relation::quoted).collect())
}

/// Takes their foreign keys out of action.
pub(super) async fn suspend_keys(session: &Connection, tables: &[Table]) -> Result<Vec<ForeignKey>> {
    let keys = among_configuration(session, tables).await?;
    for key in &keys {
        key.take_away(session).await?;
    }
    Ok(keys)
}

/// Removes rows of configuration tables that a dump has: all those, or of these tables only.
pub(super) async fn empty_tables(
    session: &Connection,
    extensions: &[Extension],
    only: Option<&[Table]>,
) -> Result<()> {
    let oids: Vec<u32> = extensions.iter().map(|extension| extension.oid).collect();
    let asked = "SELECT n.nspname::text, c.relname::text, e.extcondition[t.place] \
        FROM pg_catalog.pg_extension e, pg_catalog.unnest(e.extconfig) WITH ORDINALITY AS t (oid, place) \
        JOIN pg_catalog.pg_class c ON c.oid = t.oid AND c.relkind = 'r' \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE e.oid = ANY ($1) ORDER BY e.oid, t.place DESC";
    let failed = |error| session.fault(error, "can't empty the tables of extensions");
    let rows = session.query(asked, &[&oids]).await.map_err(failed)?;
    for row in &rows {
        let (schema, name): (&str, &str) = (row.get(0), row.get(1));
        let wanted =
            only.is_none_or(|tables| tables.iter().any(|table| table.schema == schema && table.name == name));
        if !wanted {
            continue;
        }
        let table = quote::qualified(schema, name);
        let condition = row.get::<_, Option<&str>>(2).unwrap_or_default();
        // Most have none, and then it needs no right to delete them.
        let some = format!("SELECT EXISTS (SELECT FROM ONLY {table} {condition})");
        if session.query_one(&some, &[]).await.map_err(failed)?.get(0) {
            let statement = format!("DELETE FROM ONLY {table} {condition}");
            session.batch_execute(&statement).await.map_err(failed)?;
        }
    }
    Ok(())
}
