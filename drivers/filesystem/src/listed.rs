//! What goes into the archive, once the references are certified: the parts, and the tree that names them.
//!
//! Both are made in one go through what is known, in the order of the tree, and lie in scratch files until they are
//! asked for.

use std::collections::VecDeque;
use std::fs::File as ScratchFile;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use dumprestore_driver::{CaptureId, Error, Part, PartName, PartWriter, Result, Weight};
use rustix::fs::{FileType, fstat};
use serde::{Deserialize, Serialize};

use crate::captures::{Capture, Captures, File, Other, OtherKind, Path};
use crate::entry::{Entry, FileContent, Kind, Meta, TREE, part_name};
use crate::filter;
use crate::listing::open_quietly;
use crate::path::{ancestors, in_tree_order, is_below, shown};
use crate::root::error_at;
use crate::snapshot::Shared;
use crate::state::{Stamp, type_of};
use crate::xattr;

/// One entry of the tree that will be.
struct Item {
    path: Path,
    what: ItemKind,
}

enum ItemKind {
    /// A file with a capture, which was made under that path.
    File {
        holder: Path,
        capture: Capture,
    },
    /// A file whose only capture went under a name that another file needs: it is dumped now.
    Late {
        size: u64,
        meta: Meta,
    },
    Other(Other),
    /// A folder that no pass came by; what is in it did not tell more of it.
    Unknown,
}

impl Item {
    fn is_folder(&self) -> bool {
        match &self.what {
            ItemKind::Other(other) => other.what.is_folder(),
            ItemKind::Unknown => true,
            ItemKind::File { .. } | ItemKind::Late { .. } => false,
        }
    }
}

/// The list, in scratch files.
#[derive(Debug)]
pub(crate) struct Listed {
    /// As it goes into the archive.
    tree: ScratchFile,
    pub(crate) rows: u64,
    /// One [`PartLine`] after the other.
    parts: ScratchFile,
}

#[derive(Serialize, Deserialize)]
struct PartLine {
    path: Path,
    size: u64,
    captured: Option<CaptureId>,
}

/// Lists everything, in the order of the tree.
///
/// # Errors
/// If references need a file and something below it, both; or if the scratch files can't be used.
pub(crate) fn list(shared: &Shared) -> Result<Listed> {
    shared.judge_unread();
    let mut memory = shared.memory();
    memory.begin_list();
    let (tree, parts) = (memory.scratch().file()?, memory.scratch().file()?);
    let mut lister = Lister {
        shared,
        tree: BufWriter::with_capacity(128 * 1024, tree),
        parts: BufWriter::with_capacity(128 * 1024, parts),
        rows: 0,
        held: None,
        open: Vec::new(),
    };
    let (mut files, mut others) = (Cursor::new(), Cursor::new());
    loop {
        shared.cancel.check()?;
        let file = files.peek(|after| memory.files_after(after))?;
        let other = others.peek(|after| memory.others_after(after))?;
        let order = match (file, other) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(file), Some(other)) => in_tree_order(file, other),
        };
        let file = if order.is_le() { files.next() } else { None };
        let other = if order.is_ge() { others.next() } else { None };
        if let Some(item) = lister.item(&mut memory, file, other)? {
            lister.take(&mut memory, item)?;
        }
    }
    lister.end(&mut memory)
}

/// What lies in a table, some at a time.
struct Cursor<V> {
    some: VecDeque<(Path, V)>,
    last: Option<Path>,
    is_over: bool,
}

impl<V> Cursor<V> {
    fn new() -> Self {
        Self { some: VecDeque::new(), last: None, is_over: false }
    }

    fn peek(&mut self, fetch: impl FnOnce(Option<&[u8]>) -> Result<Vec<(Path, V)>>) -> Result<Option<&[u8]>> {
        if self.some.is_empty() && !self.is_over {
            self.some = fetch(self.last.as_deref())?.into();
            self.last = self.some.back().map(|(path, _)| path.clone());
            self.is_over = self.some.is_empty();
        }
        Ok(self.some.front().map(|(path, _)| &path[..]))
    }

    fn next(&mut self) -> Option<(Path, V)> {
        self.some.pop_front()
    }
}

struct Lister<'a> {
    shared: &'a Shared,
    tree: BufWriter<ScratchFile>,
    parts: BufWriter<ScratchFile>,
    rows: u64,
    /// What is no folder is held back until it is known that nothing below it is needed.
    held: Option<Item>,
    /// The folders written last, each in the one before.
    open: Vec<Path>,
}

const NEWER: &str = "it is newer than what references need at this place";

