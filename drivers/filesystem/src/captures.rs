//! What a dump knows of the folder: what each pass saw, what was captured of it, and which capture was chosen.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dumprestore_driver::{CaptureId, Digest};

use crate::entry::Meta;
use crate::filter::Part;
use crate::state::{Signature, Stamp};

/// A relative path, shared.
pub(crate) type Path = Arc<[u8]>;

/// One reading of one file that is in the archive.
#[derive(Debug, Clone)]
pub(crate) struct Capture {
    pub(crate) id: CaptureId,
    pub(crate) digest: Digest,
    /// The state of the file when it was read; equal before and after.
    pub(crate) signature: Signature,
    /// Whether a change since the reading would surely have made it another state. If not, it may have been changed
    /// within the same tick of the clock.
    pub(crate) is_proof: bool,
    /// If a change would have shown only since then.
    pub(crate) told_since: Option<Stamp>,
    /// Whether it is one whole state of the file. If not, it is of use only to who knows its digest.
    pub(crate) is_sure: bool,
    pub(crate) sparse: bool,
    pub(crate) meta: Meta,
}

impl Capture {
    /// Whether the content is that of any file in this state.
    pub(crate) fn stands_for(&self, state: &Signature) -> bool {
        self.is_proof && self.is_sure && self.signature == *state
    }
}

/// What is known of the file at one path.
#[derive(Debug)]
pub(crate) struct File {
    /// The pass that saw it last; 0 if none did.
    pub(crate) pass: u32,
    /// Device and inode of what that pass saw.
    inode: (u64, u64),
    /// Where it is a further name of a file that the same pass came by before.
    pub(crate) twin: Option<Box<Twin>>,
    /// Captures under this path, the newest last.
    pub(crate) captures: Vec<Capture>,
}

/// Another name of the same file.
#[derive(Debug)]
pub(crate) struct Twin {
    path: Path,
    /// Device and inode of both.
    inode: (u64, u64),
}

/// A folder or a symbolic link.
#[derive(Debug, Clone)]
pub(crate) struct Other {
    pub(crate) pass: u32,
    pub(crate) meta: Meta,
    pub(crate) what: OtherKind,
}

#[derive(Debug, Clone)]
pub(crate) enum OtherKind {
    Folder { dev: u64, ino: u64, part: Part },
    Symlink(Box<[u8]>),
}

/// A capture, by the path it was made under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) holder: Path,
    pub(crate) id: CaptureId,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Captures {
    /// Counts from 1.
    pub(crate) pass: u32,
    pub(crate) files: HashMap<Path, File>,
    pub(crate) others: HashMap<Path, Other>,
    /// Files with several names, by device and inode: the name that this pass saw first.
    first_names: HashMap<(u64, u64), (Path, u32)>,
    /// Those of them that had further names, in any pass.
    shared_paths: HashSet<Path>,
    /// What references were resolved to, by the path that they name.
    chosen: HashMap<Path, Choice>,
    /// The same by the path that holds the capture: an archive has one part of a name.
    claimed: HashMap<Path, CaptureId>,
    /// Readings that were torn in this pass, by path.
    torn: HashMap<Path, u32>,
}

impl Captures {
    pub(crate) fn begin_pass(&mut self) {
        self.pass += 1;
        self.torn.clear();
        self.forget_choices();
    }

    pub(crate) fn forget_choices(&mut self) {
        self.chosen.clear();
        self.claimed.clear();
    }

    /// Notes a file that a pass came by, and answers whether it has to be read.
    pub(crate) fn see_file(&mut self, path: &[u8], state: Signature, links: u64) -> bool {
        let path = self.shared(path);
        let twin = if links > 1 { self.first_name(&path, &state) } else { None };
        let pass = self.pass;
        let file = self.files.entry(path).or_insert_with(File::unseen);
        file.pass = pass;
        file.inode = state.inode();
        file.twin = twin.map(|path| Box::new(Twin { path, inode: state.inode() }));
        file.twin.is_none() && !file.captures.iter().any(|capture| capture.stands_for(&state))
    }

    fn first_name(&mut self, path: &Path, state: &Signature) -> Option<Path> {
        let first = self.first_names.entry(state.inode()).or_insert_with(|| (path.clone(), self.pass));
        if first.1 == self.pass && first.0 != *path {
            let first = first.0.clone();
            self.shared_paths.insert(first.clone());
            return Some(first);
        }
        *first = (path.clone(), self.pass);
        None
    }

