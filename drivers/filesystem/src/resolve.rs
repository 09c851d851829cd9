//! The certificate's half that a folder gives: which references resolve, in what a dump will hold.
//!
//! # Why no link dangles and no file is torn
//!
//! A referrer was pinned at some instant S. `T`, the cut's `not_before`, was read from the coarse clock before S; we
//! are called after S. Every capture is one whole state of one file: its state (device, inode, size, time of content,
//! time of change) was the same before and after the reading.
//!
//! *A reference with a digest* resolves to a capture of that path with that digest. The row says what the content is,
//! and the archive has just that: nothing needs to be known of time.
//!
//! *A reference without one* resolves to a capture of that path if
//!
//! 1. the state of the file now equals that of the capture, and a change since the reading would have made it
//!    another (`Clock::tells_changes_since`; `writers.rs` for writes that carry no stamp of their own): so the capture
//!    is what the file holds now; and
//! 2. its time of change is before `T` (`Clock::is_before`): any write, rename, link or new mode of that inode
//!    since `T` would have moved it to `T` or later. So the file has held this content since before S. If somebody
//!    could write to it when it was captured, that must have been before `T`: only since then is each write stamped; and
//! 3. the folders it is in were there under the same names before `T`: either the last pass saw the same inodes
//!    there, or their own time of change is before `T`. (To rename a folder does not touch the files in it.)
//!
//! So the file of that path had, at S, the content that is in the archive. Where writers are held back until we are
//! done ([`CutMode::Locked`](dumprestore_driver::CutMode::Locked)), 2 and 3 are not needed: the referrer stands
//! still, so what the file holds now goes with it.
//!
//! A file that is not captured in its present state is named as a part: the engine captures it then and there, and
//! asks again. By the same three points the answer is as sound as if it had been captured before.
//!
//! What is resolved is *chosen*: the archive gets just that capture under that path. Two references that need
//! different content under one path can't both resolve.
//!
//! Stamps of a file system that is not known to be local prove nothing: there, only a digest resolves.
//!
//! What this rests on: the kernel moves the time of change at every change, for maps as `writers.rs` says, and the
//! clock does not run backwards between `T` and now.

use std::collections::HashMap;
use std::io;

use dumprestore_driver::{Error, Part, Reference, Result, Unresolved, Why};
use rustix::fs::{FileType, Stat, fstat};

use crate::beneath::{Beneath, is_absent};
use crate::captures::{Capture, Choice, OtherKind};
use crate::entry::part_name;
use crate::filter;
use crate::path::{ancestors, components, split};
use crate::snapshot::{Cut, Shared};
use crate::state::{Clock, Signature, Stamp, type_of};

/// So many files are looked at before they are judged.
const AT_ONCE: usize = 20_000;

/// Why a key can't be the path of a file of ours.
type Refused = String;

/// The relative path that a key means. A leading `./`, doubled slashes and inner `.` are tolerated, for the system
/// call would tolerate them; whatever could lead out is not.
pub(crate) fn path_of_key(key: &[u8]) -> Result<Vec<u8>, Refused> {
    if key.first() == Some(&b'/') {
        return Err("an absolute path: keys are relative to the folder".to_owned());
    }
    if key.last() == Some(&b'/') {
        return Err("it names a folder".to_owned());
    }
    if key.contains(&0) {
        return Err("it has a NUL in it".to_owned());
    }
    let names: Vec<_> = components(key).filter(|name| *name != b".").collect();
    if names.contains(&&b".."[..]) {
        return Err("it has `..` in it".to_owned());
    }
    if names.is_empty() || key.ends_with(b"/.") {
        return Err("it names a folder".to_owned());
    }
    Ok(names.join(&b'/'))
}

/// What is at a path that is not a regular file.
pub(crate) fn not_a_file(stat: &Stat) -> &'static str {
    match type_of(stat) {
        FileType::Directory => "it is a folder",
        FileType::Symlink => "it is a symbolic link, which is not followed",
        _ => "it is not a regular file",
    }
}

