//! Definitions, and who owns what they define.

use dumprestore_driver::Result;

use super::script::Script;
use crate::archived::Item;
use crate::config::Policy;
use crate::restore::{Place, Policies, described};

/// A script has everything; who wants less of it leaves it out by hand.
pub(super) const POLICIES: Policies =
    Policies { owners: Policy::Keep, privileges: Policy::Keep, tablespaces: Policy::Keep };

/// Writes definitions, one after the other.
pub(super) struct Writer {
    place: Place,
    version: u32,
}

impl Writer {
    /// For a server of that version, or a newer one.
    pub(super) fn new(version: u32) -> Self {
        Self { place: Place::default(), version }
    }

    pub(super) fn write(&mut self, script: &mut Script<'_>, items: &[&Item]) -> Result<()> {
        for item in items {
            script.remark(&described(item))?;
            for statement in self.place.statements(item, POLICIES, self.version) {
                // What the archive has is ended by a semicolon, and may be a comment only.
                match statement == item.sql {
                    true => script.statements(&statement)?,
                    false => script.statement(&statement)?,
                }
            }
        }
        Ok(())
    }
}
