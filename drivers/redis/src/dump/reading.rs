//! What was pinned, while it is read: server after server, as one.

use std::collections::BTreeSet;
use std::time::Instant;

use dumprestore_driver::{Error, Facts, LedgerEntry, Part, PartWriter, Result};

use super::arrival::Arrival;
use super::choice::Choice;
use super::collect::{Collected, Collecting};
use super::copy::copy;
use super::pin::Asked;
use super::shard::{Layout, Shard};
use super::told::{CUT_AT, Tally};
use super::transfer::Transfer;

/// A save that arrives.
pub(super) struct Incoming {
    /// Where among the shards it is from.
    pub(super) shard: usize,
    pub(super) arrival: Arrival,
    pub(super) waited: Waited,
}

/// What is left of what was asked for, once it arrives.
pub(super) struct Waited {
    server: String,
    spare: BTreeSet<u64>,
    cut_at: u64,
    pub(super) transfer: Transfer,
    /// By our clock, before it was asked for and after it had begun.
    span: (Instant, Instant),
    /// How often it was asked for after the cut.
    again: u32,
    /// Whether the server was told to remove the file that it sends.
    removes_file: bool,
}

impl Waited {
    pub(super) fn of(asked: &Asked) -> Self {
        Self {
            server: asked.server.title(),
            spare: asked.spare.clone(),
            cut_at: asked.cut_at,
            transfer: asked.transfer,
            span: asked.span,
            again: 0,
            removes_file: asked.removes_file,
        }
    }

    /// It arrives, and was asked for so often after the cut.
    pub(super) fn begins(&mut self, arrival: &Arrival, again: u32) {
        self.again = again;
        self.cut_at = began_at(self.cut_at, arrival);
    }
}

/// When the save began, in milliseconds since 1970: it says so itself, to the second.
fn began_at(asked_at: u64, arrival: &Arrival) -> u64 {
    let said = arrival.remark("ctime").and_then(|seconds| seconds.parse::<u64>().ok());
    match said.and_then(|seconds| seconds.checked_mul(1000)) {
        Some(said) => asked_at.max(said).min(said.saturating_add(999)),
        None => asked_at,
    }
}

/// All of them, of which some were read.
pub(super) struct Reading {
    waiting: Vec<Incoming>,
    pub(super) parts: Vec<Part>,
    collecting: Collecting,
    tally: Tally,
    spare: BTreeSet<u64>,
    /// Whether one was asked for after the cut.
    again: bool,
    removes_file: bool,
}

impl Reading {
    pub(super) fn new(waiting: Vec<Incoming>, collecting: Collecting) -> Self {
        Self {
            again: waiting.iter().any(|one| one.waited.again > 0),
            removes_file: waiting.iter().any(|one| one.waited.removes_file),
            waiting,
            parts: Vec::new(),
            collecting,
            tally: Tally::default(),
            spare: BTreeSet::new(),
        }
    }

    /// Copies one of them into its part. Gives the number of keys.
    ///
    /// # Errors
    /// As of [`copy`].
    pub(super) fn read(
        &mut self,
        shards: &[Shard],
        part: &Part,
        cancel: &dumprestore_driver::Cancel,
        out: &mut PartWriter<'_>,
    ) -> Result<u64> {
        let is_meant = |incoming: &Incoming| {
            shards.get(incoming.shard).is_some_and(|shard| shard.part == part.name.as_str())
        };
        let at = self.waiting.iter().position(is_meant);
        let Some(incoming) = at.map(|at| self.waiting.remove(at)) else { return Err(twice()) };
        let shard = shards.get(incoming.shard).ok_or_else(twice)?;
        let Incoming { arrival, waited, .. } = incoming;
        self.collecting.at(waited.cut_at);
        let choice = Choice { setup: &shard.setup, spare: &waited.spare, shard };
        let tally = copy(&choice, arrival, &mut self.collecting, cancel, out)?;
        let receipt = out.finish()?;
        let rows = tally.rows();
        self.parts
            .push(shard.part()?.with_size(receipt.size).with_captured(receipt.capture).with_rows(Some(rows)));
        self.tally.add(tally);
        self.spare.extend(waited.spare);
        Ok(rows)
    }

