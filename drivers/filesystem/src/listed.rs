//! What goes into the archive, once the references are certified: the parts, and the tree that names them.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::Arc;

use dumprestore_driver::{CaptureId, Error, Part, PartName, PartWriter, Result};
use rustix::fs::{FileType, fstat};

use crate::captures::{Captures, OtherKind, Path};
use crate::entry::{Entry, FileContent, Kind, Meta, TREE, part_name};
use crate::filter;
use crate::ledger::Weight;
use crate::listing::open_quietly;
use crate::path::{ancestors, in_tree_order, is_below, shown};
use crate::root::error_at;
use crate::snapshot::Shared;
use crate::state::{Stamp, type_of};
use crate::xattr;

/// One entry of the tree that will be.
#[derive(Debug)]
pub(crate) struct Item {
    path: Path,
    what: ItemKind,
}

#[derive(Debug)]
enum ItemKind {
    /// A file with a capture, which was made under that path.
    File {
        holder: Path,
        id: CaptureId,
    },
    /// A file whose only capture went under a name that another file needs: it is dumped now.
    Late {
        size: u64,
        meta: Box<Meta>,
    },
    Other,
    /// A folder that no pass came by; what is in it did not tell more of it.
    Unknown,
}

/// Lists everything, in the order of the tree.
///
/// # Errors
/// If references need a file and something below it, both.
pub(crate) fn list(shared: &Shared) -> Result<Vec<Item>> {
    shared.judge_unread();
    let mut items = files(shared);
    let memory = shared.memory();
    items.extend(others(&memory));
    items.sort_unstable_by(|a, b| in_tree_order(&a.path, &b.path));
    let mut items = without_conflicts(shared, &memory, items)?;
    let missing = missing_folders(&memory, &items);
    items.extend(missing);
    items.sort_unstable_by(|a, b| in_tree_order(&a.path, &b.path));
    Ok(items)
}

fn files(shared: &Shared) -> Vec<Item> {
    let memory = shared.memory();
    let mut items = Vec::with_capacity(memory.files.len());
    let mut late = Vec::new();
    for (path, file) in memory.files.iter().filter(|(path, file)| memory.is_wanted(path, file)) {
        match memory.pick(path) {
            Some((holder, capture)) => {
                let what = ItemKind::File { holder: holder.clone(), id: capture.id };
                items.push(Item { path: path.clone(), what });
            }
            None if file.twin.is_some() => late.push(path.clone()),
            // It could not be read: the ledger says why.
            None => {}
        }
    }
    drop(memory);
    items.extend(late.into_iter().filter_map(|path| late_item(shared, path)));
    items
}

fn late_item(shared: &Shared, path: Path) -> Option<Item> {
    let looked = shared.root.beneath().parent(&path).and_then(|(folder, name)| {
        let fd = open_quietly(folder, name, rustix::fs::OFlags::NONBLOCK)?;
        let stat = fstat(&fd)?;
        Ok((stat, xattr::read(&fd, &mut Vec::new())?))
    });
    match looked {
        Ok((stat, xattrs)) if type_of(&stat) == FileType::RegularFile => {
            let what =
                ItemKind::Late { size: stat.st_size.max(0) as u64, meta: Box::new(Meta::of(&stat, xattrs)) };
            Some(Item { path, what })
        }
        _ => {
            shared.note(&path, "it vanished before it was read", Weight::NotRead);
            None
        }
    }
}

/// Folders and links of the last pass. A folder that is only on the way to what is ours comes in with that.
fn others(memory: &Captures) -> impl Iterator<Item = Item> + '_ {
    let now = memory.others.iter().filter(|(path, other)| {
        let on_the_way = matches!(other.what, OtherKind::Folder { part: filter::Part::Through, .. });
        other.pass == memory.pass && (!on_the_way || path.is_empty())
    });
    now.map(|(path, _)| Item { path: path.clone(), what: ItemKind::Other })
}

/// What references need goes before what was seen later under the same path, or above or below it.
fn without_conflicts(shared: &Shared, memory: &Captures, items: Vec<Item>) -> Result<Vec<Item>> {
    let is_needed =
        |item: &Item| !matches!(item.what, ItemKind::Other) && memory.chosen(&item.path).is_some();
    let is_folder = |item: &Item| match item.what {
        ItemKind::Other => {
            matches!(memory.others.get(&item.path), Some(o) if matches!(o.what, OtherKind::Folder { .. }))
        }
        _ => false,
    };
    let mut kept: Vec<Item> = Vec::with_capacity(items.len());
    for item in items {
        let above = kept.iter().rposition(|known| !is_folder(known)).filter(|at| {
            // Only the last entry that is no folder can be in the way: what follows it lies elsewhere.
            let known = &kept[*at];
            known.path == item.path || is_below(&item.path, &known.path)
        });
        let same = kept.last().is_some_and(|last| last.path == item.path);
        match above {
            None if !same => kept.push(item),
            // The folder that a needed file was replaced by, or the file that was replaced by a folder.
            None => replace_last(shared, &mut kept, item, &is_needed),
            Some(at) if is_needed(&kept[at]) && is_needed(&item) => {
                return Err(Error::environment("two references need a file, and another one below it")
                    .with_context("file", shown(&kept[at].path))
                    .with_context("below", shown(&item.path))
                    .with_hint("correct one of the rows"));
            }
            Some(at) if is_needed(&item) => {
                let left_out = kept.remove(at);
                shared.note(&left_out.path, NEWER, Weight::Note);
                kept.push(item);
            }
            Some(_) => shared.note(&item.path, NEWER, Weight::Note),
        }
    }
    Ok(kept)
}

