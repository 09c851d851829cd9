//! Live partitions of what is replaced that are not the archive's: they are dropped, or emptied, with the table that they
//! are of, and nothing comes in their place. They can't stay where that goes.

use dumprestore_driver::{Extras, Result};

use super::super::needs::{Obstacle, listed};
use super::choice::{Chosen, TableName};
use super::relations::{self, Relation};
use crate::connect::Connection;

/// As many as a message names.
const NAMED: usize = 5;

/// Those of these tables, however deep. Foreign tables are among them.
pub(super) async fn of(session: &Connection, tables: &[u32], chosen: &Chosen) -> Result<Vec<Relation>> {
    let mut found = relations::with_partitions(session, tables).await?;
    found.retain(|relation| !tables.contains(&relation.oid) && !chosen.tables.contains(&relation.name));
    Ok(found)
}

/// They stand in the way, unless they may go.
pub(super) fn dropped(partitions: &[Relation], extras: Extras) -> Option<Obstacle> {
    let labels: Vec<String> = partitions.iter().map(Relation::label).collect();
    (extras != Extras::Remove && !labels.is_empty()).then(|| {
        Obstacle::new(
            format!(
                "partitions that the archive does not have would be dropped with their table: {}",
                listed(&labels, NAMED)
            ),
            "detach them, and attach them again after the restore; or restore with `--extras remove` if they may go",
        )
    })
}

/// The same, where only rows are replaced: of partitions that have some.
pub(super) fn emptied(partitions: &[String], extras: Extras) -> Option<Obstacle> {
    (extras != Extras::Remove && !partitions.is_empty()).then(|| {
        Obstacle::new(
            format!(
                "partitions that the archive does not have would be emptied with their table: {}",
                listed(partitions, NAMED)
            ),
            "detach them, and attach them again after the restore; choose the other partitions with `--only`; or \
             restore with `--extras remove` if their rows may go",
        )
    })
}

/// Rows that the dump was to be without are not removed, whatever is asked for.
pub(super) fn without_rows(partitions: &[String]) -> Option<Obstacle> {
    (!partitions.is_empty()).then(|| {
        Obstacle::new(
            format!(
                "the dump is without the rows of {}, which would be emptied with the table that they are partitions \
                 of now",
                listed(partitions, NAMED)
            ),
            "detach them, and attach them again after the restore",
        )
    })
}

/// Whether the dump is without the rows of this table.
pub(super) fn is_without_rows(chosen: &Chosen, name: &TableName) -> bool {
    let of_that_name = |table: &&crate::archived::Table| table.schema == name.0 && table.name == name.1;
    chosen.contents.tables.iter().find(of_that_name).is_some_and(|table| table.without_data)
}
