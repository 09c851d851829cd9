//! Foreign keys. A key follows the table that it leads to when that is renamed: so keys among what is swapped come along,
//! and those between what is swapped and what is not are taken away and made again.

use std::collections::BTreeSet;
use std::ops::Range;

use dumprestore_driver::{Error, Result};

use super::head::{TokenKind, Tokens};
use super::state::Key;
use crate::archived::{CreateTable, ElementKind};
use crate::catalog;
use crate::connect::{Session, code};
use crate::quote;

const NO_SUCH_KEY: u16 = 1091;
/// Of a table, and of a database.
const GONE: [u16; 2] = [1146, 1049];

/// Where in the text of a foreign key it says where it leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leads {
    at: Range<usize>,
    pub(crate) database: Option<String>,
    pub(crate) table: String,
}

/// Reads ``CONSTRAINT `k` FOREIGN KEY (`a`) REFERENCES `database`.`table` (`b`) …``
pub(crate) fn leads_to(text: &[u8]) -> Option<Leads> {
    let mut tokens = Tokens { sql: text, at: 0 };
    while !tokens.next()?.is(text, "REFERENCES") {}
    let first = tokens.next()?;
    let second = match tokens.next()?.kind {
        TokenKind::Mark(b'.') => Some(tokens.next()?),
        _ => None,
    };
    let name = |at: &Range<usize>| unquoted(text.get(at.clone())?);
    Some(match second {
        Some(second) => Leads {
            database: Some(name(&first.at)?),
            table: name(&second.at)?,
            at: first.at.start..second.at.end,
        },
        None => Leads { database: None, table: name(&first.at)?, at: first.at },
    })
}

pub(super) fn unquoted(name: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(name).ok()?;
    Some(match text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
        Some(inner) => inner.replace("``", "`"),
        None => text.to_owned(),
    })
}

/// A key of a table in the live database, as it is made there whatever database a session is in.
///
/// # Errors
/// If its text is not that of a foreign key.
pub(crate) fn key(live: &str, table: &str, name: &[u8], text: &[u8]) -> Result<Key> {
    let misshapen = || {
        Error::archive("a foreign key is not well formed")
            .with_context("table", table)
            .with_context("key", String::from_utf8_lossy(text))
    };
    let leads = leads_to(text).ok_or_else(misshapen)?;
    let database = leads.database.unwrap_or_else(|| live.to_owned());
    let (before, after) = (text.get(..leads.at.start), text.get(leads.at.end..));
    let sql = [
        before.unwrap_or_default(),
        quote::qualified(&database, &leads.table).as_bytes(),
        after.unwrap_or_default(),
    ]
    .concat();
    Ok(Key {
        database: None,
        table: table.to_owned(),
        name: String::from_utf8_lossy(name).into_owned(),
        to: (database, leads.table),
        sql: String::from_utf8(sql).map_err(|_| misshapen())?,
    })
}

/// Keys between those tables of the live database and all others, in both directions.
pub(crate) async fn crossing(session: &mut Session, live: &str, tables: &[String]) -> Result<Vec<Key>> {
    let is_in: BTreeSet<&str> = tables.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    let asked = format!(
        "SELECT DISTINCT table_schema, table_name, constraint_name, referenced_table_schema, referenced_table_name \
         FROM information_schema.key_column_usage WHERE referenced_table_name IS NOT NULL \
         AND ({live} IN (table_schema, referenced_table_schema)) ORDER BY 1, 2, 3",
        live = quote::literal(live)
    );
    for row in session.rows(asked).await? {
        let (database, table, name) = (row.text(0)?, row.text(1)?, row.text(2)?);
        let is_child = database == live && is_in.contains(table);
        let is_parent = row.text(3)? == live && is_in.contains(row.text(4)?);
        if is_child != is_parent {
            found.push((database.to_owned(), table.to_owned(), name.to_owned()));
        }
    }
    let mut keys = Vec::new();
    for (database, table, name) in found {
        session.run(format!("USE {}", quote::name(&database))).await?;
        let sql = catalog::create_table(session, &table).await?;
        let elements = CreateTable::parse(sql.as_bytes())?.elements;
        let element = elements
            .iter()
            .find(|element| element.kind == ElementKind::ForeignKey && element.name == name.as_bytes());
        let Some(element) = element else { continue };
        let mut key = key(&database, &table, &element.name, &element.text)?;
        key.database = Some(database).filter(|database| database != live);
        keys.push(key);
    }
    session.run(format!("USE {}", quote::name(live))).await?;
    Ok(keys)
}