const NEWER: &str = "it is newer than what references need at this place";

fn replace_last(shared: &Shared, kept: &mut Vec<Item>, item: Item, is_needed: &dyn Fn(&Item) -> bool) {
    if is_needed(&item) {
        kept.pop();
        shared.note(&item.path, NEWER, Weight::Note);
        kept.push(item);
    }
}

/// Folders that listed things are in, and that are not listed themselves.
fn missing_folders(memory: &Captures, items: &[Item]) -> Vec<Item> {
    let listed: HashSet<&[u8]> =
        items.iter().filter(|item| matches!(item.what, ItemKind::Other)).map(|item| &*item.path).collect();
    let mut missing: HashMap<Vec<u8>, Item> = HashMap::new();
    for item in items {
        for folder in ancestors(&item.path).filter(|folder| !listed.contains(folder)) {
            if !missing.contains_key(folder) {
                missing.insert(folder.to_vec(), folder_item(memory, folder));
            }
        }
    }
    missing.into_values().collect()
}

fn folder_item(memory: &Captures, folder: &[u8]) -> Item {
    match memory.others.get_key_value(folder) {
        Some((path, other)) if matches!(other.what, OtherKind::Folder { .. }) => {
            Item { path: path.clone(), what: ItemKind::Other }
        }
        _ => Item { path: folder.into(), what: ItemKind::Unknown },
    }
}

/// The parts of the list, the tree last.
pub(crate) fn parts(
    shared: Arc<Shared>,
    items: Arc<Vec<Item>>,
) -> Result<impl Iterator<Item = Result<Part>> + Send + 'static> {
    let tree = Part::new(PartName::new(TREE)?);
    // Several names of one file have one part, which need not come under any of them.
    let mut held_elsewhere = HashSet::new();
    let files = (0..items.len()).filter_map(move |at| match &items[at].what {
        ItemKind::File { holder, id } => {
            let shared_part = *holder != items[at].path || shared.memory().is_shared(holder);
            if shared_part && !held_elsewhere.insert(holder.clone()) {
                return None;
            }
            let size = shared.memory().find_size(holder, *id);
            Some(part_name(holder).map(|name| Part::new(name).with_size(size).with_captured(*id)))
        }
        ItemKind::Late { size, .. } => {
            Some(part_name(&items[at].path).map(|name| Part::new(name).with_size(*size)))
        }
        ItemKind::Other | ItemKind::Unknown => None,
    });
    Ok(files.chain(std::iter::once(Ok(tree))))
}

/// Writes the tree of a list.
pub(crate) fn write(shared: &Shared, items: &[Item], out: &mut PartWriter<'_>) -> Result<()> {
    let mut lines = Vec::with_capacity(128 * 1024);
    let mut first_names: HashMap<Path, Path> = HashMap::new();
    for item in items {
        let entry = entry(&shared.memory(), item, &mut first_names)?;
        lines.extend(entry.to_line()?);
        lines.push(b'\n');
        if lines.len() >= 64 * 1024 {
            flush(shared, &mut lines, out)?;
        }
    }
    flush(shared, &mut lines, out)
}

fn flush(shared: &Shared, lines: &mut Vec<u8>, out: &mut PartWriter<'_>) -> Result<()> {
    out.write_all(lines).map_err(|error| error_at(&shared.root.path, "can't dump the tree", b"", error))?;
    lines.clear();
    Ok(())
}

fn entry(memory: &Captures, item: &Item, first_names: &mut HashMap<Path, Path>) -> Result<Entry> {
    let lost =
        || Error::defect("a listed entry is not known any more").with_context("path", shown(&item.path));
    let path = item.path.to_vec();
    let (kind, meta) = match &item.what {
        ItemKind::File { holder, id } => {
            let (_, capture) = memory.find(holder, *id).ok_or_else(lost)?;
            let shared_part = *holder != item.path || memory.is_shared(holder);
            let first = shared_part.then(|| first_names.get(holder).cloned()).flatten();
            let kind = match first {
                Some(first) => Kind::HardLink(first.to_vec()),
                None => {
                    if shared_part {
                        first_names.insert(holder.clone(), item.path.clone());
                    }
                    let part = (*holder != item.path).then(|| holder.to_vec());
                    let size = capture.signature.size;
                    Kind::File(FileContent { size, part, sparse: capture.sparse, late: false })
                }
            };
            (kind, capture.meta.clone())
        }
        ItemKind::Late { size, meta } => (
            Kind::File(FileContent { size: *size, part: None, sparse: false, late: true }),
            Meta::clone(meta),
        ),
        ItemKind::Other => {
            let other = memory.others.get(&item.path).ok_or_else(lost)?;
            let kind = match &other.what {
                OtherKind::Folder { .. } => Kind::Folder,
                OtherKind::Symlink(target) => Kind::Symlink(target.to_vec()),
            };
            (kind, other.meta.clone())
        }
        ItemKind::Unknown => {
            let now = Stamp::now();
            (Kind::Folder, Meta { mode: 0o755, uid: 0, gid: 0, mtime: now, xattrs: None })
        }
    };
    Ok(Entry { path, kind, meta })
}
