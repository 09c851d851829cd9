//! Foreign keys.

use std::collections::HashMap;

use dumprestore_driver::Result;

use super::{grouped, is};
use crate::archived::ForeignKey;
use crate::connect::Session;

/// Those of all tables of a database, by table.
pub(crate) async fn foreign_keys(
    session: &mut Session,
    database: &str,
) -> Result<HashMap<String, Vec<ForeignKey>>> {
    let sql = format!(
        "SELECT table_name, constraint_name, column_name, referenced_table_schema, referenced_table_name, \
         referenced_column_name FROM information_schema.key_column_usage \
         WHERE referenced_table_name IS NOT NULL AND {} ORDER BY table_name, constraint_name, ordinal_position",
        is("table_schema", database)
    );
    let rows = grouped(session, &sql, |row| {
        Ok(ForeignKey {
            name: row.text(1)?.to_owned(),
            columns: vec![row.text(2)?.to_owned()],
            to_database: Some(row.text(3)?.to_owned()).filter(|other| other != database),
            to_table: row.text(4)?.to_owned(),
            to_columns: vec![row.text(5)?.to_owned()],
        })
    });
    Ok(rows.await?.into_iter().map(|(table, columns)| (table, joined(columns))).collect())
}

/// Each key once, with all its columns.
fn joined(columns: Vec<ForeignKey>) -> Vec<ForeignKey> {
    let mut keys = Vec::<ForeignKey>::new();
    for column in columns {
        match keys.last_mut() {
            Some(key) if key.name == column.name => {
                key.columns.extend(column.columns);
                key.to_columns.extend(column.to_columns);
            }
            _ => keys.push(column),
        }
    }
    keys
}
