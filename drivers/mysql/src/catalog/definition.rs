//! What `SHOW CREATE` says.

use dumprestore_driver::{Error, Result};

use crate::archived::{Made, Sql};
use crate::connect::Session;
use crate::quote;

/// A table of the session's database, as `SHOW CREATE TABLE` has it.
pub(crate) async fn create_table(session: &mut Session, name: &str) -> Result<Sql> {
    let rows = session.rows(&format!("SHOW CREATE TABLE {}", quote::name(name))).await?;
    let create = rows.first().and_then(|row| row.bytes(1));
    create.map(Sql::new).ok_or_else(|| {
        Error::environment("the server does not show how a table is made")
            .with_context("table", name.escape_debug())
    })
}

/// Where in the answer of a `SHOW CREATE` what stands.
pub(super) struct Shown {
    pub(super) create: usize,
    pub(super) sql_mode: Option<usize>,
    pub(super) time_zone: Option<usize>,
    pub(super) charset: usize,
    pub(super) collation: usize,
    pub(super) of_database: Option<usize>,
}

/// Asks how something is made.
///
/// # Errors
/// If its text may not be read: it is left out then by the server, and must not be by us.
pub(super) async fn shown(
    session: &mut Session,
    what: &'static str,
    name: &str,
    columns: &Shown,
) -> Result<(Sql, Made)> {
    let rows = session.rows(&format!("SHOW CREATE {what} {}", quote::name(name))).await?;
    let row = rows.first();
    let Some((row, create)) = row.and_then(|row| Some((row, row.bytes(columns.create)?))) else {
        return Err(unreadable(what, name, session.server().is_mariadb()));
    };
    let text = |column: Option<usize>| match column {
        Some(column) => row.text_or_null(column).map(|text| text.unwrap_or_default().to_owned()),
        None => Ok(String::new()),
    };
    let made = Made {
        definer: definer(create),
        sql_mode: text(columns.sql_mode)?,
        character_set_client: text(Some(columns.charset))?,
        collation_connection: text(Some(columns.collation))?,
        database_collation: text(columns.of_database)?,
        time_zone: text(columns.time_zone)?,
    };
    Ok((Sql::new(create), made))
}

fn unreadable(what: &'static str, name: &str, is_mariadb: bool) -> Error {
    let right = match (what, is_mariadb) {
        ("VIEW", _) => "`SHOW VIEW`",
        ("TRIGGER", _) => "`TRIGGER`",
        ("EVENT", _) => "`EVENT`",
        (_, true) => "`SELECT` on `mysql.proc`, or from 11.3 on `SHOW CREATE ROUTINE`",
        (_, false) => "`SHOW_ROUTINE`, or `SELECT` on `*.*`",
    };
    Error::environment(format!(
        "this login may not read the {} `{}`",
        what.to_lowercase(),
        name.escape_debug()
    ))
    .with_hint(format!("grant it {right}"))
}

/// Who a statement says that a thing belongs to, each name in backticks; empty: it says nothing.
fn definer(create: &[u8]) -> String {
    const WORD: &[u8] = b"DEFINER=";
    let Some(at) = memchr::memmem::find(create, WORD) else { return String::new() };
    let Some((user, rest)) = quoted(create.get(at + WORD.len()..).unwrap_or_default()) else {
        return String::new();
    };
    match rest.strip_prefix(b"@").and_then(quoted) {
        Some((host, _)) => format!("{}@{}", quote::name(&user), quote::name(&host)),
        None => quote::name(&user),
    }
}

/// A name in backticks, or under `ANSI_QUOTES` in double quotes; and what follows it.
fn quoted(text: &[u8]) -> Option<(String, &[u8])> {
    let (quote, mut rest) = text.split_first()?;
    if !b"`\"".contains(quote) {
        return None;
    }
    let mut name = Vec::new();
    loop {
        let end = rest.iter().position(|byte| byte == quote)?;
        name.extend_from_slice(rest.get(..end)?);
        rest = rest.get(end + 1..)?;
        match rest.strip_prefix(&[*quote]) {
            Some(after) => {
                name.push(*quote);
                rest = after;
            }
            None => return Some((String::from_utf8_lossy(&name).into_owned(), rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definer_is_read_however_it_is_quoted() {
        let of = |create: &str| definer(create.as_bytes());
        assert_eq!(of("CREATE DEFINER=`ro``ot`@`local%` PROCEDURE `p`()\nselect 1"), "`ro``ot`@`local%`");
        assert_eq!(of("CREATE DEFINER=\"a`b\"@\"%\" FUNCTION \"f\"()"), "`a``b`@`%`");
        assert_eq!(of("CREATE ALGORITHM=UNDEFINED DEFINER=`boss` SQL SECURITY DEFINER VIEW `v`"), "`boss`");
        assert_eq!(of("CREATE PACKAGE `p`"), "");
        assert_eq!(of("CREATE DEFINER=`cut"), "");
    }
}
