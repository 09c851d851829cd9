//! Reads the catalogue, on a session of its own view: what `pg_dump` is not asked for, or does not tell.
//!
//! Every query works with servers 10 to 18, and says its version where it differs. None fails for what a login may not
//! see, unless that is data that a dump must have.

mod constraint;
mod database;
mod kinship;
mod matview;
mod reference;
mod relation;
mod roles;
mod sequence;
mod table;

pub(crate) use constraint::unchecked;
pub(crate) use database::{database, owner_of_public, schemas};
pub(crate) use kinship::{Kinship, kinship};
pub(crate) use matview::unfillable;
pub(crate) use reference::{Reference, references};
pub(crate) use relation::{Relation, relations};
pub(crate) use roles::{large_object_roles, roles};
pub(crate) use sequence::{sequence_names, sequences};
pub(crate) use table::{TableDetail, table_details};

use dumprestore_driver::Result;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::connect::{Connection, sqlstate};

/// Runs one query of ours.
async fn rows(
    connection: &Connection,
    what: &str,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>> {
    let failed = |error| {
        let error = connection.fault(error, what);
        match sqlstate(&error) {
            // Names are read as UTF-8, and no other server would send anything else.
            Some("22021") => error.with_hint(
                "the database's encoding is `SQL_ASCII`, which checks nothing: mend the name, comment or setting that \
                 is not valid UTF-8",
            ),
            _ => error,
        }
    };
    connection.query(sql, parameters).await.map_err(failed)
}
