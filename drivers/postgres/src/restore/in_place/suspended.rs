//! Foreign keys and triggers that are out of action while rows are replaced, and come back before the commit.

use dumprestore_driver::{Error, Result};

use super::super::foreign_keys::ForeignKey;
use super::relations::Relation;
use crate::connect::Connection;
use crate::quote;

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
            key.take_away(session).await?;
        }
        for (table, trigger) in suspended.each() {
            let statement =
                format!("ALTER TABLE ONLY {table} DISABLE TRIGGER {}", quote::name(&trigger.name));
            session.batch_execute(&statement).await.map_err(|error| failed(session, error))?;
        }
        Ok(suspended)
    }

    /// These foreign keys, which are out of action already.
    pub(super) fn of(keys: Vec<ForeignKey>) -> Self {
        Self { keys, ..Self::default() }
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
            key.put_back(session).await?;
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

fn failed(session: &Connection, error: tokio_postgres::Error) -> Error {
    session.fault(error, "can't take triggers out of action while rows are replaced")
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
