//! Defaults that a server does not tell: definitions are in a character set of its own, in which what has four bytes in
//! UTF-8 is a question mark.

use dumprestore_driver::{LedgerEntry, Result};

use super::pin::Pinned;
use crate::connect::Session;
use crate::quote;

/// Columns whose default is another than their table's definition says.
pub(super) async fn lost_defaults(pinned: &Pinned, session: &mut Session) -> Result<Vec<LedgerEntry>> {
    let sql = format!(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = {} \
         AND column_default LIKE '%?%' AND character_set_name IN ('utf8mb4', 'utf16', 'utf16le', 'utf32') \
         ORDER BY table_name, ordinal_position",
        quote::literal(&pinned.database)
    );
    let mut lost = Vec::new();
    for row in session.rows(&sql).await? {
        let (table, column) = (row.text(0)?, row.text(1)?);
        let of_table = pinned.relations.iter().any(|one| one.is_table() && one.name == table);
        if of_table && pinned.chosen.has_rows_of(table) && is_lost(session, table, column).await? {
            let why = "its default has characters that the server does not tell, and question marks in their place: \
                set it again after a restore";
            lost.push(LedgerEntry::degrading(format!("{table}.{column}"), why));
        }
    }
    Ok(lost)
}

/// The default itself is told as it is, even by a table without rows.
async fn is_lost(session: &mut Session, table: &str, column: &str) -> Result<bool> {
    const FIRST_OF_FOUR: u8 = 0xf0;
    let sql = format!(
        "SELECT CONVERT(DEFAULT(t.{}) USING utf8mb4) FROM (SELECT 1) AS one LEFT JOIN {} AS t ON FALSE",
        quote::name(column),
        quote::name(table)
    );
    match session.rows(&sql).await {
        Ok(rows) => Ok(rows
            .iter()
            .filter_map(|row| row.bytes(0))
            .any(|text| text.iter().any(|byte| *byte >= FIRST_OF_FOUR))),
        Err(error) if session.is_gone() => Err(error),
        // One that is computed has no text that could be lost in this way.
        Err(_) => Ok(false),
    }
}
