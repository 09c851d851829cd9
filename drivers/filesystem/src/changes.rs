//! What a restore would change, by path, size and time; no content is read.

use std::path::Path;

use dumprestore_driver::{ArchivedNode, Cancel, Changes, Error, Extras, Result};
use rustix::fs::{FileType, Stat, readlinkat, statvfs};

use crate::beneath::Beneath;
use crate::entry::{Entry, Kind};
use crate::filter::{Filter, Part};
use crate::path::shown;
use crate::recall::Recall;
use crate::root::Root;
use crate::state::{Stamp, type_of};
use crate::tree::Tree;
use crate::walk::{Scope, What, walk};
use crate::xattr;

pub(crate) struct Counting<'a> {
    pub(crate) archived: &'a dyn ArchivedNode,
    pub(crate) root: Option<&'a Root>,
    /// Where the restore would be staged, or a folder above that.
    pub(crate) staged_at: &'a Path,
    pub(crate) filter: &'a Filter,
    pub(crate) one_file_system: bool,
    pub(crate) extras: Extras,
    pub(crate) cancel: &'a Cancel,
}

impl Counting<'_> {
    /// Counts files and links; folders come and go with what is in them.
    pub(crate) fn run(&self) -> Result<Changes> {
        let mut changes = Changes::of("files");
        let (mut matched, mut needs, mut passed_over) = (0, 0_u64, 0_u64);
        let mut live = self.root.map(Root::beneath);
        let mut archived = Recall::new();
        for entry in Tree::of(self.archived)? {
            self.cancel.check()?;
            let entry = entry?;
            let is_folder = entry.kind == Kind::Folder;
            if self.filter.part_from_root(&entry.path, is_folder) == Part::Foreign {
                passed_over += 1;
                continue;
            }
            if let Kind::File(content) = &entry.kind {
                needs = needs.saturating_add(content.size);
            }
            if is_folder {
                continue;
            }
            archived.see(&entry.path);
            match live.as_mut().map(|live| look(live, &entry)).transpose()?.flatten() {
                None => changes.create += 1,
                Some(Found { stat, equal }) => {
                    matched += u64::from(type_of(&stat) != FileType::Directory);
                    if equal { changes.unchanged += 1 } else { changes.replace += 1 }
                }
            }
        }
        if self.extras != Extras::Keep {
            let live = self.live_files(&archived, &mut changes.removes)?;
            changes.remove = live.saturating_sub(matched);
            changes.removes.truncate(usize::try_from(changes.remove).unwrap_or(usize::MAX));
        }
        changes.needs_bytes = Some(needs);
        changes.free_bytes = self.free();
        self.notes(&mut changes, passed_over);
        Ok(changes)
    }

    /// How many there are. Some that the archive does not have are named in `extras`.
    fn live_files(&self, archived: &Recall, extras: &mut Vec<String>) -> Result<u64> {
        let Some(root) = self.root else { return Ok(0) };
        let scope =
            Scope { root, filter: self.filter, one_file_system: self.one_file_system, cancel: self.cancel };
        let mut count = 0;
        walk(scope, &mut |found| {
            match found.what {
                What::File(_) | What::Link(..) => {
                    count += 1;
                    if extras.len() < Changes::MOST_NAMED && archived.is_new(found.path) {
                        extras.push(shown(found.path));
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(count)
    }

    fn free(&self) -> Option<u64> {
        let there = self.staged_at.ancestors().find_map(|path| statvfs(path).ok())?;
        Some(there.f_bavail.saturating_mul(there.f_frsize))
    }

    fn notes(&self, changes: &mut Changes, passed_over: u64) {
        if passed_over > 0 {
            changes.notes.push(format!(
                "{passed_over} entries of the archive are left out here by `include` or `exclude`"
            ));
        }
        if !xattr::is_root() {
            changes
                .notes
                .push("not run by root: files will belong to who runs it, and set-id bits go".to_owned());
        }
        if self.root.is_some()
            && self.staged_at.starts_with(self.root.map_or(Path::new("/"), |root| &root.path))
        {
            changes
                .notes
                .push("what is in the folder is swapped entry by entry, not the folder itself".to_owned());
        }
    }
}

struct Found {
    stat: Stat,
    equal: bool,
}

fn look(live: &mut Beneath, entry: &Entry) -> Result<Option<Found>> {
    let fail = |error| Error::io("can't look at the folder", error);
    let Some(stat) = live.stat(&entry.path).map_err(fail)? else { return Ok(None) };
    let same_time = Stamp::mtime(&stat) == entry.meta.mtime;
    let equal = match (&entry.kind, type_of(&stat)) {
        (Kind::File(content), FileType::RegularFile) => same_time && content.size == stat.st_size as u64,
        (Kind::HardLink(_), FileType::RegularFile) => same_time,
        (Kind::Symlink(target), FileType::Symlink) => {
            let (folder, name) = live.parent(&entry.path).map_err(fail)?;
            readlinkat(folder, name, Vec::new()).is_ok_and(|found| found.as_bytes() == target)
        }
        _ => false,
    };
    Ok(Some(Found { stat, equal }))
}