impl Lister<'_> {
    /// What is listed of a path: the file that was there, or the folder or link; what references need before all.
    fn item(
        &self,
        memory: &mut Captures,
        file: Option<(Path, File)>,
        other: Option<(Path, Other)>,
    ) -> Result<Option<Item>> {
        // A folder that is only on the way to what is ours comes in with that.
        let on_the_way =
            |what: &OtherKind| matches!(what, OtherKind::Folder { part: filter::Part::Through, .. });
        let other = other.filter(|(path, other)| {
            other.pass == memory.pass && (path.is_empty() || !on_the_way(&other.what))
        });
        match (file, other) {
            (Some((path, file)), Some((_, other))) => match memory.chosen(&path)? {
                Some(_) => {
                    self.shared.note(&path, NEWER, Weight::Note);
                    self.file(memory, path, file)
                }
                None => Ok(Some(Item { path, what: ItemKind::Other(other) })),
            },
            (Some((path, file)), None) => self.file(memory, path, file),
            (None, Some((path, other))) => Ok(Some(Item { path, what: ItemKind::Other(other) })),
            (None, None) => Ok(None),
        }
    }

    fn file(&self, memory: &Captures, path: Path, file: File) -> Result<Option<Item>> {
        if !memory.is_wanted(&path, &file)? {
            return Ok(None);
        }
        let has_twin = file.twin.is_some();
        match memory.pick(&path, file)? {
            Some((holder, capture)) => Ok(Some(Item { path, what: ItemKind::File { holder, capture } })),
            None if has_twin => Ok(self.late(path)),
            // It could not be read: the ledger says why.
            None => Ok(None),
        }
    }

    fn late(&self, path: Path) -> Option<Item> {
        let looked = self.shared.root.beneath().parent(&path).and_then(|(folder, name)| {
            let fd = open_quietly(folder, name, rustix::fs::OFlags::NONBLOCK)?;
            let stat = fstat(&fd)?;
            Ok((stat, xattr::read(&fd, &mut Vec::new())?))
        });
        match looked {
            Ok((stat, xattrs)) if type_of(&stat) == FileType::RegularFile => {
                let (size, meta) = (stat.st_size.max(0) as u64, Meta::of(&stat, xattrs));
                Some(Item { path, what: ItemKind::Late { size, meta } })
            }
            _ => {
                self.shared.note(&path, "it vanished before it was read", Weight::NotRead);
                None
            }
        }
    }

    /// What references need goes before what was seen later above or below it.
    fn take(&mut self, memory: &mut Captures, item: Item) -> Result<()> {
        if let Some(held) = self.held.take() {
            if !is_below(&item.path, &held.path) {
                self.write(memory, held)?;
            } else {
                match (is_needed(memory, &held)?, is_needed(memory, &item)?) {
                    (true, true) => return Err(both_needed(&held, &item)),
                    (false, true) => self.shared.note(&held.path, NEWER, Weight::Note),
                    (_, false) => {
                        self.shared.note(&item.path, NEWER, Weight::Note);
                        self.held = Some(held);
                        return Ok(());
                    }
                }
            }
        }
        match item.is_folder() {
            true => self.write(memory, item),
            false => {
                self.held = Some(item);
                Ok(())
            }
        }
    }

    fn end(mut self, memory: &mut Captures) -> Result<Listed> {
        if let Some(held) = self.held.take() {
            self.write(memory, held)?;
        }
        let tree = self.tree.into_inner().map_err(|error| unwritten(error.into_error()))?;
        let parts = self.parts.into_inner().map_err(|error| unwritten(error.into_error()))?;
        Ok(Listed { tree, rows: self.rows, parts })
    }

    /// Writes an item, after the folders that it is in and that were not listed.
    fn write(&mut self, memory: &mut Captures, item: Item) -> Result<()> {
        while self.open.pop_if(|folder| !is_below(&item.path, folder)).is_some() {}
        // The root is open from the first item on, if it was listed at all.
        let known = self.open.last().map_or(0, Vec::len);
        for folder in ancestors(&item.path).filter(|folder| folder.len() > known) {
            let what = match memory.other(folder)? {
                Some(other) if other.what.is_folder() => ItemKind::Other(other),
                _ => ItemKind::Unknown,
            };
            self.write_line(memory, Item { path: folder.to_vec(), what })?;
            self.open.push(folder.to_vec());
        }
        if item.is_folder() {
            self.open.push(item.path.clone());
        }
        self.write_line(memory, item)
    }

    fn write_line(&mut self, memory: &mut Captures, item: Item) -> Result<()> {
        let (kind, meta) = match item.what {
            ItemKind::File { holder, capture } => self.content(memory, &item.path, holder, capture)?,
            ItemKind::Late { size, meta } => {
                self.write_part(PartLine { path: item.path.clone(), size, captured: None })?;
                (Kind::File(FileContent { size, part: None, sparse: false, late: true }), meta)
            }
            ItemKind::Other(Other { meta, what: OtherKind::Folder { .. }, .. }) => (Kind::Folder, meta),
            ItemKind::Other(Other { meta, what: OtherKind::Symlink(target), .. }) => {
                (Kind::Symlink(target), meta)
            }
            ItemKind::Unknown => {
                let why =
                    "it was gone before it was looked at: its owner, rights, attributes and time are made up";
                self.shared.note(&item.path, why, Weight::Degrades);
                let mtime = Stamp::now();
                (Kind::Folder, Meta { mode: 0o700, uid: 0, gid: 0, mtime, xattrs: None })
            }
        };
        let mut line = Entry { path: item.path, kind, meta }.to_line()?;
        line.push(b'\n');
        self.rows += 1;
        self.tree.write_all(&line).map_err(unwritten)
    }

    /// Several names of one file have one part, which need not come under any of them.
    fn content(
        &mut self,
        memory: &mut Captures,
        path: &[u8],
        holder: Path,
        capture: Capture,
    ) -> Result<(Kind, Meta)> {
        let is_elsewhere = holder != path;
        if (is_elsewhere || memory.is_shared(&holder)?)
            && let Some(first) = memory.first_listed(&holder, path)?
        {
            return Ok((Kind::HardLink(first), capture.meta));
        }
        let size = capture.signature.size;
        self.write_part(PartLine { path: holder.clone(), size, captured: Some(capture.id) })?;
        let part = is_elsewhere.then_some(holder);
        Ok((Kind::File(FileContent { size, part, sparse: capture.sparse, late: false }), capture.meta))
    }

    fn write_part(&mut self, part: PartLine) -> Result<()> {
        let line = postcard::to_allocvec(&part)
            .map_err(|error| Error::defect("can't write a part down").with_source(error))?;
        let length = (line.len() as u32).to_le_bytes();
        self.parts.write_all(&length).and_then(|()| self.parts.write_all(&line)).map_err(unwritten)
    }
}

