//! What a dump knows of the folder: what each pass saw, what was captured of it, and which capture was chosen.

use std::collections::HashMap;
use std::path::PathBuf;

use dumprestore_driver::{CaptureId, Digest, Result};
use serde::{Deserialize, Serialize};

use crate::entry::Meta;
use crate::filter::Part;
use crate::state::{Signature, Stamp};
use dumprestore_scratch::{Scratch, Table};

/// A relative path.
pub(crate) type Path = Vec<u8>;

/// One reading of one file that is in the archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct File {
    /// The pass that saw it last; 0 if none did.
    pub(crate) pass: u32,
    /// Device and inode of what that pass saw.
    inode: (u64, u64),
    /// Where it is a further name of a file that the same pass came by before: that name.
    pub(crate) twin: Option<Path>,
    /// Captures under this path, the newest last.
    pub(crate) captures: Vec<Capture>,
}

/// A folder or a symbolic link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Other {
    pub(crate) pass: u32,
    pub(crate) meta: Meta,
    pub(crate) what: OtherKind,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum OtherKind {
    /// With its state before it was listed, if that would have told of any change since.
    Folder {
        inode: (u64, u64),
        part: Part,
        listed: Option<Signature>,
    },
    Symlink(Path),
}

impl OtherKind {
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder { .. })
    }
}

/// A capture, by the path it was made under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Choice {
    pub(crate) holder: Path,
    pub(crate) id: CaptureId,
}

/// What holds only until it is forgotten.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Of<T>(u32, T);

/// So many files that are torn are told apart. Of any further one it is not waited that it comes to rest.
const MOST_TORN_FILES: usize = 20_000;

/// All of it. What may be as many as there are files lies in tables; nothing else may grow with them.
#[derive(Debug)]
pub(crate) struct Captures {
    /// Counts from 1.
    pub(crate) pass: u32,
    /// Counts the cuts that something was chosen for.
    cut: u32,
    scratch: Scratch,
    files: Table<File>,
    others: Table<Other>,
    /// Files with several names, by device and inode: the name that this pass saw first.
    first_names: Table<Of<Path>>,
    /// Those of them that had further names, in any pass.
    shared_paths: Table<()>,
    /// What references were resolved to, by the path that they name.
    chosen: Table<Of<Choice>>,
    /// The same by the path that holds the capture: an archive has one part of a name.
    claimed: Table<Of<u64>>,
    /// The path that a part with several names was listed under first.
    listed: Table<Of<Path>>,
    lists: u32,
    /// Readings that were torn in this pass, by path.
    torn: HashMap<Path, u32>,
}

/// A path as a key. The order of keys is that of a tree written out: `/` before all other bytes.
pub(crate) fn key_of(path: &[u8]) -> Path {
    // No path has a NUL in it.
    path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect()
}

/// The path of a key.
pub(crate) fn path_of(key: &[u8]) -> Path {
    key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte }).collect()
}

fn key_of_inode((dev, ino): (u64, u64)) -> [u8; 16] {
    ((u128::from(dev) << 64) | u128::from(ino)).to_be_bytes()
}

