//! What is staged answers for itself.

use dumprestore_driver::{Edge, Error, KeySink, Reference, Result, Unresolved, Why};

use super::Restore;
use super::extras::{command, each_step};
use super::line::{Line, bytes, integer};
use super::place::{self, Place};
use crate::config::Meant;
use crate::connect::Reply;
use crate::links::{Found, Keys, Within};
use crate::rdb::{elements, payload};

/// As many values, and bytes of them, are asked for at once: the server holds what was not read yet.
const VALUES: usize = 64;
const BYTES: u64 = 1 << 20;

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
            each_step(line, place.index, &pattern, |line, mut names| {
                for count in batches(line, names)? {
                    self.cancel.check()?;
                    let (some, rest) = names.split_at(count.min(names.len()));
                    look(line, &keys, &place, some, found)?;
                    names = rest;
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

/// How many of them, in their order, are asked for together each time. One that is large stands alone.
fn batches(line: &mut Line, names: &[Vec<u8>]) -> Result<Vec<usize>> {
    let usage = |name: &Vec<u8>| redis::cmd("MEMORY").arg("USAGE").arg(name).clone();
    let asked: Vec<redis::Cmd> = names.iter().map(usage).collect();
    let (mut batches, mut bytes) = (Vec::new(), 0u64);
    for reply in line.replies(&asked)? {
        // Of whom it is not to be known may be large; who is gone is not.
        let weight = match reply {
            Reply::Null => 0,
            reply => integer(&reply).unwrap_or(BYTES),
        };
        match batches.last_mut() {
            Some(count) if bytes.saturating_add(weight) <= BYTES && *count < VALUES => *count += 1,
            _ => {
                batches.push(1);
                bytes = 0;
            }
        }
        bytes = bytes.saturating_add(weight);
    }
    Ok(batches)
}

/// Looks into some keys.
fn look(
    line: &mut Line,
    keys: &Keys,
    place: &Place,
    names: &[Vec<u8>],
    found: &mut KeySink<'_>,
) -> Result<()> {
    for name in names {
        line.send(&command("DUMP", name))?;
    }
    // One after the other: each may be large.
    for name in names {
        let dumped = line.wire.reply()?;
        // It has expired meanwhile.
        let Some(dumped) = bytes(line.accept(dumped, &command("DUMP", name))?) else { continue };
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