fn unwritten(error: io::Error) -> Error {
    Error::io("can't write to a scratch file", error)
}

fn is_needed(memory: &Captures, item: &Item) -> Result<bool> {
    match item.what {
        ItemKind::File { .. } | ItemKind::Late { .. } => Ok(memory.chosen(&item.path)?.is_some()),
        ItemKind::Other(_) | ItemKind::Unknown => Ok(false),
    }
}

fn both_needed(above: &Item, below: &Item) -> Error {
    Error::environment("two references need a file, and another one below it")
        .with_context("file", shown(&above.path))
        .with_context("below", shown(&below.path))
        .with_hint("correct one of the rows")
}

/// A scratch file from its beginning, wherever others read or write it.
struct FromStart(Arc<Listed>, u64);

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.0.parts.read_at(buffer, self.1)?;
        self.1 += length as u64;
        Ok(length)
    }
}

/// The parts of the list, the tree last.
pub(crate) fn parts(listed: Arc<Listed>) -> Result<impl Iterator<Item = Result<Part>> + Send + 'static> {
    let tree = Part::new(PartName::new(TREE)?);
    let mut lines = BufReader::with_capacity(64 * 1024, FromStart(listed, 0));
    let files = std::iter::from_fn(move || next_part(&mut lines).transpose());
    Ok(files.chain(std::iter::once(Ok(tree))))
}

fn next_part(lines: &mut impl Read) -> Result<Option<Part>> {
    let unreadable = |error| Error::io("can't read a scratch file", error);
    let mut length = [0; 4];
    match lines.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read.map_err(unreadable)?,
    }
    let mut line = vec![0; u32::from_le_bytes(length) as usize];
    lines.read_exact(&mut line).map_err(unreadable)?;
    let line: PartLine = postcard::from_bytes(&line).map_err(|error| {
        Error::defect("a part that was written down can't be understood").with_source(error)
    })?;
    let part = Part::new(part_name(&line.path)?).with_size(line.size);
    Ok(Some(match line.captured {
        Some(id) => part.with_captured(id),
        None => part,
    }))
}

/// Writes the tree of a list.
pub(crate) fn write(shared: &Shared, listed: &Listed, out: &mut PartWriter<'_>) -> Result<()> {
    let fail = |error| error_at(&shared.root.path, "can't dump the tree", b"", error);
    let mut buffer = vec![0; 128 * 1024];
    let mut at = 0;
    loop {
        let length = listed.tree.read_at(&mut buffer, at).map_err(fail)?;
        if length == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..length]).map_err(fail)?;
        at += length as u64;
    }
}
