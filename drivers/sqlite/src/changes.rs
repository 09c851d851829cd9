//! What a restore would change.

use dumprestore_driver::{ArchivedNode, Changes, Error, Extras, Facts, Result};

use crate::checks::Recorded;
use crate::driver::Setup;
use crate::open::{self, Patience};
use crate::place::Place;
use crate::prepare::Live;
use crate::profile::{Journal, Profile, list};
use crate::restore::Expected;

/// The live database, as far as a plan needs it.
struct Before {
    live: Live,
    /// None if it can't be read.
    profile: Option<Profile>,
}

impl Before {
    fn look(setup: &Setup, place: &Place) -> Result<Self> {
        let patience = Patience::new(setup.busy_timeout, dumprestore_driver::Cancel::default());
        let path = place.path();
        let profile = match crate::inspect::look(place, &patience) {
            Ok(looked) => Some(looked.profile),
            Err(error) if crate::prepare::is_no_database(&error) => None,
            Err(_) if !path.exists() => return Ok(Self { live: Live::Missing, profile: None }),
            Err(error) => return Err(error),
        };
        let live = match &profile {
            Some(profile) => Live::Database { journal: profile.journal, page_size: profile.page_size },
            None => Live::Foreign,
        };
        Ok(Self { live, profile })
    }
}

/// Counts tables: by name, since to compare their rows would be to read both databases.
pub(crate) fn changes(setup: &Setup, archived: &dyn ArchivedNode) -> Result<Changes> {
    let place = Place::find(&setup.path)?;
    let before = Before::look(setup, &place)?;
    let expected = Expected::of(archived)?;
    let facts = archived.facts();
    let mut changes = Changes::of("tables");
    count(&mut changes, &before, facts);
    note(&mut changes, &before, facts);
    let old = before.profile.as_ref().map_or(0, Profile::size);
    // The staged file, the copy of the old state, and the log or journal of the swap.
    let swap = match before.live {
        Live::Missing | Live::Foreign => 0,
        Live::Database { journal: Journal::Wal, .. } => expected.size,
        Live::Database { journal: Journal::Rollback, .. } => old + expected.size.saturating_sub(old),
    };
    changes.needs_bytes = Some(expected.size + old + swap);
    changes.free_bytes =
        rustix::fs::statvfs(place.folder()).ok().map(|there| there.f_bavail * there.f_frsize);
    Ok(changes)
}

fn count(changes: &mut Changes, before: &Before, facts: &Facts) {
    let there = before.profile.as_ref().map(|profile| profile.tables.as_slice()).unwrap_or_default();
    let Some(archived) = list(facts, "tables") else {
        // Too many to be listed in the manifest: then each that is there is replaced or removed.
        changes.replace = there.len() as u64;
        changes.notes.push("the archive does not tell its tables by name".to_owned());
        return;
    };
    let archived = without_excluded(archived, facts);
    let both = archived.iter().filter(|name| there.contains(name)).count() as u64;
    changes.create = archived.len() as u64 - both;
    changes.replace = both;
    for name in there.iter().filter(|name| !archived.contains(name)) {
        changes.count_removed(|| name.clone());
    }
}

fn without_excluded(mut tables: Vec<String>, facts: &Facts) -> Vec<String> {
    let excluded = list(facts, "excluded_tables").unwrap_or_default();
    tables.retain(|name| !excluded.contains(name));
    tables
}

fn note(changes: &mut Changes, before: &Before, facts: &Facts) {
    let mut note = |text: String| changes.notes.push(text);
    match before.live {
        Live::Missing => {}
        Live::Foreign => note(
            "the file that is there is not a database that SQLite can read: it is replaced, not written into, and what \
             has it open must be started anew"
                .to_owned(),
        ),
        Live::Database { journal: Journal::Wal, page_size } => {
            if facts.get("page_size").is_some_and(|archived| *archived != page_size.to_string()) {
                note(format!("the page size stays {page_size}: a database in WAL mode can't change it"));
            }
        }
        Live::Database { .. } => {}
    }
    if let (Some(profile), Some(archived)) = (&before.profile, facts.get("encoding"))
        && profile.encoding != *archived
        && profile.pages > 0
    {
        note(format!(
            "the text encoding changes from {} to {archived}: connections that stay open must be opened anew",
            profile.encoding
        ));
    }
    if let Recorded::Damaged(findings) = Recorded::in_facts(facts) {
        note(format!("the database was damaged when it was dumped, and is restored so: {findings}"));
    }
    for (fact, what) in [("excluded_tables", "without"), ("excluded_data", "without the rows of")] {
        if let Some(excluded) = list(facts, fact).filter(|excluded| !excluded.is_empty()) {
            note(format!("the dump is {what} `{}`", excluded.join("`, `")));
        }
    }
}

/// A database is restored whole: it can't keep tables that the archive does not have.
pub(crate) fn check_extras(setup: &Setup, archived: &dyn ArchivedNode, extras: Extras) -> Result<()> {
    if extras == Extras::Remove {
        return Ok(());
    }
    let place = Place::find(&setup.path)?;
    let before = Before::look(setup, &place)?;
    let there = before.profile.map(|profile| profile.tables).unwrap_or_default();
    let archived = list(archived.facts(), "tables").map(|tables| without_excluded(tables, archived.facts()));
    let Some(archived) = archived else {
        return match there.is_empty() {
            true => Ok(()),
            false => {
                Err(Error::unsupported("the archive does not tell which tables it has, so none can be kept"))
            }
        };
    };
    let extra: Vec<String> = there.into_iter().filter(|name| !archived.contains(name)).collect();
    match (extra.is_empty(), extras) {
        (true, _) => Ok(()),
        (false, Extras::Fail) => {
            Err(Error::environment("the database has tables that the archive does not have")
                .with_context("tables", extra.join(", "))
                .with_hint("restore with `--extras remove` if they may go"))
        }
        (false, _) => {
            Err(Error::unsupported("a database is restored whole, and can't keep tables of its own")
                .with_context("tables", extra.join(", "))
                .with_hint(
                    "restore with `--extras remove` if they may go, or leave this node out with `--only`",
                ))
        }
    }
}

/// Opened to look: kept here so that a plan and an inspection see the same.
pub(crate) fn profile_of(conn: &rusqlite::Connection, place: &Place, patience: &Patience) -> Result<Profile> {
    open::begin_read(conn, place.path(), patience)?;
    Profile::read(conn, place.path())
}
