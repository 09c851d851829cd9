//! What the manifest says of parts, read where it stands.

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Part, Streamed};
use crate::name::{check_name, full_name};
use crate::reader::elements::Elements;
use crate::reader::{Archive, Opened};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Every so many parts the place of one is remembered.
const STRIDE: u64 = 1024;
/// Bytes that are read at first: of all parts, and of one.
const ALL: usize = 16 << 10;
const ONE: usize = 512;

/// The parts of a node in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// How many there are.
    pub parts: u64,
    /// Bytes of content in them.
    pub size: u64,
    /// Bytes that they are stored in.
    pub stored: u64,
}

/// Where in the manifest the parts of a node are.
#[derive(Default)]
pub(crate) struct List {
    pub(crate) stretch: Range<u64>,
    /// Where each so manieth part begins.
    marks: Vec<u32>,
    pub(crate) totals: Totals,
}

impl List {
    pub(crate) fn new(stretch: Option<Range<u64>>) -> Self {
        Self { stretch: stretch.unwrap_or_default(), ..Self::default() }
    }

    /// Counts a part, which begins there.
    pub(crate) fn count(&mut self, part: &Part, at: u32) {
        if self.totals.parts.is_multiple_of(STRIDE) {
            self.marks.push(at);
        }
        self.totals.parts += 1;
        self.totals.size = self.totals.size.saturating_add(part.size);
        self.totals.stored = self.totals.stored.saturating_add(part.stored);
    }
}

/// Goes through the parts of a node, in the order of the manifest, and reads them as it goes.
///
/// # Behavior
/// - Ends with an error if it can't yield all: what has come until then is not the whole list.
pub struct Parts {
    archive: Arc<Opened>,
    node: usize,
    elements: Elements,
    left: u64,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("node", &self.node).field("left", &self.left).finish()
    }
}

impl Parts {
    /// From that part on.
    pub(crate) fn of(archive: Arc<Opened>, node: usize, first: u64) -> Result<Self> {
        let list = &archive.lists[node];
        let left = list.totals.parts.saturating_sub(first);
        let mark = usize::try_from(first / STRIDE).ok().and_then(|at| list.marks.get(at));
        let start = mark.map_or(list.stretch.end, |&at| at.into());
        let elements = Elements::new(archive.text.clone(), start..list.stretch.end, ALL);
        let mut parts = Self { archive, node, elements, left };
        if left > 0 {
            parts.left += first % STRIDE;
            (0..first % STRIDE).try_for_each(|_| parts.read().map(drop))?;
        }
        Ok(parts)
    }

    fn read(&mut self) -> Result<Part> {
        self.left -= 1;
        let next = self.elements.next()?;
        let (_, part) = next.ok_or_else(changed)?;
        checked(&self.archive, self.node, part)
    }
}

fn changed() -> Error {
    Error::new(ErrorKind::Io, "the archive was changed while it was read")
}

/// What was checked at first is checked again, in case that the file was changed since.
fn checked(archive: &Opened, node: usize, part: Part) -> Result<Part> {
    check_name(&archive.manifest.nodes[node].path, &part.name)?;
    Ok(part)
}

impl Iterator for Parts {
    type Item = Result<Part>;

    fn next(&mut self) -> Option<Result<Part>> {
        if self.left == 0 {
            return None;
        }
        let part = self.read();
        if part.is_err() {
            self.left = 0;
        }
        Some(part)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, usize::try_from(self.left).ok())
    }
}

impl Opened {
    /// The part that stands at that place of the manifest, and the index of its node.
    pub(crate) fn part_at(&self, at: u32) -> Result<(usize, Part)> {
        let place = u64::from(at);
        let node = self.lists.iter().position(|list| list.stretch.contains(&place)).ok_or_else(changed)?;
        let mut elements = Elements::new(self.text.clone(), place..self.lists[node].stretch.end, ONE);
        let (_, part) = elements.next()?.ok_or_else(changed)?;
        Ok((node, checked(self, node, part)?))
    }

    /// The part of that name.
    pub(crate) fn find(&self, node: usize, name: &str) -> Result<Option<Part>> {
        let key = self.keys.of(&full_name(&self.manifest.nodes[node].path, name));
        for at in self.names.find(key)? {
            let (found, part) = self.part_at(at)?;
            if found == node && *part.name == *name {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }
}

impl Streamed for Archive {
    fn each(&self, node: usize, take: &mut dyn FnMut(&Part) -> Result<()>) -> Result<()> {
        Parts::of(self.0.clone(), node, 0)?.try_for_each(|part| take(&part?))
    }
}
