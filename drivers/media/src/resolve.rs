//! The certificate's half that a store gives: which references resolve, in what a dump will hold.
//!
//! # Why no link dangles and no object is torn
//!
//! A referrer was pinned at some instant S. We are called after S. Every capture is of one state of one object: its bytes were
//! asked for by that version, or by that ETag (`reading.rs`).
//!
//! *A reference with a digest* resolves to a capture of that key with that digest. The row says what the content is,
//! and the archive has just that: nothing needs to be known of time.
//!
//! *A reference without one*, where the bucket keeps no versions, resolves to a capture of that key if
//!
//! 1. the object, looked at after S, is in the state that was captured; and
//! 2. it has been so since before S. That is so if its time of writing, to the second, is all before the cut by the store's own
//!    clock (`clock.rs`), and it was written by one request, for the time of what was uploaded in parts is too early; or if
//!    the last pass saw that very state, and was begun after that second, so that whoever had written it again would have
//!    left another one. (Google's and Azure's stores give each writing an ETag of its own: there, to have been seen is enough.)
//!
//! *Where versions are kept*, the history of the key tells which version was there at S (`asof.rs`). If no other can have been, the
//! reference resolves to a capture of that one: if there is none yet, it is read now, whatever has become of the
//! object. With a digest, it is that of the versions that may have been there which has it.
//!
//! Where writers are held back until we are done ([`CutMode::Locked`](dumprestore_driver::CutMode::Locked)), 2 is not needed: the
//! referrer stands still, so what the store holds now goes with it.
//!
//! An object that is not captured in its present state is named as a part: the engine captures it then and there, and
//! asks again. What is resolved is *chosen*: the archive gets just that capture under that key. Two references that need
//! different content under one key can't both resolve.
//!
//! Stores without ETags (`fs://`) prove nothing: there, only a digest resolves, or a lock.
//!
//! With `mode: versions` nothing is captured. A reference resolves if one version alone can have been there at S; that one
//! stands in the list. Its digest is looked at only where there are several.

use dumprestore_driver::{CaptureId, Digest, Part, Reference, Result, Unresolved, Why};

use crate::asof::AsOf;
use crate::config::Mode;
use crate::key::{can_be_asked_for, part_name};
use crate::memory::{Capture, Look, Record};
use crate::shared::Shared;
use crate::state::State;

impl Shared {
    /// # Errors
    /// If nothing is pinned, or the store can't be asked.
    pub(crate) async fn resolve(&self, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let (cut, window) = self.cut().await?;
        let mut unresolved = Vec::new();
        let mut asked = Vec::new();
        for reference in references {
            match self.key_of(reference) {
                Err(why) => unresolved.push(Unresolved::new(reference.clone(), why)),
                Ok(key) if self.resolves_by_digest(key, reference)? => {}
                Ok(key) => asked.push((key, reference)),
            }
        }
        // What has a digest chooses first: it can make do with one capture only.
        asked.sort_by_key(|(key, reference)| (reference.digest.is_none(), *key));
        let mut keys: Vec<&str> = asked.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        // All are looked at before any is judged: the sooner after the cut, the fewer have changed since.
        self.look_at(&keys, cut, window).await?;
        for (key, reference) in asked {
            self.cancel.check()?;
            unresolved.extend(self.resolve_one(key, reference).await?);
        }
        Ok(unresolved)
    }