impl Shared {
    /// # Errors
    /// If nothing is pinned.
    pub(crate) fn resolve(&self, references: &[Reference]) -> Result<Vec<Unresolved>> {
        let cut = self.cut()?;
        let mut resolver =
            Resolver { shared: self, cut, beneath: self.root.beneath(), folders: HashMap::new() };
        let mut unresolved = Vec::new();
        let mut asked = Vec::with_capacity(references.len());
        for (at, reference) in references.iter().enumerate() {
            match path_of_key(reference.key.as_bytes()) {
                Ok(path) => asked.push((path, at)),
                Err(why) => unresolved.push(Unresolved::new(reference.clone(), Why::Unreadable(why))),
            }
        }
        // What has a digest chooses first: it can make do with one capture only. Neighbours are near on disk.
        asked.sort_unstable_by(|a, b| {
            let plain = |at: usize| references[at].digest.is_none();
            (plain(a.1), &a.0).cmp(&(plain(b.1), &b.0))
        });
        for some in asked.chunks(AT_ONCE) {
            self.cancel.check()?;
            // All are looked at before any is judged: the sooner after the cut, the fewer have changed since.
            let states: Vec<_> = some
                .iter()
                .map(|(path, at)| references[*at].digest.is_none().then(|| resolver.beneath.stat(path)))
                .collect();
            for ((path, at), state) in some.iter().zip(states) {
                unresolved.extend(resolver.resolve(path, &references[*at], state)?);
            }
        }
        Ok(unresolved)
    }
}

struct Resolver<'a> {
    shared: &'a Shared,
    cut: Cut,
    beneath: Beneath,
    /// Whether a folder was where it is before the cut, as far as asked.
    folders: HashMap<Vec<u8>, bool>,
}