/// Takes keys away from tables that were moved aside: live rows must not hang on those of before.
pub(crate) async fn take(session: &mut Session, aside: &str, keys: &[Key]) -> Result<()> {
    for key in keys.iter().filter(|key| key.database.is_none()) {
        if leads(session, aside, key).await?.is_some() {
            drop_key(session, aside, key).await?;
        }
    }
    Ok(())
}

/// Has keys lead to where they are to.
pub(crate) async fn put(session: &mut Session, live: &str, keys: &[Key]) -> Result<()> {
    for key in keys {
        match put_one(session, live, key).await {
            // A table elsewhere that somebody has dropped needs no key.
            Err(error) if key.database.is_some() && code(&error).is_some_and(|code| GONE.contains(&code)) => {
            }
            other => other?,
        }
    }
    Ok(())
}

async fn put_one(session: &mut Session, live: &str, key: &Key) -> Result<()> {
    let database = key.database.as_deref().unwrap_or(live);
    match leads(session, database, key).await? {
        Some(to) if to == key.to => return Ok(()),
        Some(_) => drop_key(session, database, key).await?,
        None => {}
    }
    let table = quote::qualified(database, &key.table);
    session.run_single(format!("ALTER TABLE {table} ADD {}", key.sql).as_bytes()).await.map(drop)
}

/// Passes over keys of tables elsewhere that are there no more: whoever has dropped them meant it.
pub(crate) async fn forget_dropped(session: &mut Session, keys: &mut Vec<Key>) -> Result<()> {
    let mut there = Vec::with_capacity(keys.len());
    for key in keys.drain(..) {
        let is_there = match &key.database {
            Some(database) => leads(session, database, &key).await?.is_some(),
            None => true,
        };
        if is_there {
            there.push(key);
        }
    }
    *keys = there;
    Ok(())
}

async fn drop_key(session: &mut Session, database: &str, key: &Key) -> Result<()> {
    let table = quote::qualified(database, &key.table);
    match session.run(format!("ALTER TABLE {table} DROP FOREIGN KEY {}", quote::name(&key.name))).await {
        Err(error) if code(&error) == Some(NO_SUCH_KEY) => Ok(()),
        other => other.map(drop),
    }
}

/// Where a key leads to now, if it is there.
async fn leads(session: &mut Session, database: &str, key: &Key) -> Result<Option<(String, String)>> {
    let asked = format!(
        "SELECT referenced_table_schema, referenced_table_name FROM information_schema.key_column_usage \
         WHERE table_schema = {} AND table_name = {} AND constraint_name = {} AND referenced_table_name IS NOT NULL",
        quote::literal(database),
        quote::literal(&key.table),
        quote::literal(&key.name)
    );
    let rows = session.rows(asked).await?;
    rows.first().map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned()))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_to_lead_to_a_table_of_a_database_that_is_named() {
        let text =
            b"CONSTRAINT `REFERENCES` FOREIGN KEY (`a`, `)`) REFERENCES `p``q` (`x`) ON DELETE CASCADE";
        let key = key("li`ve", "t", b"REFERENCES", text).unwrap();
        assert_eq!(key.to, ("li`ve".to_owned(), "p`q".to_owned()));
        assert_eq!(
            key.sql,
            "CONSTRAINT `REFERENCES` FOREIGN KEY (`a`, `)`) REFERENCES `li``ve`.`p``q` (`x`) ON DELETE CASCADE"
        );
        let elsewhere = b"CONSTRAINT `k` FOREIGN KEY (`a`) REFERENCES `other`.`t` (`x`)";
        let key = super::key("live", "t", b"k", elsewhere).unwrap();
        assert_eq!(key.to, ("other".to_owned(), "t".to_owned()));
        assert_eq!(key.sql.as_bytes(), elsewhere);
    }
}
