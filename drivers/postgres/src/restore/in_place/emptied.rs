//! What a restore of definitions alone would remove, with nothing in its place. It is refused: who asks for definitions
//! does not expect to lose rows.

use std::borrow::Borrow;

use dumprestore_driver::{Error, Result};

use super::relations::{self, Relation};
use crate::connect::Connection;

/// As many as a message names.
const NAMED: usize = 5;

/// Refuses, if any of these tables, with their partitions, has rows.
pub(super) async fn refuse_rows(session: &Connection, tables: &[u32]) -> Result<()> {
    let tables = relations::with_partitions(session, tables).await?;
    refuse(with_rows(session, &tables).await?, 0)
}

/// Refuses, if the database has rows or large objects.
pub(super) async fn refuse_data(session: &Connection) -> Result<()> {
    let tables = with_rows(session, &relations::all(session).await?).await?;
    let asked = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata";
    let found = session.query_one(asked, &[]).await;
    let found = found.map_err(|error| session.fault(error, "can't count the large objects"))?;
    refuse(tables, found.get(0))
}

/// Those of them that have rows of their own, by name.
pub(super) async fn with_rows(
    session: &Connection,
    relations: &[impl Borrow<Relation> + Sync],
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for relation in relations.iter().map(Borrow::borrow).filter(|relation| relation.kind == 'r') {
        let asked = format!("SELECT EXISTS (SELECT FROM ONLY {})", relation.quoted());
        let answer = session.query_one(&asked, &[]).await;
        let answer = answer.map_err(|error| session.fault(error, "can't look whether a table has rows"))?;
        if answer.get(0) {
            found.push(relation.label());
        }
    }
    Ok(found)
}

fn refuse(tables: Vec<String>, large_objects: i64) -> Result<()> {
    let mut lost = Vec::new();
    if !tables.is_empty() {
        let more = tables.len().saturating_sub(NAMED);
        let named = tables.into_iter().take(NAMED).collect::<Vec<_>>().join("`, `");
        let more = if more > 0 { format!(" and {more} more tables") } else { String::new() };
        lost.push(format!("the rows of `{named}`{more}"));
    }
    if large_objects > 0 {
        lost.push(format!("{large_objects} large objects"));
    }
    if lost.is_empty() {
        return Ok(());
    }
    Err(Error::environment(format!(
        "definitions alone would replace what is there, and remove {}",
        lost.join(", and ")
    ))
    .with_hint("restore them into an empty database with `--map`, or empty what is there first if it may go"))
}