impl Resolver<'_> {
    fn resolve(
        &mut self,
        path: &[u8],
        reference: &Reference,
        state: Option<io::Result<Option<Stat>>>,
    ) -> Result<Option<Unresolved>> {
        let unresolved = |why| Ok(Some(Unresolved::new(reference.clone(), why)));
        if self.shared.filter.part_from_root(path, false) != filter::Part::Ours {
            return unresolved(Why::Unreadable(
                "it is left out of this node by `include` or `exclude`".to_owned(),
            ));
        }
        if self.choose_by_digest(path, reference)? {
            return Ok(None);
        }
        let stat = match state.unwrap_or_else(|| self.beneath.stat(path)) {
            Ok(Some(stat)) => stat,
            Ok(None) => return unresolved(self.absent(path)?),
            Err(error) if is_absent(&error) => return unresolved(self.absent(path)?),
            Err(error) => return unresolved(Why::Unreadable(error.to_string())),
        };
        if type_of(&stat) != FileType::RegularFile {
            return unresolved(Why::Unreadable(not_a_file(&stat).to_owned()));
        }
        match reference.digest {
            Some(_) => self.other_content(path, reference, &stat).map(Some),
            None => self.by_state(path, reference, &stat),
        }
    }

    fn choose_by_digest(&self, path: &[u8], reference: &Reference) -> Result<bool> {
        let Some(wanted) = reference.digest else { return Ok(false) };
        self.choose(path, |capture| capture.digest == wanted)
    }

    /// Chooses a capture that fits, the newest before others.
    fn choose(&self, path: &[u8], fits: impl Fn(&Capture) -> bool) -> Result<bool> {
        let mut memory = self.shared.memory();
        for (holder, capture) in memory.of(path)?.into_iter().rev().filter(|(_, capture)| fits(capture)) {
            if memory.choose(path, Choice { holder, id: capture.id })? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// There is a file, and no capture of it has the digest that is asked for.
    fn other_content(&self, path: &[u8], reference: &Reference, stat: &Stat) -> Result<Unresolved> {
        let state = Signature::of(stat);
        let differs = |digest| Ok(Unresolved::new(reference.clone(), Why::Differs(digest)));
        let memory = self.shared.memory();
        let captures = memory.of(path)?;
        match captures.iter().find(|(_, capture)| capture.stands_for(&state)) {
            Some((_, capture)) if Some(capture.digest) != reference.digest => differs(capture.digest),
            // That digest is there, and its place is taken by another that a reference needs.
            Some(_) => {
                let chosen = memory.chosen(path)?;
                let is_taken = |capture: &Capture| {
                    chosen.as_ref().is_some_and(|choice| choice.id == capture.id)
                        && Some(capture.digest) != reference.digest
                };
                match captures.iter().find(|(_, capture)| is_taken(capture)) {
                    Some((_, taken)) => differs(taken.digest),
                    None => Ok(self.late(path, reference, stat)),
                }
            }
            None => Ok(self.late(path, reference, stat)),
        }
    }

    fn by_state(&mut self, path: &[u8], reference: &Reference, stat: &Stat) -> Result<Option<Unresolved>> {
        let unsettled = || Ok(Some(Unresolved::new(reference.clone(), Why::Unsettled)));
        let state = Signature::of(stat);
        let clock = self.shared.root.clock;
        // Stamps of another machine, or of a file system that we don't know, prove nothing.
        if clock == Clock::Remote {
            return unsettled();
        }
        let as_of_the_cut = self.cut.locked
            || (clock.is_before(self.cut.not_before, state.ctime) && self.was_there(split(path).0)?);
        if !as_of_the_cut {
            return unsettled();
        }
        if self.choose(path, |capture| capture.stands_for(&state) && self.tells_of_the_cut(capture))? {
            return Ok(None);
        }
        let taken = self.shared.memory().chosen(path)?.is_some();
        // Another reference has proved, by its digest, that the content at the cut was another.
        if taken { unsettled() } else { Ok(Some(self.late(path, reference, stat))) }
    }

    /// Point 2 rests on stamps. Who had the file open at its capture could write without one before that.
    fn tells_of_the_cut(&self, capture: &Capture) -> bool {
        self.cut.locked || capture.told_since.is_none_or(|since| since < self.cut.not_before)
    }

    /// Point 3: whether `folder` is the one that was there under that path before the cut.
    fn was_there(&mut self, folder: &[u8]) -> Result<bool> {
        if let Some(known) = self.folders.get(folder) {
            return Ok(*known);
        }
        let mut all = true;
        for path in ancestors(folder).chain([folder]).filter(|path| !path.is_empty()) {
            let found = self.beneath.folder(path).and_then(|fd| fstat(fd).map_err(Into::into));
            all &= match found {
                Ok(stat) => self.is_same_folder(path, &stat)?,
                Err(_) => false,
            };
        }
        self.folders.insert(folder.to_vec(), all);
        Ok(all)
    }

    fn is_same_folder(&self, path: &[u8], stat: &Stat) -> Result<bool> {
        let memory = self.shared.memory();
        let known = memory.other(path)?.filter(|other| other.pass == memory.pass).map(|other| other.what);
        drop(memory);
        let as_seen =
            matches!(known, Some(OtherKind::Folder { inode, .. }) if inode == (stat.st_dev, stat.st_ino));
        Ok(as_seen || self.shared.root.clock.is_before(self.cut.not_before, Stamp::ctime(stat)))
    }

    fn absent(&self, path: &[u8]) -> Result<Why> {
        Ok(if self.shared.memory().was_seen(path)? { Why::Unsettled } else { Why::Missing })
    }

    fn late(&self, path: &[u8], reference: &Reference, stat: &Stat) -> Unresolved {
        let unresolved = Unresolved::new(reference.clone(), Why::Unsettled);
        match part_name(path) {
            Ok(name) => unresolved.with_part(Part::new(name).with_size(stat.st_size.max(0) as u64)),
            Err(error) => Unresolved::new(reference.clone(), Why::Unreadable(error.to_string())),
        }
    }
}

impl Shared {
    fn cut(&self) -> Result<Cut> {
        let cut = *self.cut.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        cut.ok_or_else(|| Error::defect("references are resolved on what is not pinned"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_could_lead_out_are_refused() {
        for key in ["/etc/passwd", "../x", "a/../b", "a/..", "", ".", "./", "a/", "a/.", "a\0b"] {
            assert!(path_of_key(key.as_bytes()).is_err(), "{key}");
        }
        for (key, path) in [("a", "a"), ("./a", "a"), ("a//b", "a/b"), ("a/./b", "a/b"), ("..a", "..a")] {
            assert_eq!(path_of_key(key.as_bytes()).unwrap(), path.as_bytes());
        }
    }
}
