//! What a commit renames, written down before the first rename.
//!
//! A plan has four kinds of steps, done in this order:
//!
//! - *flip* a path: what is live there and what is staged there change places (either may be nothing). Beside the
//!   live folder there is one, of the folder itself. Inside of it there is one for each child; and where something is
//!   mounted below, the folders on the way to it stay, and their children are flipped.
//! - *carry* a path: what is not ours (excluded, an extra that is to stay, a socket, fifo or device) goes from the old tree, which the
//!   flips have put aside, into the new one. A folder with nothing else in it goes whole.
//! - *keep late* what is neither in the plan nor in the archive, where extras stay.
//! - *stamp* a folder that stays, with the mode, owner, attributes and time of the staged one.
//!
//! Each flip names the inodes that it moves. Nobody but us touches the staged side, so whether it is done can be told
//! from there at any time: no journal of progress is needed.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt;

use dumprestore_driver::{Cancel, Changes, Error, Extras, Result};
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::beneath::is_absent;
use crate::container::{Place, Side};
use crate::entry::{Entry, Kind, escape, unescape};
use crate::filter::{Filter, Part};
use crate::listing::Listing;
use crate::path::{ancestors, is_below, join, shown};
use crate::root::{error_at, mounts_below};
use crate::stamp::{make_like, meta_of_folder};
use crate::state::{Stamp, is_special, type_of};
use crate::tally::Tally;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Flip {
        path: Vec<u8>,
        /// The inode that is live there; `None` for nothing.
        live: Option<u64>,
        /// The inode that is staged there; `None` for nothing.
        staged: Option<u64>,
    },
    Carry {
        path: Vec<u8>,
    },
    Stamp {
        path: Vec<u8>,
        old: Entry,
        new: Entry,
    },
    /// Extras stay, also those that are made from this moment on.
    KeepLate {
        since: Stamp,
        /// When the inodes of all that was staged had been written down.
        counted: Stamp,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Flip { path: String, live: Option<u64>, staged: Option<u64> },
    Carry { path: String },
    Stamp { path: String, old: String, new: String },
    KeepLate { since: Stamp, counted: Stamp },
}

impl Step {
    /// Whether it is a flip that moves what is at `path`.
    pub(crate) fn flips(&self, path: &[u8]) -> bool {
        matches!(self, Step::Flip { path: top, .. } if top.is_empty() || top == path || is_below(path, top))
    }

    pub(crate) fn to_line(&self) -> Result<Vec<u8>> {
        let text = |entry: &Entry| Ok::<_, Error>(String::from_utf8_lossy(&entry.to_line()?).into_owned());
        let line = match self {
            Step::Flip { path, live, staged } => {
                Line::Flip { path: escape(path), live: *live, staged: *staged }
            }
            Step::Carry { path } => Line::Carry { path: escape(path) },
            Step::Stamp { path, old, new } => {
                Line::Stamp { path: escape(path), old: text(old)?, new: text(new)? }
            }
            Step::KeepLate { since, counted } => Line::KeepLate { since: *since, counted: *counted },
        };
        serde_json::to_vec(&line)
            .map_err(|error| Error::defect("can't write the plan of a swap").with_source(error))
    }

    pub(crate) fn from_line(line: &[u8]) -> Result<Self> {
        let line = serde_json::from_slice(line)
            .map_err(|error| Error::stuck("the plan of a swap is damaged").with_source(error))?;
        Ok(match line {
            Line::Flip { path, live, staged } => Step::Flip { path: path_below(&path)?, live, staged },
            Line::Carry { path } => Step::Carry { path: path_below(&path)? },
            Line::Stamp { path, old, new } => Step::Stamp {
                path: path_below(&path)?,
                old: Entry::from_line(old.as_bytes())?,
                new: Entry::from_line(new.as_bytes())?,
            },
            Line::KeepLate { since, counted } => Step::KeepLate { since, counted },
        })
    }
}

