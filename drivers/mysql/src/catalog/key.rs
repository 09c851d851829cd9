//! Primary keys.

use std::collections::HashMap;

use dumprestore_driver::Result;

use super::{grouped, is};
use crate::connect::Session;

/// The first column of each table's primary key, by table. A key that begins with a part of a column is not among them.
pub(crate) async fn leading_columns(
    session: &mut Session,
    database: &str,
) -> Result<HashMap<String, String>> {
    let sql = format!(
        "SELECT table_name, column_name FROM information_schema.statistics \
         WHERE index_name = 'PRIMARY' AND seq_in_index = 1 AND sub_part IS NULL AND {}",
        is("table_schema", database)
    );
    let groups = grouped(session, &sql, |row| Ok(row.text(1)?.to_owned())).await?;
    Ok(groups.into_iter().filter_map(|(table, mut columns)| Some((table, columns.pop()?))).collect())
}
