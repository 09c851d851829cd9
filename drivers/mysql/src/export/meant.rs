//! What of an archived database is written.

use std::collections::BTreeSet;

use dumprestore_driver::{Content, Error, Pattern, Result, Selection, closest};

use crate::archived::{Contents, Event, Routine, Sequence, Table, Trigger, View};

/// What is written, each list in the order in which it is.
pub(super) struct Meant<'a> {
    pub(super) content: Content,
    /// What the user named: tables, views, sequences. Nothing: all is meant.
    pub(super) things: Vec<String>,
    pub(super) sequences: Vec<&'a Sequence>,
    pub(super) tables: Vec<&'a Table>,
    /// Stored functions, procedures and packages: only with everything else.
    pub(super) routines: Vec<&'a Routine>,
    pub(super) views: Vec<&'a View>,
    /// Those of the tables that are meant.
    pub(super) triggers: Vec<&'a Trigger>,
    pub(super) events: Vec<&'a Event>,
}

impl<'a> Meant<'a> {
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if a thing is selected that there is nothing of.
    pub(super) fn of(contents: &'a Contents, selection: &Selection) -> Result<Self> {
        let names = names(contents);
        let patterns = patterns(selection, &names)?;
        let all = patterns.is_empty();
        let is_meant = |name: &str| all || patterns.iter().any(|pattern| pattern.fits(name));
        let defined = selection.content != Content::DataOnly;
        Ok(Self {
            content: selection.content,
            things: selection.things.clone(),
            sequences: contents.sequences.iter().filter(|of| is_meant(&of.name)).collect(),
            tables: contents.tables.iter().filter(|of| is_meant(&of.name)).collect(),
            routines: contents.routines.iter().filter(|_| all && defined).collect(),
            views: contents.views.iter().filter(|of| defined && is_meant(&of.name)).collect(),
            triggers: contents.triggers.iter().filter(|of| defined && is_meant(&of.table)).collect(),
            events: contents.events.iter().filter(|_| all && defined).collect(),
        })
    }

    /// Whether definitions are written.
    pub(super) fn defined(&self) -> bool {
        self.content != Content::DataOnly
    }

    /// Whether rows are written.
    pub(super) fn filled(&self) -> bool {
        self.content != Content::SchemaOnly
    }

    /// Whether it is all of the archive, for a database of its own.
    pub(super) fn is_whole(&self) -> bool {
        self.things.is_empty() && self.defined()
    }
}

/// All that can be selected.
fn names(contents: &Contents) -> BTreeSet<&str> {
    let tables = contents.tables.iter().map(|table| table.name.as_str());
    let views = contents.views.iter().map(|view| view.name.as_str());
    let sequences = contents.sequences.iter().map(|sequence| sequence.name.as_str());
    tables.chain(views).chain(sequences).collect()
}

fn patterns(selection: &Selection, names: &BTreeSet<&str>) -> Result<Vec<Pattern>> {
    let mut patterns = Vec::new();
    for thing in &selection.things {
        let pattern = Pattern::new(thing);
        if !names.iter().any(|name| pattern.fits(name)) {
            let error = Error::config(format!("there is no table `{}` in the archive", thing.escape_debug()));
            return Err(match closest(thing, names) {
                Some(name) => error.with_hint(format!("did you mean `{name}`?")),
                None => error.with_hint("`inspect` lists what is in it; letter case counts"),
            });
        }
        patterns.push(pattern);
    }
    Ok(patterns)
}