/// A plan leads nowhere but below the folder, whoever wrote it.
fn path_below(text: &str) -> Result<Vec<u8>> {
    let path = unescape(text)?;
    let leads_out = |name: &[u8]| matches!(name, b"" | b"." | b"..");
    if !path.is_empty() && (path.contains(&0) || path.split(|byte| *byte == b'/').any(leads_out)) {
        return Err(
            Error::stuck("the plan of a swap leads out of the folder").with_context("path", shown(&path))
        );
    }
    Ok(path)
}

/// What a plan is made from.
pub(crate) struct Planner<'a> {
    pub(crate) place: &'a Place,
    pub(crate) filter: &'a Filter,
    pub(crate) extras: Extras,
    pub(crate) cancel: &'a Cancel,
    tally: &'a Tally,
    pub(crate) live: Side,
    pub(crate) staged: Side,
    /// What is mounted below the live folder.
    mounts: Vec<Vec<u8>>,
    carried: Vec<Vec<u8>>,
    extras_found: u64,
    /// Some of them.
    extras_named: Vec<String>,
    listing: Listing,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(
        place: &'a Place,
        filter: &'a Filter,
        extras: Extras,
        cancel: &'a Cancel,
        tally: &'a Tally,
        live: Side,
        staged: Side,
    ) -> Result<Self> {
        let mounts = mounts_below(&place.root)?;
        let (carried, listing) = (Vec::new(), Listing::default());
        Ok(Self {
            place,
            filter,
            extras,
            cancel,
            tally,
            live,
            staged,
            mounts,
            carried,
            extras_found: 0,
            extras_named: Vec::new(),
            listing,
        })
    }

    /// Makes the plan, and in the staged folder the folders that carried things are in.
    ///
    /// # Errors
    /// If something that is to stay can't, or if there are extras that must not be there.
    pub(crate) fn plan(mut self) -> Result<Vec<Step>> {
        let has_live = self.look_live(b"")?.is_some();
        if has_live {
            let root = self.filter.root();
            self.scan(b"", root)?;
        }
        if self.extras == Extras::Fail && self.extras_found > 0 {
            return Err(too_many_extras(self.extras_found, &self.extras_named));
        }
        self.make_way_for_carried()?;
        let mut steps = Vec::new();
        if self.place.inside {
            self.flip_children(&mut steps)?;
        } else {
            self.no_mounts()?;
            let (live, staged) = (self.look_live(b"")?, self.look_staged(b"")?);
            steps.push(Step::Flip { path: Vec::new(), live, staged });
        }
        let stamps = steps.extract_if(.., |step| matches!(step, Step::Stamp { .. })).collect::<Vec<_>>();
        // What stays where it is, is not carried.
        let is_moved = |path: &[u8]| steps.iter().any(|step| step.flips(path));
        let carries: Vec<_> = self.carried.into_iter().filter(|path| is_moved(path)).collect();
        steps.extend(carries.into_iter().map(|path| Step::Carry { path }));
        steps.extend(stamps);
        Ok(steps)
    }

    fn fail(&self, path: &[u8], error: io::Error) -> Error {
        error_at(&self.place.root, "can't plan the swap", path, error)
    }

    fn look_live(&mut self, path: &[u8]) -> Result<Option<u64>> {
        self.live
            .inode(path)
            .map_err(|error| error_at(&self.place.root, "can't look at the folder", path, error))
    }

    fn look_staged(&mut self, path: &[u8]) -> Result<Option<u64>> {
        let staged = self.place.staged();
        self.staged
            .inode(path)
            .map_err(|error| error_at(&staged, "can't look at what is staged", path, error))
    }

    /// The swap of a whole folder would take a mount along, to where the old tree is removed.
    fn no_mounts(&self) -> Result<()> {
        match self.mounts.first() {
            None => Ok(()),
            Some(mount) => {
                Err(Error::environment("something was mounted in the folder since the restore began")
                    .with_context("path", crate::path::under(&self.place.root, mount).display())
                    .with_hint("run the restore again"))
            }
        }
    }

    /// Collects what is to stay below a live folder. Answers whether all of it is: then the folder can go whole.
    fn scan(&mut self, folder: &[u8], part: Part) -> Result<bool> {
        self.cancel.check()?;
        let (names, mut all_stays) = match self.names(folder) {
            Ok(found) => found,
            Err(error) if !folder.is_empty() && is_absent(&error) => return Ok(true),
            // Nothing is left out by name: what may be in there all the same is found when it is swapped out.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.all_goes() => {
                return Ok(false);
            }
            Err(error) => return Err(self.fail(folder, error)),
        };
        for path in names {
            all_stays &= self.scan_one(&path, part)?;
        }
        Ok(all_stays)
    }

    /// What may have to stay in a live folder, and whether there is nothing else. What surely goes is not kept in mind:
    /// a folder may have millions of it.
    fn names(&mut self, folder: &[u8]) -> io::Result<(Vec<Vec<u8>>, bool)> {
        let fd = self.live.open_folder(folder)?;
        let (mut names, mut all) = (Vec::new(), true);
        let mut listing = std::mem::take(&mut self.listing);
        let read = listing.read(fd, |name, kind| {
            let path = join(folder, name.to_bytes());
            let is_plain = matches!(kind, FileType::RegularFile | FileType::Symlink);
            let surely_goes = self.all_goes() && is_plain && !self.filter.is_of_a_run(&path);
            match self.is_container(&path) {
                true => {}
                false if surely_goes => all = false,
                false => names.push(path),
            }
            Ok::<(), io::Error>(())
        });
        self.listing = listing;
        read.map(|()| (names, all))
    }

    fn all_goes(&self) -> bool {
        self.filter.takes_all() && self.extras == Extras::Remove
    }

    fn is_container(&self, path: &[u8]) -> bool {
        self.place.inside
            && self
                .place
                .container
                .strip_prefix(&self.place.root)
                .is_ok_and(|at| at.as_os_str().as_bytes() == path)
    }

    /// Whether what is live at `path` stays. If so, it was noted.
    fn scan_one(&mut self, path: &[u8], above: Part) -> Result<bool> {
        if self.mounts.iter().any(|mount| mount == path) {
            // It stays, and so do the folders it is in: they can't be renamed.
            return Ok(false);
        }
        let Some(live) = self.live.stat(path).map_err(|error| self.fail(path, error))? else {
            return Ok(true);
        };
        let staged = self.staged.stat(path).map_err(|error| self.fail(path, error))?;
        let is_folder = type_of(&live) == FileType::Directory;
        let part = self.filter.part(path, is_folder, above);
        match (part, is_folder) {
            (Part::Foreign, _) => self.keep(path, staged.is_some()),
            // No dump has it: the archive can't give it back.
            _ if is_special(type_of(&live)) => self.keep(path, staged.is_some()),
            (Part::Ours, false) => self.extra(path, staged.is_some()),
            (Part::Ours, true) if staged.is_none() && self.extras != Extras::Remove => {
                self.extra(path, false)
            }
            (_, true) => self.scan_folder(path, part, staged.map(|stat| type_of(&stat))),
            // Only folders are on the way to something.
            (Part::Through, false) => Ok(false),
        }
    }

    fn extra(&mut self, path: &[u8], is_staged: bool) -> Result<bool> {
        match (is_staged, self.extras) {
            (false, Extras::Keep) => self.keep(path, false),
            (false, Extras::Fail) => {
                self.extras_found += 1;
                if self.extras_named.len() < Changes::MOST_NAMED {
                    self.extras_named.push(shown(path));
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    fn scan_folder(&mut self, path: &[u8], part: Part, staged: Option<FileType>) -> Result<bool> {
        let known = self.carried.len();
        let all_stays = self.scan(path, part)?;
        match staged {
            Some(FileType::Directory) => Ok(false),
            // Nothing in it goes: it goes along whole, if it is not itself an extra that goes.
            None if all_stays && (part == Part::Through || self.carried.len() > known) => {
                self.carried.truncate(known);
                self.keep(path, false)
            }
            None => Ok(false),
            Some(_) if self.carried.len() > known => Err(in_the_way(&self.carried[known])),
            Some(_) => Ok(false),
        }
    }

    fn keep(&mut self, path: &[u8], is_staged: bool) -> Result<bool> {
        if is_staged {
            return Err(in_the_way(path));
        }
        self.carried.push(path.to_vec());
        Ok(true)
    }

    /// Folders that go, with something in them that stays, are made in the staged tree as they were.
    fn make_way_for_carried(&mut self) -> Result<()> {
        let folders: BTreeSet<Vec<u8>> = self
            .carried
            .iter()
            .flat_map(|path| ancestors(path).map(<[u8]>::to_vec).chain([Vec::new()]))
            .collect();
        for folder in folders {
            let made = self.live.open_folder(&folder).and_then(|fd| meta_of_folder(&fd)).and_then(|meta| {
                let way = self.staged.way(&folder);
                make_like(self.staged.beneath(), &way, &meta)
            });
            let lacking = made.map_err(|error| self.fail(&folder, error))?;
            self.tally.note_lacking(&folder, lacking);
        }
        Ok(())
    }

    /// One flip for each child of the folders that stay in place.
    fn flip_children(&mut self, steps: &mut Vec<Step>) -> Result<()> {
        let mounts = std::mem::take(&mut self.mounts);
        let mut in_place: BTreeSet<Vec<u8>> =
            mounts.iter().flat_map(|mount| ancestors(mount).map(<[u8]>::to_vec)).collect();
        in_place.insert(Vec::new());
        // What lies in a mount is reached by no rename.
        in_place.retain(|folder| !mounts.iter().any(|mount| mount == folder || is_below(folder, mount)));
        for folder in &in_place {
            self.flip_children_of(folder, &in_place, &mounts, steps)?;
        }
        Ok(())
    }

    fn flip_children_of(
        &mut self,
        folder: &[u8],
        in_place: &BTreeSet<Vec<u8>>,
        mounts: &[Vec<u8>],
        steps: &mut Vec<Step>,
    ) -> Result<()> {
        let live = self.live.open_folder(folder).map_err(|error| self.fail(folder, error))?;
        let old = meta_of_folder(&live).map_err(|error| self.fail(folder, error))?;
        let mut names: BTreeSet<Box<[u8]>> =
            self.listing.names(&live).map_err(|error| self.fail(folder, error))?.into_iter().collect();
        match self.staged.open_folder(folder) {
            Ok(staged) => {
                names.extend(self.listing.names(&staged).map_err(|error| self.fail(folder, error))?);
                let new = meta_of_folder(&staged).map_err(|error| self.fail(folder, error))?;
                let entry = |meta| Entry { path: folder.to_vec(), kind: Kind::Folder, meta };
                steps.push(Step::Stamp { path: folder.to_vec(), old: entry(old), new: entry(new) });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The archive does not have it: it stays for the sake of the mount. What goes needs a place.
                let way = self.staged.way(folder);
                let made = make_like(self.staged.beneath(), &way, &old);
                let lacking = made.map_err(|error| self.fail(folder, error))?;
                self.tally.note_lacking(folder, lacking);
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(in_the_way(folder)),
            Err(error) => return Err(self.fail(folder, error)),
        }
        for name in names {
            let path = join(folder, &name);
            if in_place.contains(&path)
                || mounts.contains(&path)
                || self.is_container(&path)
                || self.stays(&path)
            {
                continue;
            }
            let (live, staged) = (self.look_live(&path)?, self.look_staged(&path)?);
            steps.push(Step::Flip { path, live, staged });
        }
        Ok(())
    }

    fn stays(&self, path: &[u8]) -> bool {
        self.carried.iter().any(|carried| carried == path) || self.filter.is_of_a_run(path)
    }
}

fn in_the_way(path: &[u8]) -> Error {
    Error::environment("something that is to stay is where the archive has something else")
        .with_context("path", shown(path))
        .with_hint("move it away, or change `exclude` or `--extras`")
}

pub(crate) fn too_many_extras(count: u64, named: &[String]) -> Error {
    let more = count.saturating_sub(named.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Error::environment(format!("the target has {count} things that the archive does not"))
        .with_context("extras", format_args!("{}{more}", named.join(", ")))
        .with_hint("let them stay with `--extras keep`, or go with `--extras remove`")
}
