//! Columns of tables.

use std::collections::HashMap;

use dumprestore_driver::Result;

use super::{grouped, is};
use crate::connect::Session;

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// In lower case: `int`, `varchar`.
    pub(crate) data_type: String,
    /// With its length and attributes: `int(10) unsigned`.
    pub(crate) column_type: String,
    /// Of a text.
    pub(crate) charset: Option<String>,
    pub(crate) collation: Option<String>,
    /// Whether its value follows from others.
    pub(crate) generated: bool,
    /// Whether it says from when, or until when, a row is valid (`ROW START`, `ROW END`), in a table with such columns
    /// of its own.
    pub(crate) of_period: bool,
}

/// Those of all tables of a database, in their order, by table. Hidden ones are among them.
pub(crate) async fn columns(session: &mut Session, database: &str) -> Result<HashMap<String, Vec<Column>>> {
    let sql = format!(
        "SELECT table_name, column_name, data_type, column_type, character_set_name, collation_name, extra, \
         generation_expression FROM information_schema.columns WHERE {} ORDER BY table_name, ordinal_position",
        is("table_schema", database)
    );
    grouped(session, &sql, |row| {
        // It need not be text: it may hold literals in any character set.
        let expression = row.bytes(7).unwrap_or_default();
        let of_period = matches!(expression, b"ROW START" | b"ROW END");
        // `DEFAULT_GENERATED` is another thing: a default that is an expression.
        let extra = row.text_or_null(6)?.unwrap_or_default().to_uppercase().replace("DEFAULT_GENERATED", "");
        Ok(Column {
            name: row.text(1)?.to_owned(),
            data_type: row.text(2)?.to_lowercase(),
            column_type: row.text(3)?.to_owned(),
            charset: row.text_or_null(4)?.map(str::to_owned),
            collation: row.text_or_null(5)?.map(str::to_owned),
            generated: !of_period && (extra.contains("GENERATED") || !expression.is_empty()),
            of_period,
        })
    })
    .await
}
