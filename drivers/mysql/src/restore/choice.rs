//! What of an archived database is restored.

use std::collections::{BTreeMap, BTreeSet};

use dumprestore_driver::{Content, Error, Extras, Pattern, Result, Selection, closest};

use super::state::Covers;
use crate::archived::Contents;

/// What is restored: what is archived, without what is not meant.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) contents: Contents,
    pub(crate) content: Content,
    pub(crate) covers: Covers,
    /// Whether the database as such is made what it was.
    pub(crate) is_whole: bool,
}

impl Choice {
    /// Leaves out what is not selected.
    ///
    /// # Errors
    /// If a thing that is selected is not in the archive.
    pub(crate) fn new(mut contents: Contents, selection: &Selection, extras: Extras) -> Result<Self> {
        let is_whole = selection.is_whole();
        if !selection.things.is_empty() {
            pick(&mut contents, &selection.things)?;
        }
        if selection.content != Content::All || !selection.things.is_empty() {
            if !selection.things.is_empty() || selection.content == Content::DataOnly {
                contents.routines.clear();
                contents.events.clear();
            }
            if selection.content == Content::DataOnly {
                contents.views.clear();
                contents.triggers.clear();
                contents.tables.retain(|table| !table.without_data);
            }
        }
        if selection.content == Content::SchemaOnly {
            contents.tables.iter_mut().for_each(|table| table.parts.clear());
        }
        let held = contents.held;
        let all = is_whole && extras != Extras::Keep;
        let covers = Covers {
            tables: all && held.all_tables,
            routines: all && held.routines,
            events: all && held.events,
        };
        let choice = Self { contents, content: selection.content, covers, is_whole };
        choice.check_names()?;
        Ok(choice)
    }

    /// Whether tables get the triggers that are live.
    pub(crate) fn live_triggers(&self) -> bool {
        self.content == Content::DataOnly || !self.contents.held.triggers
    }

    /// Names of tables and sequences.
    pub(crate) fn tables(&self) -> Vec<String> {
        let sequences = self.contents.sequences.iter().map(|sequence| sequence.name.clone());
        self.contents.tables.iter().map(|table| table.name.clone()).chain(sequences).collect()
    }

    /// Which table each part belongs to, by its place among them.
    pub(crate) fn parts(&self) -> BTreeMap<String, usize> {
        let tables = self.contents.tables.iter().enumerate();
        tables.flat_map(|(at, table)| table.parts.iter().map(move |part| (part.clone(), at))).collect()
    }

    /// Two of one name can't both be made, and ours must not be taken for theirs.
    fn check_names(&self) -> Result<()> {
        let views = self.contents.views.iter().map(|view| view.name.clone());
        let mut seen = BTreeSet::new();
        for name in self.tables().into_iter().chain(views) {
            if super::names::is_ours(&name) {
                return Err(Error::unsupported("a table has a name that a restore needs for itself")
                    .with_context("table", name)
                    .with_hint("rename it before it is dumped"));
            }
            if !seen.insert(name.clone()) {
                return Err(Error::archive("two tables of the archive have the same name")
                    .with_context("table", name.escape_debug()));
            }
        }
        Ok(())
    }
}

/// Leaves only what these patterns mean, with its triggers.
fn pick(contents: &mut Contents, things: &[String]) -> Result<()> {
    let names: Vec<&str> = contents
        .tables
        .iter()
        .map(|table| table.name.as_str())
        .chain(contents.views.iter().map(|view| view.name.as_str()))
        .chain(contents.sequences.iter().map(|sequence| sequence.name.as_str()))
        .collect();
    let patterns: Vec<Pattern> = things.iter().map(Pattern::new).collect();
    for (thing, pattern) in things.iter().zip(&patterns) {
        if !names.iter().any(|name| pattern.fits(name)) {
            let error = Error::config(format!("the archive has no table `{}`", thing.escape_debug()));
            return Err(match closest(thing, &names) {
                Some(name) => error.with_hint(format!("did you mean `{}`?", name.escape_debug())),
                None => error.with_hint("`inspect` says what is in it"),
            });
        }
    }
    let is_meant = |name: &str| patterns.iter().any(|pattern| pattern.fits(name));
    contents.tables.retain(|table| is_meant(&table.name));
    contents.views.retain(|view| is_meant(&view.name));
    contents.sequences.retain(|sequence| is_meant(&sequence.name));
    contents.triggers.retain(|trigger| is_meant(&trigger.table));
    Ok(())
}