impl Captures {
    /// Nothing yet; what becomes too much for memory goes to `scratch`.
    pub(crate) fn new(scratch: PathBuf) -> Self {
        Self {
            pass: 0,
            cut: 0,
            scratch: Scratch::new(scratch),
            files: Table::new("files"),
            others: Table::new("others"),
            first_names: Table::new("first names"),
            shared_paths: Table::new("shared paths"),
            chosen: Table::new("chosen"),
            claimed: Table::new("claimed"),
            listed: Table::new("listed"),
            lists: 0,
            torn: HashMap::new(),
        }
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    pub(crate) fn begin_pass(&mut self) {
        self.pass += 1;
        self.torn.clear();
        self.forget_choices();
    }

    pub(crate) fn forget_choices(&mut self) {
        self.cut += 1;
    }

    /// Notes a file that a pass came by, and answers whether it has to be read.
    ///
    /// # Errors
    /// As everything here: if the scratch file can't be used.
    pub(crate) fn see_file(&mut self, path: &[u8], state: Signature, links: u64) -> Result<bool> {
        let twin = if links > 1 { self.first_name(path, &state)? } else { None };
        let pass = self.pass;
        let file = self.files.entry(&mut self.scratch, &key_of(path), File::unseen)?;
        file.pass = pass;
        file.inode = state.inode();
        file.twin = twin;
        Ok(file.twin.is_none() && !file.captures.iter().any(|capture| capture.stands_for(&state)))
    }

    fn first_name(&mut self, path: &[u8], state: &Signature) -> Result<Option<Path>> {
        let new = || Of(0, Path::new());
        let first = self.first_names.entry(&mut self.scratch, &key_of_inode(state.inode()), new)?;
        if first.0 == self.pass && first.1 != path {
            let first = first.1.clone();
            self.shared_paths.insert(&mut self.scratch, &key_of(&first), ())?;
            return Ok(Some(first));
        }
        *first = Of(self.pass, path.to_vec());
        Ok(None)
    }

    pub(crate) fn see_other(&mut self, path: &[u8], meta: Meta, what: OtherKind) -> Result<()> {
        let other = Other { pass: self.pass, meta, what };
        self.others.insert(&mut self.scratch, &key_of(path), other)
    }

    /// Notes a folder that no pass came by: of use for the list, and no proof of where it was at the cut.
    pub(crate) fn know_late_folder(&mut self, path: &[u8], meta: Meta, what: OtherKind) -> Result<()> {
        self.others.insert(&mut self.scratch, &key_of(path), Other { pass: 0, meta, what })
    }

    pub(crate) fn other(&self, path: &[u8]) -> Result<Option<Other>> {
        self.others.get(&self.scratch, &key_of(path))
    }

    /// Keeps a capture. One of the same content is replaced: the newer says more.
    pub(crate) fn keep(&mut self, path: &[u8], mut capture: Capture) -> Result<()> {
        self.torn.remove(path);
        let in_use = self.claimed(path)?;
        let file = self.files.entry(&mut self.scratch, &key_of(path), File::unseen)?;
        // The same bytes were a whole state once.
        capture.is_sure |= file.captures.iter().any(|old| old.is_sure && old.digest == capture.digest);
        file.captures.retain(|old| old.digest != capture.digest || Some(old.id) == in_use);
        file.captures.reserve_exact(1);
        file.captures.push(capture);
        Ok(())
    }

    /// Counts a torn reading, and answers how many there were in this pass.
    pub(crate) fn count_torn(&mut self, path: &[u8]) -> u32 {
        if self.torn.len() >= MOST_TORN_FILES && !self.torn.contains_key(path) {
            return u32::MAX;
        }
        let count = self.torn.entry(path.to_vec()).or_default();
        *count += 1;
        *count
    }

    pub(crate) fn torn(&self, path: &[u8]) -> u32 {
        self.torn.get(path).copied().unwrap_or_default()
    }

    /// All captures that may be the content of the file at `path`, with the paths that hold them: its own, and those
    /// made under another name of the same inode.
    pub(crate) fn of(&self, path: &[u8]) -> Result<Vec<(Path, Capture)>> {
        let Some(file) = self.file(path)? else { return Ok(Vec::new()) };
        let mut found: Vec<_> = file.captures.into_iter().map(|capture| (path.to_vec(), capture)).collect();
        if let Some(twin) = file.twin {
            let first = self.file(&twin)?.map(|first| first.captures).unwrap_or_default();
            let same = first.into_iter().filter(|capture| capture.signature.inode() == file.inode);
            found.extend(same.map(|capture| (twin.clone(), capture)));
        }
        Ok(found)
    }

    fn file(&self, path: &[u8]) -> Result<Option<File>> {
        self.files.get(&self.scratch, &key_of(path))
    }

    /// Makes a capture the content of the file at `path`, unless the path, or the name of the part, is taken by
    /// another. Answers whether it is.
    pub(crate) fn choose(&mut self, path: &[u8], choice: Choice) -> Result<bool> {
        if let Some(chosen) = self.chosen(path)? {
            return Ok(chosen == choice);
        }
        if self.claimed(&choice.holder)?.is_some_and(|claimed| claimed != choice.id) {
            return Ok(false);
        }
        let claim = Of(self.cut, choice.id.0);
        self.claimed.insert(&mut self.scratch, &key_of(&choice.holder), claim)?;
        self.chosen.insert(&mut self.scratch, &key_of(path), Of(self.cut, choice))?;
        Ok(true)
    }

    pub(crate) fn chosen(&self, path: &[u8]) -> Result<Option<Choice>> {
        let chosen = self.chosen.get(&self.scratch, &key_of(path))?;
        Ok(chosen.filter(|chosen| chosen.0 == self.cut).map(|chosen| chosen.1))
    }

    fn claimed(&self, holder: &[u8]) -> Result<Option<CaptureId>> {
        let claimed = self.claimed.get(&self.scratch, &key_of(holder))?;
        Ok(claimed.filter(|claimed| claimed.0 == self.cut).map(|claimed| CaptureId(claimed.1)))
    }

    /// Whether this pass came by that very file at `path` before: it was read, or is yet to be.
    pub(crate) fn has_seen(&self, path: &[u8], inode: (u64, u64)) -> Result<bool> {
        Ok(self.file(path)?.is_some_and(|file| file.pass == self.pass && file.inode == inode))
    }

    /// Whether the last pass came by a file at `path`.
    pub(crate) fn was_seen(&self, path: &[u8]) -> Result<bool> {
        Ok(self.file(path)?.is_some_and(|file| file.pass == self.pass))
    }

    /// Whether the file at `path` is of this dump: there in the last pass, or referred to.
    pub(crate) fn is_wanted(&self, path: &[u8], file: &File) -> Result<bool> {
        Ok(file.pass == self.pass || self.chosen(path)?.is_some())
    }

    /// Whether this dump has something for the file at `path`.
    pub(crate) fn holds(&self, path: &[u8]) -> Result<bool> {
        match self.file(path)? {
            Some(file) if self.is_wanted(path, &file)? => Ok(self.pick(path, file)?.is_some()),
            _ => Ok(false),
        }
    }

    /// The capture that becomes the content of the file at `path`: that which references were resolved to, else the
    /// newest. `None` if there is none, or if the name of its part is taken by another.
    pub(crate) fn pick(&self, path: &[u8], file: File) -> Result<Option<(Path, Capture)>> {
        if let Some(choice) = self.chosen(path)? {
            return self.find(choice.holder, choice.id);
        }
        if let Some(picked) = self.pick_from_twin(&file)? {
            return Ok(Some(picked));
        }
        match self.claimed(path)? {
            // Another name of what this path once was needs that content: it was this path's as well.
            Some(claimed) => self.find(path.to_vec(), claimed),
            None => {
                let newest = file.captures.into_iter().rfind(|capture| capture.is_sure);
                Ok(newest.map(|capture| (path.to_vec(), capture)))
            }
        }
    }

    fn pick_from_twin(&self, file: &File) -> Result<Option<(Path, Capture)>> {
        let Some(twin) = &file.twin else { return Ok(None) };
        let Some(first) = self.file(twin)? else { return Ok(None) };
        let is_same = |capture: &Capture| capture.signature.inode() == file.inode;
        let picked = if self.is_wanted(twin, &first)? || self.claimed(twin)?.is_some() {
            self.pick(twin, first)?
        } else {
            let same = first.captures.into_iter().rfind(|capture| capture.is_sure && is_same(capture));
            same.map(|capture| (twin.clone(), capture))
        };
        Ok(picked.filter(|(_, capture)| is_same(capture)))
    }

    /// The capture of that name under that path.
    fn find(&self, holder: Path, id: CaptureId) -> Result<Option<(Path, Capture)>> {
        let captures = self.file(&holder)?.map(|file| file.captures).unwrap_or_default();
        Ok(captures.into_iter().find(|capture| capture.id == id).map(|capture| (holder, capture)))
    }

    /// Whether the file at `path` was seen under other names as well.
    pub(crate) fn is_shared(&self, path: &[u8]) -> Result<bool> {
        Ok(self.shared_paths.get(&self.scratch, &key_of(path))?.is_some())
    }

    pub(crate) fn begin_list(&mut self) {
        self.lists += 1;
    }

    /// The path that this list named before as one of the file held at `holder`; if there is none, `path` is it.
    pub(crate) fn first_listed(&mut self, holder: &[u8], path: &[u8]) -> Result<Option<Path>> {
        let lists = self.lists;
        let first = self.listed.entry(&mut self.scratch, &key_of(holder), || Of(0, Path::new()))?;
        if first.0 == lists {
            return Ok(Some(first.1.clone()));
        }
        *first = Of(lists, path.to_vec());
        Ok(None)
    }

    /// Some files after that path, in the order of the tree.
    pub(crate) fn files_after(&mut self, after: Option<&[u8]>) -> Result<Vec<(Path, File)>> {
        some_after(&mut self.files, &mut self.scratch, after)
    }

    /// Some folders and links after that path, in the order of the tree.
    pub(crate) fn others_after(&mut self, after: Option<&[u8]>) -> Result<Vec<(Path, Other)>> {
        some_after(&mut self.others, &mut self.scratch, after)
    }
}

fn some_after<V: Clone + Serialize + serde::de::DeserializeOwned>(
    table: &mut Table<V>,
    scratch: &mut Scratch,
    after: Option<&[u8]>,
) -> Result<Vec<(Path, V)>> {
    const AT_ONCE: usize = 500;
    let after = after.map(key_of);
    let found = table.some_after(scratch, after.as_deref(), AT_ONCE)?;
    Ok(found.into_iter().map(|(key, value)| (path_of(&key), value)).collect())
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
        let mut captures = Captures::new(std::env::temp_dir());
        captures.begin_pass();
        assert!(captures.see_file(b"f", state(7, 100), 1).unwrap());
        captures.keep(b"f", capture(1, state(7, 100), false)).unwrap();
        captures.begin_pass();
        assert!(captures.see_file(b"f", state(7, 100), 1).unwrap());
        captures.keep(b"f", capture(2, state(7, 100), true)).unwrap();
        captures.begin_pass();
        assert!(!captures.see_file(b"f", state(7, 100), 1).unwrap());
        assert!(captures.see_file(b"f", state(7, 101), 1).unwrap());
    }

    #[test]
    fn a_name_that_one_capture_was_chosen_for_takes_no_other() {
        let mut captures = Captures::new(std::env::temp_dir());
        captures.begin_pass();
        captures.see_file(b"a", state(7, 100), 2).unwrap();
        captures.see_file(b"b", state(7, 100), 2).unwrap();
        captures.keep(b"a", capture(1, state(7, 100), true)).unwrap();
        captures.keep(b"a", capture(2, state(8, 200), true)).unwrap();
        let choice = |id| Choice { holder: b"a".to_vec(), id: CaptureId(id) };
        // `b` is another name of what `a` was: its content lies under the name of `a`.
        assert_eq!(
            captures.of(b"b").unwrap().iter().map(|(_, capture)| capture.id.0).collect::<Vec<_>>(),
            [1]
        );
        assert!(captures.choose(b"b", choice(1)).unwrap());
        assert!(!captures.choose(b"a", choice(2)).unwrap(), "an archive has one part of a name");
        assert!(captures.choose(b"a", choice(1)).unwrap());
        captures.forget_choices();
        assert!(captures.choose(b"a", choice(2)).unwrap());
        assert!(!captures.holds(b"b").unwrap(), "its content must be read anew, under its own name");
    }
}