    pub(crate) fn see_other(&mut self, path: &[u8], meta: Meta, what: OtherKind) {
        let other = Other { pass: self.pass, meta, what };
        match self.others.get_mut(path) {
            Some(known) => *known = other,
            None => {
                self.others.insert(path.into(), other);
            }
        }
    }

    /// Notes a folder that no pass came by: of use for the list, and no proof of where it was at the cut.
    pub(crate) fn know_late_folder(&mut self, path: &[u8], meta: Meta, what: OtherKind) {
        self.others.insert(path.into(), Other { pass: 0, meta, what });
    }

    /// Keeps a capture. One of the same content is replaced: the newer says more.
    pub(crate) fn keep(&mut self, path: &[u8], mut capture: Capture) {
        let path = self.shared(path);
        self.torn.remove(&path);
        let in_use = self.claimed.get(&path).copied();
        let file = self.files.entry(path).or_insert_with(File::unseen);
        // The same bytes were a whole state once.
        capture.is_sure |= file.captures.iter().any(|old| old.is_sure && old.digest == capture.digest);
        file.captures.retain(|old| old.digest != capture.digest || Some(old.id) == in_use);
        file.captures.reserve_exact(1);
        file.captures.push(capture);
    }

    /// Counts a torn reading, and answers how many there were in this pass.
    pub(crate) fn count_torn(&mut self, path: &[u8]) -> u32 {
        let path = self.shared(path);
        let count = self.torn.entry(path).or_default();
        *count += 1;
        *count
    }

    pub(crate) fn torn(&self, path: &[u8]) -> u32 {
        self.torn.get(path).copied().unwrap_or_default()
    }

    /// One allocation for each path, however many maps it is in.
    fn shared(&self, path: &[u8]) -> Path {
        match self.files.get_key_value(path) {
            Some((path, _)) => path.clone(),
            None => path.into(),
        }
    }

    /// All captures that may be the content of the file at `path`, with the paths that hold them: its own, and those
    /// made under another name of the same inode.
    pub(crate) fn of<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = (&'a Path, &'a Capture)> {
        let file = self.files.get_key_value(path);
        let own =
            file.into_iter().flat_map(|(key, file)| file.captures.iter().map(move |capture| (key, capture)));
        let twin = file.and_then(|(_, file)| {
            let twin = file.twin.as_ref()?;
            let (holder, first) = self.files.get_key_value(&twin.path)?;
            Some((holder, first, twin.inode))
        });
        let shared = twin.into_iter().flat_map(|(holder, first, inode)| {
            let same = first.captures.iter().filter(move |capture| capture.signature.inode() == inode);
            same.map(move |capture| (holder, capture))
        });
        own.chain(shared)
    }

    /// Makes a capture the content of the file at `path`, unless the path, or the name of the part, is taken by
    /// another. Answers whether it is.
    pub(crate) fn choose(&mut self, path: &[u8], choice: Choice) -> bool {
        if let Some(chosen) = self.chosen.get(path) {
            return *chosen == choice;
        }
        if self.claimed.get(&choice.holder).is_some_and(|claimed| *claimed != choice.id) {
            return false;
        }
        let path = self.shared(path);
        self.claimed.insert(choice.holder.clone(), choice.id);
        self.chosen.insert(path, choice);
        true
    }

    pub(crate) fn chosen(&self, path: &[u8]) -> Option<&Choice> {
        self.chosen.get(path)
    }

    /// Whether this pass came by that very file at `path` before: it was read, or is yet to be.
    pub(crate) fn has_seen(&self, path: &[u8], inode: (u64, u64)) -> bool {
        self.files.get(path).is_some_and(|file| file.pass == self.pass && file.inode == inode)
    }

    /// Whether the last pass came by a file at `path`.
    pub(crate) fn was_seen(&self, path: &[u8]) -> bool {
        self.files.get(path).is_some_and(|file| file.pass == self.pass)
    }

    /// Whether the file at `path` is of this dump: there in the last pass, or referred to.
    pub(crate) fn is_wanted(&self, path: &[u8], file: &File) -> bool {
        file.pass == self.pass || self.chosen.contains_key(path)
    }