    /// Whether all were read.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What a ledger must have of it.
    pub(super) fn told(&self) -> Vec<LedgerEntry> {
        let mut told = Vec::new();
        if self.again {
            told.push(LedgerEntry::degrading(
                "the cut",
                "the server's save failed, or was of another instant, and the next one was begun after the cut: the keys are of \
                 one instant, but not of that of the other nodes",
            ));
        }
        if self.removes_file {
            told.push(LedgerEntry::note(
                "rdb-del-sync-files",
                "was set to `yes` at the server, and stays so: else it would keep the file of this dump, and load it at its next start",
            ));
        }
        told.extend(self.collecting.unfitting());
        told
    }

    /// What was read in all.
    ///
    /// # Errors
    /// If a scratch file can't be written or read.
    pub(super) fn finish(mut self) -> Result<(Vec<Part>, Collected, Tally, BTreeSet<u64>)> {
        self.parts.sort_by(|one, other| one.name.cmp(&other.name));
        Ok((self.parts, self.collecting.finish()?, self.tally, self.spare))
    }
}

fn twice() -> Error {
    Error::defect("a part of a `redis` source can be dumped once only, and only if it has it")
}

/// What is told of saves that arrive, before any is read.
pub(super) fn facts(layout: &Layout, all: &[Incoming]) -> Facts {
    let mut facts = Facts::from([("mode".to_owned(), "replication".to_owned())]);
    let mut note = |name: &str, value: String| drop(facts.insert(name.to_owned(), value));
    let joined = |of: &dyn Fn(&Incoming) -> Option<String>| {
        let mut found: Vec<String> = all.iter().filter_map(of).collect();
        found.dedup();
        found.join(", ")
    };
    note("server_version", joined(&|one| Some(one.waited.server.clone())));
    note("rdb_version", joined(&|one| Some(one.arrival.reader.version().to_string())));
    note("transfer", joined(&|one| Some(one.waited.transfer.name().to_owned())));
    if let Some(earliest) = all.iter().map(|one| one.waited.cut_at).min() {
        note(CUT_AT, earliest.to_string());
    }
    for (fact, remark) in [("replication_id", "repl-id"), ("replication_offset", "repl-offset")] {
        let said = joined(&|one| one.arrival.remark(remark).map(str::to_owned));
        if !said.is_empty() {
            note(fact, said);
        }
    }
    let again: u32 = all.iter().map(|one| one.waited.again).sum();
    if again > 0 {
        note("pinned_again", again.to_string());
    }
    if layout.cluster.is_some() {
        note("primaries", primaries(layout));
        note("cut_within_ms", width(all).to_string());
    }
    facts
}

/// `00000.rdb: cache-1:6379, …`.
pub(super) fn primaries(layout: &Layout) -> String {
    let each = layout.shards.iter().map(|shard| format!("{}: {}", shard.part, shard.setup.target.place));
    each.collect::<Vec<_>>().join(", ")
}

/// No two of these instants are further apart, in milliseconds.
fn width(all: &[Incoming]) -> u128 {
    let first = all.iter().map(|one| one.waited.span.0).min();
    let last = all.iter().map(|one| one.waited.span.1).max();
    first.zip(last).map_or(0, |(first, last)| last.saturating_duration_since(first).as_millis() + 1)
}

/// What a cluster is not.
pub(super) fn apart(layout: &Layout, within: Option<&str>) -> Option<LedgerEntry> {
    let count = layout.shards.len();
    let within = within.filter(|_| layout.cluster.is_some() && count > 1)?;
    Some(LedgerEntry::note(
        "cluster",
        format!("each of the {count} primaries was dumped at one instant of its own, all within {within} ms"),
    ))
}
