//! Two lists of parts, side by side.

use std::iter::Peekable;

use dumprestore_archive::{Archive, Part, Parts};
use dumprestore_driver::{Cancel, Result};
use serde::Serialize;

use super::report::Sides;
use crate::told::told;

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "change", content = "part")]
#[non_exhaustive]
pub enum PartChange {
    /// Only the newer archive has it.
    Added(String),
    /// Only the older archive has it.
    Removed(String),
    /// Its content is another.
    Changed(String),
}

/// The parts of a node in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PartCounts {
    /// Parts that only the newer archive has.
    pub added: u64,
    /// Parts that only the older archive has.
    pub removed: u64,
    /// Parts of another content.
    pub changed: u64,
    /// Parts of the same content.
    pub same: u64,
    /// Bytes of content.
    pub bytes: Sides<u64>,
    /// Rows, where the driver knows them of at least one part.
    pub rows: Sides<Option<u64>>,
    /// Some of the changes, in the order of the archives.
    pub some: Vec<PartChange>,
}

impl PartCounts {
    /// How many parts are not the same.
    pub fn changes(&self) -> u64 {
        self.added + self.removed + self.changed
    }

    fn note(&mut self, most: usize, change: PartChange) {
        *match &change {
            PartChange::Added(_) => &mut self.added,
            PartChange::Removed(_) => &mut self.removed,
            PartChange::Changed(_) => &mut self.changed,
        } += 1;
        if self.some.len() < most {
            self.some.push(change);
        }
    }

    fn compare(&mut self, most: usize, old: &Part, new: &Part) {
        match old.sha256 == new.sha256 {
            true => self.same += 1,
            false => self.note(most, PartChange::Changed(new.name.to_string())),
        }
    }
}

fn weigh(part: &Part, bytes: &mut u64, rows: &mut Option<u64>) {
    *bytes = bytes.saturating_add(part.size);
    if let Some(more) = part.rows {
        *rows = Some(rows.unwrap_or(0).saturating_add(more));
    }
}

/// A list, and the archive in which parts of the node are found by name.
struct Side<'a> {
    archive: Option<&'a Archive>,
    node: &'a str,
    parts: Option<Peekable<Parts>>,
}

impl<'a> Side<'a> {
    fn new(archive: Option<&'a Archive>, node: &'a str) -> Result<Self> {
        let parts = archive.map(|archive| archive.parts(node)).transpose().map_err(told)?;
        Ok(Self { archive, node, parts: parts.map(Iterator::peekable) })
    }

    fn name(&mut self) -> Option<&str> {
        match self.parts.as_mut()?.peek()? {
            Ok(part) => Some(&part.name),
            // `next` tells.
            Err(_) => Some(""),
        }
    }

    fn next(&mut self) -> Result<Option<Part>> {
        let next = self.parts.as_mut().and_then(Iterator::next);
        next.transpose().map_err(told)
    }

    fn find(&self, name: &str) -> Result<Option<Part>> {
        match self.archive {
            Some(archive) => archive.find(self.node, name).map_err(told),
            None => Ok(None),
        }
    }
}

/// Compares the parts of one node. The older side takes care of all parts that both have, wherever they stand in the other
/// list; the newer one adds what only it has.
pub(super) fn compare_parts(
    node: &str,
    (old, new): (Option<&Archive>, Option<&Archive>),
    most: usize,
    cancel: &Cancel,
) -> Result<PartCounts> {
    let (mut old, mut new) = (Side::new(old, node)?, Side::new(new, node)?);
    let mut counts = PartCounts::default();
    loop {
        cancel.check()?;
        let in_step = match (old.name(), new.name()) {
            (None, None) => return Ok(counts),
            (before, after) => before == after,
        };
        let (before, after) =
            if in_step { (old.next()?, new.next()?) } else { one_side(&mut old, &mut new)? };
        if let Some(part) = &before {
            weigh(part, &mut counts.bytes.from, &mut counts.rows.from);
        }
        if let Some(part) = &after {
            weigh(part, &mut counts.bytes.to, &mut counts.rows.to);
        }
        match (before, after) {
            (Some(before), Some(after)) => counts.compare(most, &before, &after),
            (Some(before), None) => match new.find(&before.name)? {
                Some(after) => counts.compare(most, &before, &after),
                None => counts.note(most, PartChange::Removed(before.name.to_string())),
            },
            (None, Some(after)) => {
                if old.find(&after.name)?.is_none() {
                    counts.note(most, PartChange::Added(after.name.to_string()));
                }
            }
            (None, None) => return Ok(counts),
        }
    }
}

/// The next part of one side, where the two are not in step: of the newer one what only that has, so that they come into
/// step again.
fn one_side(old: &mut Side<'_>, new: &mut Side<'_>) -> Result<(Option<Part>, Option<Part>)> {
    let only_there = match (old.name().is_some(), new.name()) {
        (false, _) => true,
        (true, None) => false,
        (true, Some(name)) => {
            let name = name.to_owned();
            old.find(&name)?.is_none()
        }
    };
    if only_there { Ok((None, new.next()?)) } else { Ok((old.next()?, None)) }
}
