//! What is staged answers for itself.

use dumprestore_driver::{Edge, Error, KeySink, Reference, Result, Unresolved, Why};

use super::Restore;
use super::extras::{command, each_step};
use super::line::{Line, bytes};
use super::place::{self, Place};
use crate::config::Meant;
use crate::connect::Reply;
use crate::links::{Found, Keys, Within};
use crate::rdb::{elements, payload};

/// As many values are asked for at once.
const VALUES: usize = 16;

impl Restore {
    pub(super) fn find_references(&self, edge: &Edge, found: &mut KeySink<'_>) -> Result<()> {
        let keys = Keys::of(&edge.keys)?;
        let mut lines = self.lines()?;
        let place = self.place_for(keys.database)?;
        let all = place::pattern(&place.before);
        let before = all.strip_suffix(b"*").unwrap_or_default();
        // What stands between is the tag of a cluster.
        let pattern = [before, place.tag_pattern(), keys.pattern.text().as_bytes()].concat();
        lines.all().try_for_each(|line| {
            each_step(line, place.index, &pattern, |line, names| {
                for names in names.chunks(VALUES) {
                    self.cancel.check()?;
                    look(line, &keys, &place, names, found)?;
                }
                Ok(())
            })
        })
    }

    pub(super) fn unresolved(
        &self,
        within: Option<&str>,
        references: &[Reference],
    ) -> Result<Vec<Unresolved>> {
        let within = Within::of(within)?;
        let mut lines = self.lines()?;
        let place = self.place_for(within.database)?;
        lines.all().try_for_each(|line| line.select(place.index))?;
        let mut unresolved = Vec::new();
        for some in references.chunks(1000) {
            let names: Vec<Vec<u8>> =
                some.iter().map(|reference| place.name(&within.key(reference.key.as_bytes()))).collect();
            let asked: Vec<(&[u8], redis::Cmd)> =
                names.iter().map(|name| (name.as_slice(), command("EXISTS", name))).collect();
            let there = lines.ask_all(&asked)?;
            let missing = some.iter().zip(there).filter(|(_, there)| *there == Reply::Integer(0));
            unresolved.extend(missing.map(|(reference, _)| Unresolved::new(reference.clone(), Why::Missing)));
        }
        Ok(unresolved)
    }

    /// Where the keys are staged that a declaration is about.
    fn place_for(&self, database: Option<u64>) -> Result<Place> {
        let first = match &self.setup.databases {
            Meant::All => 0,
            Meant::These(list) => list.first().copied().unwrap_or_default(),
        };
        let wanted = database.unwrap_or(first);
        let pairs = &self.entry.pairs;
        // Of a database that goes elsewhere, its index in the archive is meant as well.
        let pair = pairs.iter().find(|pair| pair.live == wanted);
        let pair = pair.or_else(|| pairs.iter().find(|pair| pair.archived == Some(wanted)));
        let pair = pair.ok_or_else(|| {
            Error::config("a reference is about a database that is not restored")
                .with_context("database", wanted)
                .with_hint("restore the whole node, or leave the reference out")
        })?;
        self.place(pair)
    }
}

/// Looks into some keys.
fn look(
    line: &mut Line,
    keys: &Keys,
    place: &Place,
    names: &[Vec<u8>],
    found: &mut KeySink<'_>,
) -> Result<()> {
    let dumps: Vec<redis::Cmd> = names.iter().map(|name| command("DUMP", name)).collect();
    for (name, dumped) in names.iter().zip(line.ask_all(&dumps)?) {
        // It has expired meanwhile.
        let Some(dumped) = bytes(dumped) else { continue };
        let (kind, value, _) = payload::open(&dumped)?;
        let mut take = |one: Found| match one {
            Found::Reference(reference) => found.push(reference),
            Found::Malformed(key, what) => found.push_malformed(key, what),
        };
        let key = place.key(name);
        let mut look = keys.look(key, kind);
        if look.needs_value() {
            elements(kind, value, &mut |element| look.see(element, &mut take))?;
        }
        look.end().map_or(Ok(()), take)?;
    }
    Ok(())
}