    /// The key of an object of this node that a reference means. Keys are exact: nothing is tidied.
    fn key_of<'a>(&self, reference: &'a Reference) -> Result<&'a str, Why> {
        let refused = |why: &str| Err(Why::Unreadable(why.to_owned()));
        let Ok(key) = std::str::from_utf8(reference.key.as_bytes()) else {
            return refused("it is not UTF-8, as all keys are");
        };
        match key {
            "" => refused("it is empty"),
            key if !self.site.filter.takes(key) => {
                refused("it is left out of this node by `include` or `exclude`")
            }
            key if !can_be_asked_for(key) => {
                refused("it is `/`, or has `.` or `..` between slashes: no request can name it")
            }
            key => Ok(key),
        }
    }

    fn resolves_by_digest(&self, key: &str, reference: &Reference) -> Result<bool> {
        match reference.digest {
            Some(digest) => self.choose(key, |capture| capture.digest == digest),
            None => Ok(false),
        }
    }

    /// Chooses a capture that fits, the newest before others.
    fn choose(&self, key: &str, fits: impl Fn(&Capture) -> bool) -> Result<bool> {
        let mut memory = self.memory();
        let captures = memory.record(key)?.map(|record| record.captures).unwrap_or_default();
        for capture in captures.iter().rev().filter(|capture| fits(capture)) {
            if memory.choose(key, capture.id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn resolve_one(&self, key: &str, reference: &Reference) -> Result<Option<Unresolved>> {
        // One that came before may have chosen.
        if self.resolves_by_digest(key, reference)? {
            return Ok(None);
        }
        let (record, look) = {
            let memory = self.memory();
            let record = memory.record(key)?;
            let look = memory.look(record.as_ref()).unwrap_or(Look::Gone);
            (record.unwrap_or_default(), look)
        };
        let unresolved = |why| Ok(Some(Unresolved::new(reference.clone(), why)));
        match look {
            Look::Refused(why) => unresolved(Why::Unreadable(why)),
            Look::Gone if self.keeps_versions => unresolved(Why::Missing),
            Look::Gone => unresolved(self.absent(&record)),
            Look::Now { state, as_of_the_cut } => match reference.digest {
                Some(digest) => self.by_digest(key, reference, digest, &record, &[state]).await,
                None if !as_of_the_cut => unresolved(Why::Unsettled),
                None => self.by_state(key, reference, &record, &state),
            },
            Look::AsOf(found) if self.site.mode == Mode::Versions => {
                self.among_versions(key, reference, &found).await
            }
            Look::AsOf(found) => match (reference.digest, found.only()) {
                _ if found.data.is_empty() => unresolved(Why::Missing),
                (Some(digest), _) => self.by_digest(key, reference, digest, &record, &found.data).await,
                (None, Some(version)) => self.by_state(key, reference, &record, version),
                (None, None) => unresolved(Why::Unsettled),
            },
        }
    }

    /// The object was surely in that state.
    fn by_state(
        &self,
        key: &str,
        reference: &Reference,
        record: &Record,
        state: &State,
    ) -> Result<Option<Unresolved>> {
        if self.choose(key, |capture| capture.state.is(state))? {
            return Ok(None);
        }
        // Another reference has proved, by its digest, that the content at the cut was another.
        let is_captured = record.captures.iter().any(|capture| capture.state.is(state));
        match is_captured || self.memory().chosen(record).is_some() {
            true => Ok(Some(Unresolved::new(reference.clone(), Why::Unsettled))),
            false => self.late(key, reference, state).map(Some),
        }
    }

    /// No capture that can be chosen has the digest. One of these states may.
    async fn by_digest(
        &self,
        key: &str,
        reference: &Reference,
        digest: Digest,
        record: &Record,
        states: &[State],
    ) -> Result<Option<Unresolved>> {
        let differs = |found| Ok(Some(Unresolved::new(reference.clone(), Why::Differs(found))));
        // That digest is there, and its place is taken by another that a reference needs.
        if let Some(taken) = self.taken(record).filter(|taken| *taken != digest) {
            return differs(taken);
        }
        let captured = |state: &State| record.captures.iter().rfind(|capture| capture.state.is(state));
        let mut open = states.iter().filter(|state| captured(state).is_none());
        match (open.next(), open.next()) {
            (None, _) => match states.iter().find_map(captured) {
                Some(capture) => differs(capture.digest),
                None => Ok(Some(Unresolved::new(reference.clone(), Why::Missing))),
            },
            (Some(only), None) => self.late(key, reference, only).map(Some),
            _ => match self.version_with(key, digest, states).await? {
                Ok(version) => self.late(key, reference, &version).map(Some),
                Err(Some(found)) => differs(found),
                Err(None) => Ok(Some(Unresolved::new(reference.clone(), Why::Missing))),
            },
        }
    }

    fn taken(&self, record: &Record) -> Option<Digest> {
        let chosen: CaptureId = self.memory().chosen(record)?;
        record.captures.iter().find(|capture| capture.id == chosen).map(|capture| capture.digest)
    }

    /// The one of several versions that has that digest; else the digest of the newest. They are read for it.
    async fn version_with(
        &self,
        key: &str,
        digest: Digest,
        states: &[State],
    ) -> Result<std::result::Result<State, Option<Digest>>> {
        let mut newest = None;
        for state in states {
            self.cancel.check()?;
            match self.reader.digest(key, state).await? {
                Some(found) if found == digest => return Ok(Ok(state.clone())),
                Some(found) => newest = newest.or(Some(found)),
                None => {}
            }
        }
        Ok(Err(newest))
    }

    /// Nothing is captured: the list is to name one version, and no other can be meant.
    async fn among_versions(
        &self,
        key: &str,
        reference: &Reference,
        found: &AsOf,
    ) -> Result<Option<Unresolved>> {
        let unresolved = |why| Ok(Some(Unresolved::new(reference.clone(), why)));
        match (found.only(), reference.digest) {
            _ if found.data.is_empty() => unresolved(Why::Missing),
            (Some(_), _) => Ok(None),
            (None, None) => unresolved(Why::Unsettled),
            (None, Some(digest)) => match self.version_with(key, digest, &found.data).await? {
                Ok(version) => {
                    let only = AsOf { data: vec![version], absent: false };
                    self.memory().note_look(key, Look::AsOf(only))?;
                    Ok(None)
                }
                Err(Some(other)) => unresolved(Why::Differs(other)),
                Err(None) => unresolved(Why::Missing),
            },
        }
    }

    fn absent(&self, record: &Record) -> Why {
        if record.pass == self.memory().pass && record.pass > 0 { Why::Unsettled } else { Why::Missing }
    }

    fn late(&self, key: &str, reference: &Reference, state: &State) -> Result<Unresolved> {
        let unresolved = Unresolved::new(reference.clone(), Why::Unsettled);
        match part_name(key) {
            Ok(name) => {
                self.memory().expect(key, state.clone())?;
                Ok(unresolved.with_part(Part::new(name).with_size(state.size)))
            }
            Err(error) => Ok(Unresolved::new(reference.clone(), Why::Unreadable(error.to_string()))),
        }
    }
}