    /// The capture that becomes the content of the file at `path`: that which references were resolved to, else the
    /// newest. `None` if there is none, or if the name of its part is taken by another.
    pub(crate) fn pick(&self, path: &[u8]) -> Option<(&Path, &Capture)> {
        if let Some(choice) = self.chosen.get(path) {
            return self.find(&choice.holder, choice.id);
        }
        let (key, file) = self.files.get_key_value(path)?;
        if let Some(picked) = self.pick_from_twin(file) {
            return Some(picked);
        }
        match self.claimed.get(path) {
            // Another name of what this path once was needs that content: it was this path's as well.
            Some(claimed) => self.find(key, *claimed),
            None => file.captures.iter().rfind(|capture| capture.is_sure).map(|capture| (key, capture)),
        }
    }

    fn pick_from_twin(&self, file: &File) -> Option<(&Path, &Capture)> {
        let Twin { path: twin, inode } = &**file.twin.as_ref()?;
        let first = self.files.get(twin)?;
        let picked = if self.is_wanted(twin, first) || self.claimed.contains_key(twin) {
            self.pick(twin)
        } else {
            let same =
                first.captures.iter().rfind(|capture| capture.is_sure && capture.signature.inode() == *inode);
            self.files.get_key_value(twin).map(|(key, _)| key).zip(same)
        };
        picked.filter(|(_, capture)| capture.signature.inode() == *inode)
    }

    /// The capture of that name under that path.
    pub(crate) fn find(&self, holder: &[u8], id: CaptureId) -> Option<(&Path, &Capture)> {
        let (key, file) = self.files.get_key_value(holder)?;
        file.captures.iter().find(|capture| capture.id == id).map(|capture| (key, capture))
    }

    pub(crate) fn find_size(&self, holder: &[u8], id: CaptureId) -> u64 {
        self.find(holder, id).map_or(0, |(_, capture)| capture.signature.size)
    }

    /// Whether the file at `path` was seen under other names as well.
    pub(crate) fn is_shared(&self, path: &[u8]) -> bool {
        self.shared_paths.contains(path)
    }
}

impl File {
    fn unseen() -> Self {
        Self { pass: 0, inode: (0, 0), twin: None, captures: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ino: u64, ctime: i64) -> Signature {
        let time = Stamp { seconds: ctime, nanos: 1 };
        Signature { dev: 1, ino, size: 1, mtime: time, ctime: time }
    }

    fn capture(id: u64, signature: Signature, is_proof: bool) -> Capture {
        let meta = Meta { mode: 0, uid: 0, gid: 0, mtime: signature.mtime, xattrs: None };
        let digest = Digest::new([id as u8; 32]);
        Capture {
            id: CaptureId(id),
            digest,
            signature,
            is_proof,
            told_since: None,
            is_sure: true,
            sparse: false,
            meta,
        }
    }

    #[test]
    fn a_racily_clean_capture_is_made_again_by_the_next_pass() {
        let mut captures = Captures::default();
        captures.begin_pass();
        assert!(captures.see_file(b"f", state(7, 100), 1));
        captures.keep(b"f", capture(1, state(7, 100), false));
        captures.begin_pass();
        assert!(captures.see_file(b"f", state(7, 100), 1));
        captures.keep(b"f", capture(2, state(7, 100), true));
        captures.begin_pass();
        assert!(!captures.see_file(b"f", state(7, 100), 1));
        assert!(captures.see_file(b"f", state(7, 101), 1));
    }

    #[test]
    fn a_name_that_one_capture_was_chosen_for_takes_no_other() {
        let mut captures = Captures::default();
        captures.begin_pass();
        captures.see_file(b"a", state(7, 100), 2);
        captures.see_file(b"b", state(7, 100), 2);
        captures.keep(b"a", capture(1, state(7, 100), true));
        captures.keep(b"a", capture(2, state(8, 200), true));
        let choice = |id| Choice { holder: b"a"[..].into(), id: CaptureId(id) };
        // `b` is another name of what `a` was: its content lies under the name of `a`.
        assert_eq!(captures.of(b"b").map(|(_, capture)| capture.id.0).collect::<Vec<_>>(), [1]);
        assert!(captures.choose(b"b", choice(1)));
        assert!(!captures.choose(b"a", choice(2)), "an archive has one part of a name");
        assert!(captures.choose(b"a", choice(1)));
        captures.forget_choices();
        assert!(captures.choose(b"a", choice(2)));
        assert!(captures.pick(b"b").is_none(), "its content must be read anew, under its own name");
    }
}
