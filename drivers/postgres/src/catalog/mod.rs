//! Reads the catalogue, on a session of its own view: what `pg_dump` is not asked for, or does not tell.
//!
//! Every query works with servers 10 to 18, and says its version where it differs. None fails for what a login may not
//! see, unless that is data that a dump must have.

mod database;
mod kinship;
mod relation;
mod roles;
mod sequence;
mod table;

pub(crate) use database::{database, schemas};
pub(crate) use kinship::{Kinship, kinship};
pub(crate) use relation::{Relation, relations};
pub(crate) use roles::roles;
pub(crate) use sequence::{sequence_names, sequences};
pub(crate) use table::{TableDetail, table_details};

use dumprestore_driver::Result;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::connect::Connection;

/// Runs one query of ours.
async fn rows(
    connection: &Connection,
    what: &str,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>> {
    connection.query(sql, parameters).await.map_err(|error| connection.fault(error, what))
}
