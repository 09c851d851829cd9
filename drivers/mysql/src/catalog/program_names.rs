//! Names of routines, libraries and events alone: their texts need not be readable for these.

use dumprestore_driver::Result;

use super::is;
use crate::connect::Session;

/// What each routine of a database is, as SQL says it, and its name.
pub(crate) async fn routine_names(session: &mut Session, database: &str) -> Result<Vec<(String, String)>> {
    let sql = format!(
        "SELECT routine_type, routine_name FROM information_schema.routines WHERE {} ORDER BY routine_name, routine_type",
        is("routine_schema", database)
    );
    let rows = session.rows(&sql).await?;
    rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))).collect()
}

/// The events of a database.
pub(crate) async fn event_names(session: &mut Session, database: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT event_name FROM information_schema.events WHERE {} ORDER BY event_name",
        is("event_schema", database)
    );
    session.rows(&sql).await?.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
}

/// The libraries of a database, which MySQL has from 9.2 on.
pub(crate) async fn library_names(session: &mut Session, database: &str) -> Result<Vec<String>> {
    if !session.server().is_mysql_since(9, 2, 0) {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT library_name FROM information_schema.libraries WHERE {} ORDER BY library_name",
        is("library_schema", database)
    );
    session.rows(&sql).await?.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
}
