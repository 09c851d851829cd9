//! Which line of the listing a part is of.

use std::collections::BTreeMap;
use std::sync::Arc;

use dumprestore_driver::{ArchivedNode, Error, PartName, Result};

use super::archived::Wanted;
use super::chosen::Chosen;
use super::needed::Needed;
use crate::key::key_of;
use crate::line::Lines;

/// Goes through the listing beside the parts, which come in the same order: lines that were passed and whose parts have not come yet
/// are few, as many as are loaded at once.
pub(super) struct Claims {
    archived: Arc<dyn ArchivedNode>,
    chosen: Chosen,
    lines: Option<Lines>,
    number: u64,
    passed: BTreeMap<PartName, Wanted>,
}

impl Claims {
    pub(super) fn new(archived: Arc<dyn ArchivedNode>, chosen: Chosen) -> Self {
        Self { archived, chosen, lines: None, number: 0, passed: BTreeMap::new() }
    }

    /// The line of that part, once; nothing if it is not meant.
    pub(super) fn claim(&mut self, part: &PartName, needed: &Needed) -> Result<Option<Wanted>> {
        if let Some(wanted) = self.passed.remove(part) {
            return Ok(Some(wanted));
        }
        // No line is looked for that is not meant: all those to the end of the list would be kept meanwhile.
        if key_of(part).is_some_and(|key| !self.chosen.takes(&key)) {
            return Ok(None);
        }
        while let Some(wanted) = self.next(needed)? {
            match &wanted.line.part {
                Some(name) if name == part => return Ok(Some(wanted)),
                Some(name) => drop(self.passed.insert(name.clone(), wanted)),
                None => {}
            }
        }
        Ok(None)
    }

    /// The next line whose part may be needed.
    fn next(&mut self, needed: &Needed) -> Result<Option<Wanted>> {
        let mut lines = match self.lines.take() {
            Some(lines) => lines,
            None if self.number == 0 => Lines::of(&*self.archived)?,
            None => return Ok(None),
        };
        while let Some(line) = lines.next() {
            let line = line?;
            self.number += 1;
            let is_needed = line.part.as_ref().is_some_and(|part| needed.may_have(part));
            if is_needed && self.chosen.takes(&line.key) {
                self.lines = Some(lines);
                return Ok(Some(Wanted { number: self.number, line }));
            }
        }
        if self.number == 0 {
            return Err(Error::archive("a part is loaded, but the archive lists no objects"));
        }
        Ok(None)
    }
}
