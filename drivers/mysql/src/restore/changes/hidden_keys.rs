//! Foreign keys of other databases that a login is not shown: each follows the table that it leads to, and would lead to an
//! old one after the swap.

use dumprestore_driver::{Error, Result};

use super::listed;
use crate::catalog::Rights;
use crate::connect::{Session, code};
use crate::quote;

/// What is known of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// There are none that lead to what is replaced.
    None,
    /// Nobody tells.
    Unknown,
}

/// Looks for keys that lead to what `is_replaced`, from tables that the login may not see.
///
/// # Errors
/// If there are some: they could not be made to lead to the new tables.
pub(crate) async fn hidden_keys(
    session: &mut Session,
    live: &str,
    is_replaced: impl Fn(&str) -> bool,
) -> Result<Hidden> {
    let may = Rights::of(session).await?;
    if ["SELECT", "REFERENCES"].iter().any(|right| may.everywhere_indeed(right)) {
        return Ok(Hidden::None);
    }
    // The storage engine tells of all keys whoever may see what others do.
    let is_plain = session.server().is_mysql_since(8, 0, 0);
    let view = if is_plain { "innodb_foreign" } else { "innodb_sys_foreign" };
    let name = |column: &str, at: i8| {
        let name = format!("SUBSTRING_INDEX({column}, '/', {at})");
        match is_plain {
            true => format!("{name}, {name}"),
            // Names stand there as those of files do, but for those of some versions.
            false => format!(
                "CONVERT(CAST(CAST({name} AS BINARY) AS CHAR CHARACTER SET filename) USING utf8mb4), {name}"
            ),
        }
    };
    let asked = format!(
        "SELECT {}, {}, {}, {} FROM information_schema.{view}",
        name("ref_name", 1),
        name("ref_name", -1),
        name("for_name", 1),
        name("for_name", -1)
    );
    let rows = match session.rows(asked).await {
        Ok(rows) => rows,
        Err(error) if code(&error).is_some() => return Ok(Hidden::Unknown),
        Err(error) => return Err(error),
    };
    let seen = seen(session, live).await?;
    let mut hidden = Vec::new();
    for row in rows {
        let text = |column| row.text_or_null(column).map(Option::unwrap_or_default);
        let leads = text(0)? == live || text(1)? == live;
        let is_inner = text(4)? == live || text(5)? == live;
        if !leads || is_inner || !(is_replaced(text(2)?) || is_replaced(text(3)?)) {
            continue;
        }
        let is_seen = seen.iter().any(|(database, table)| {
            [text(4), text(5)].into_iter().flatten().any(|name| name == database)
                && [text(6), text(7)].into_iter().flatten().any(|name| name == table)
        });
        if !is_seen {
            hidden.push(format!("{}.{}", text(4)?, text(6)?));
        }
    }
    match hidden.is_empty() {
        true => Ok(Hidden::None),
        false => Err(Error::environment(
            "foreign keys of tables that the login may not see lead to what is replaced",
        )
        .with_context("tables", listed(&hidden))
        .with_hint(
            "grant it all on them, so that the keys can be made to lead to the new tables, or drop the keys",
        )),
    }
}

/// Tables of other databases that lead here, and that the login is shown.
async fn seen(session: &mut Session, live: &str) -> Result<Vec<(String, String)>> {
    let asked = format!(
        "SELECT DISTINCT table_schema, table_name FROM information_schema.key_column_usage \
         WHERE referenced_table_schema = {}",
        quote::literal(live)
    );
    let rows = session.rows(asked).await?;
    rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))).collect()
}
