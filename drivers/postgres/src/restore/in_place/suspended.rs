//! Foreign keys and triggers that are out of action while rows are replaced, and come back before the commit.

use dumprestore_driver::{Error, Result};

use super::relations::Relation;
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

/// All that concern these tables: theirs, and those of others that refer to them. What was never checked stays in action
/// where it can: it is checked for new rows.
///
/// One of a partition that comes from its table is that of the table.
const KEYS: &str = "
    WITH RECURSIVE up (oid, above) AS (
        SELECT c.oid, {above} FROM pg_catalog.pg_constraint c WHERE c.contype = 'f'
            AND (c.confrelid = ANY ($1) OR c.conrelid = ANY ($1) AND c.convalidated)
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

/// Those of them that somebody has put out of action, wholly or for some sessions, by their triggers: made anew, they
/// would be in action.
pub(super) async fn disabled_keys(session: &Connection, tables: &[u32]) -> Result<Vec<String>> {
    let asked = "SELECT DISTINCT pg_catalog.format('%s of %s', c.conname, c.conrelid::pg_catalog.regclass) \
        FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_trigger t ON t.tgconstraint = c.oid \
        WHERE c.contype = 'f' AND t.tgisinternal AND t.tgenabled <> 'O' \
        AND (c.confrelid = ANY ($1) OR c.conrelid = ANY ($1) AND c.convalidated) ORDER BY 1";
    let rows = session.query(asked, &[&tables]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't list foreign keys"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// A trigger of the user's, and when it fires: `O`, `R` or `A`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trigger {
    table: u32,
    name: String,
    fires: char,
}

/// All that is out of action.
#[derive(Debug, Default)]
pub(super) struct Suspended {
    keys: Vec<ForeignKey>,
    tables: Vec<Relation>,
    triggers: Vec<Trigger>,
}

impl Suspended {
    /// Takes foreign keys, and the triggers of these tables, out of action. Partitions stand after what they are of.
    pub(super) async fn begin(
        session: &Connection,
        keys: Vec<ForeignKey>,
        tables: Vec<Relation>,
    ) -> Result<Self> {
        let triggers = triggers(session, &tables).await?;
        let suspended = Self { keys, tables, triggers };
        for key in &suspended.keys {
            let statement = format!("ALTER TABLE {} DROP CONSTRAINT {}", key.table, quote::name(&key.name));
            session.batch_execute(&statement).await.map_err(|error| failed(session, error))?;
        }
        for (table, trigger) in suspended.each() {
            let statement =
                format!("ALTER TABLE ONLY {table} DISABLE TRIGGER {}", quote::name(&trigger.name));
            session.batch_execute(&statement).await.map_err(|error| failed(session, error))?;
        }
        Ok(suspended)
    }

    /// The triggers that fire, in the order of their tables.
    fn each(&self) -> impl Iterator<Item = (String, &Trigger)> {
        self.tables.iter().flat_map(|table| {
            let of_table = self.triggers.iter().filter(|trigger| trigger.table == table.oid);
            of_table.filter(|trigger| trigger.fires != 'D').map(|trigger| (table.quoted(), trigger))
        })
    }

    /// Puts all into action again. A row that refers to none is named.
    pub(super) async fn end(&self, session: &Connection) -> Result<()> {
        for key in &self.keys {
            let name = quote::name(&key.name);
            let statement = format!("ALTER TABLE {} ADD CONSTRAINT {name} {}", key.table, key.definition);
            let done = session.batch_execute(&statement).await;
            done.map_err(|error| broken(session, error, key))?;
            if let Some(comment) = &key.comment {
                let comment = quote::literal(comment);
                let statement = format!("COMMENT ON CONSTRAINT {name} ON {} IS {comment}", key.table);
                session.batch_execute(&statement).await.map_err(|error| failed(session, error))?;
            }
        }
        for (table, trigger) in self.each() {
            let again = match trigger.fires {
                'R' => "ENABLE REPLICA TRIGGER",
                'A' => "ENABLE ALWAYS TRIGGER",
                _ => "ENABLE TRIGGER",
            };
            let statement = format!("ALTER TABLE ONLY {table} {again} {}", quote::name(&trigger.name));
            session.batch_execute(&statement).await.map_err(|error| failed(session, error))?;
        }
        match triggers(session, &self.tables).await? == self.triggers {
            true => Ok(()),
            false => Err(Error::environment("triggers could not be put into action as they were")),
        }
    }
}

fn broken(session: &Connection, error: tokio_postgres::Error, key: &ForeignKey) -> Error {
    session
        .fault(error, "the rows that were restored, and those that are there, do not fit together")
        .with_context("table", &key.table)
        .with_context("foreign key", &key.name)
        .with_hint("restore the table that is referred to as well, or remove the rows that refer to nothing")
}

fn failed(session: &Connection, error: tokio_postgres::Error) -> Error {
    session.fault(error, "can't take foreign keys and triggers out of action while rows are replaced")
}

async fn triggers(session: &Connection, tables: &[Relation]) -> Result<Vec<Trigger>> {
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let asked = "SELECT tgrelid, tgname::text, tgenabled FROM pg_catalog.pg_trigger \
        WHERE tgrelid = ANY ($1) AND NOT tgisinternal ORDER BY tgrelid, tgname";
    let rows = session.query(asked, &[&oids]).await;
    let rows = rows.map_err(|error| session.fault(error, "can't list triggers"))?;
    let trigger = |row: &tokio_postgres::Row| Trigger {
        table: row.get(0),
        name: row.get(1),
        fires: char::from(row.get::<_, i8>(2).to_ne_bytes()[0]),
    };
    Ok(rows.iter().map(trigger).collect())
}
