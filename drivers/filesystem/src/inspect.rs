//! Looking at a folder without touching it.

use std::path::Path;

use dumprestore_driver::{Cancel, Claim, Inspection, Problem, Result};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::config::Swap;
use crate::container::Place;
use crate::filter::Filter;
use crate::path::{shown, under};
use crate::root::{Root, mounts_below, real_path};
use crate::state::Clock;
use crate::walk::{Scope, What, walk};

pub(crate) struct Look<'a> {
    pub(crate) path: &'a Path,
    pub(crate) filter: &'a Filter,
    pub(crate) one_file_system: bool,
    pub(crate) swap: Swap,
}

impl Look<'_> {
    pub(crate) fn run(&self) -> Result<Inspection> {
        let mut found = Inspection::default();
        let real = match real_path(self.path) {
            Ok(real) => real,
            Err(error) => {
                found.problems.push(problem_of(&error));
                return Ok(found);
            }
        };
        found.claims.push(Claim::Path(real.clone()));
        found
            .facts
            .insert("path".to_owned(), shown(std::os::unix::ffi::OsStrExt::as_bytes(real.as_os_str())));
        match Root::open(self.path) {
            Err(error) => found.problems.push(problem_of(&error)),
            Ok(None) => self.look_at_nothing(&real, &mut found),
            Ok(Some(root)) => {
                self.measure(&root, &mut found);
                self.look_at_target(&root, &mut found);
            }
        }
        Ok(found)
    }

    fn look_at_nothing(&self, real: &Path, found: &mut Inspection) {
        found.absent = true;
        found.problems.push(
            Problem::no_dump(format!("there is no folder `{}`", real.display()))
                .with_hint("make it, or correct `path`; a restore makes it"),
        );
        let parent = real.parent().unwrap_or(real);
        if !parent.is_dir() {
            found.problems.push(
                Problem::no_restore(format!("there is no folder `{}` to restore into", parent.display()))
                    .with_hint(format!("make it: `mkdir -p {}`", parent.display())),
            );
        } else if !may_write(parent) {
            found.problems.push(no_rights(parent));
        }
    }

    fn measure(&self, root: &Root, found: &mut Inspection) {
        let cancel = Cancel::default();
        let scope =
            Scope { root, filter: self.filter, one_file_system: self.one_file_system, cancel: &cancel };
        let (mut files, mut size, mut unreadable) = (0, 0_u64, Vec::new());
        let (mut unreadable_count, mut mounted) = (0_u64, Vec::new());
        let walked = walk(scope, &mut |entry| {
            match entry.what {
                What::File(stat) => {
                    files += 1;
                    size = size.saturating_add(stat.st_size.max(0) as u64);
                }
                What::Unreadable(error) => {
                    unreadable_count += 1;
                    if unreadable.len() < 3 {
                        unreadable.push(format!("`{}`: {error}", shown(entry.path)));
                    }
                }
                What::Skipped(why) if why.contains("mounted") => mounted.push(shown(entry.path)),
                _ => {}
            }
            Ok(())
        });
        if let Err(error) = walked {
            found
                .problems
                .push(Problem::no_dump(error.to_string()).with_hint("run as a user who may read it"));
            return;
        }
        (found.parts, found.size) = (Some(files + 1), Some(size));
        if unreadable_count > 0 {
            let message = format!("{unreadable_count} folders can't be read: {}", unreadable.join(", "));
            found.problems.push(
                Problem::warning(message).with_hint("run as a user who may, or leave them out by `exclude`"),
            );
        }
        if !mounted.is_empty() {
            let message =
                format!("not dumped, as other file systems are mounted there: `{}`", mounted.join("`, `"));
            found.problems.push(Problem::warning(message).with_hint("make them nodes of their own"));
        }
    }

    fn look_at_target(&self, root: &Root, found: &mut Inspection) {
        if root.clock == Clock::Remote {
            found.problems.push(
                Problem::warning(
                    "the file system is not known to be local: its times are no proof of what was unchanged at the cut",
                )
                .with_hint("give `keys:` that refer to it a second column with the SHA-256"),
            );
        }
        let mounts = mounts_below(&root.path).unwrap_or_default();
        if let Some(mount) = mounts.first().filter(|_| !self.one_file_system) {
            found.problems.push(across_mounts(&root.path, mount));
        }
        match Place::choose(root.path.clone(), "inspection", self.swap) {
            Ok(place) => {
                let around = place.container.parent().unwrap_or(&root.path);
                if !may_write(around) {
                    found.problems.push(no_rights(around));
                }
            }
            Err(error) => found.problems.push(Problem::no_restore(error.to_string())),
        }
    }
}

/// What is mounted below can't be swapped together with what is around it.
pub(crate) fn across_mounts(root: &Path, mount: &[u8]) -> Problem {
    let shown_at = under(root, mount);
    Problem::no_restore(format!(
        "another file system is mounted at `{}`: it can't be swapped along",
        shown_at.display()
    ))
    .with_hint("leave `one_file_system` on, and make it a node of its own")
}

fn may_write(folder: &Path) -> bool {
    accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

fn no_rights(folder: &Path) -> Problem {
    Problem::no_restore(format!("no right to write to `{}`, where a restore is staged", folder.display()))
        .with_hint("run the restore as a user who may")
}

fn problem_of(error: &dumprestore_driver::Error) -> Problem {
    let problem = Problem::error(error.to_string());
    match error.hint() {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    }
}
