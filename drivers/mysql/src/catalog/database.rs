//! The database as such.

use dumprestore_driver::{Error, Result};

use super::is;
use crate::archived::Database;
use crate::connect::Session;

/// The name of a session's own database, as the server spells it: where case does not count, it need not be that of the
/// configuration.
pub(crate) async fn name_of(session: &mut Session) -> Result<String> {
    let exact = "SELECT schema_name FROM information_schema.schemata \
        WHERE CAST(schema_name AS BINARY) = CAST(DATABASE() AS BINARY)";
    let any = "SELECT schema_name FROM information_schema.schemata WHERE schema_name = DATABASE()";
    for sql in [exact, any] {
        if let Some(row) = session.rows(sql).await?.first() {
            return Ok(row.text(0)?.to_owned());
        }
    }
    Err(Error::environment("the server does not list the database that the session is in")
        .with_hint("grant the login a right on the database"))
}

/// What a database is, besides what it holds. `None`: there is none of that name.
pub(crate) async fn database(session: &mut Session, name: &str) -> Result<Option<Database>> {
    // The comment of a database is a thing of newer MariaDBs.
    let comment = if session.server().is_mariadb_since(10, 5, 0) { "schema_comment" } else { "''" };
    let sql = format!(
        "SELECT schema_name, default_character_set_name, default_collation_name, {comment} \
         FROM information_schema.schemata WHERE {}",
        is("schema_name", name)
    );
    let rows = session.rows(&sql).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Database {
        name: row.text(0)?.to_owned(),
        charset: row.text(1)?.to_owned(),
        collation: row.text(2)?.to_owned(),
        comment: row.text_or_null(3)?.unwrap_or_default().to_owned(),
    }))
}
