//! Telling "nothing is left of it" from "the volume is not mounted", after a crash.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use rustix::fs::{AtFlags, CWD, StatxFlags, statvfs, statx};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The folder in which a driver makes the files of a restore, to be known again after a crash.
///
/// A staging of which nothing is left has been rolled back, or finished, unless the file system that it lies on is
/// not there: what is behind the mount point then looks the same. A driver whose traces are gone asks here before it
/// says that all is well.
///
/// # Behavior
/// - Device numbers are not relied on: they change when a machine starts anew.
/// - The folder is the same if its inode is, and the time at which that was made, wherever it is mounted.
/// - Another folder in its place is taken for it, if it is in the same file system, mounted at the same place: then it
///   was exchanged (by another node's restore) or made anew, and what was in the first one is not behind a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    inode: u64,
    /// In nanoseconds since 1970, where the file system knows it.
    born: Option<u64>,
    /// How many folders above it its file system is mounted.
    depth: usize,
    /// By which the kernel knows the file system; 0 where it has no number for it.
    file_system: u64,
}

impl Ground {
    /// Of the folder at `path`, which has no links in it; `None` if there is none, or if it can't be looked at.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = path.metadata().ok().filter(std::fs::Metadata::is_dir)?;
        let born = meta.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Some(Self {
            inode: meta.ino(),
            born: born.and_then(|since| u64::try_from(since.as_nanos()).ok()),
            depth: depth(path),
            file_system: statvfs(path).ok()?.f_fsid,
        })
    }

    /// Checks that this is the folder at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Stuck`](crate::ErrorKind::Stuck) if there is none, or another one of which it can't be said that
    /// it took this one's place.
    pub fn check(&self, path: &Path) -> Result<()> {
        if Self::of(path).is_some_and(|found| self.is(found)) {
            return Ok(());
        }
        Err(Error::stuck("the folder in which a restore left its files is not there, or is another one")
            .with_context("folder", path.display())
            .with_hint(
                "is the volume mounted? mount it; if that folder was removed for good, make it anew in the same place",
            ))
    }

    fn is(&self, found: Self) -> bool {
        let same_folder = (self.inode, self.born) == (found.inode, found.born);
        let same_mount = (self.depth, self.file_system) == (found.depth, found.file_system);
        // Without a time of birth an inode says little: each file system gives the same numbers.
        same_mount || (same_folder && (self.born.is_some() || self.file_system == found.file_system))
    }
}

/// How many folders above `path` its mount point is.
fn depth(path: &Path) -> usize {
    let mount = mount_of(path);
    path.ancestors().skip(1).take_while(|above| mount_of(above) == mount).count()
}

fn mount_of(path: &Path) -> Option<u64> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID) {
        Ok(found) if found.stx_mask & StatxFlags::MNT_ID.bits() != 0 => Some(found.stx_mnt_id),
        // Before Linux 5.8, or where `statx` is filtered away. Bind mounts then go unseen.
        _ => path.metadata().ok().map(|meta| meta.dev()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_known_again_also_when_another_took_its_place() {
        let around = tempfile::tempdir().unwrap();
        let at = around.path().join("folder");
        assert_eq!(Ground::of(&at), None);
        std::fs::create_dir(&at).unwrap();
        let ground = Ground::of(&at).unwrap();
        let written = serde_json::to_value(ground).unwrap();
        assert_eq!(serde_json::from_value::<Ground>(written).unwrap(), ground);
        ground.check(&at).unwrap();
        std::fs::rename(&at, around.path().join("old")).unwrap();
        let error = ground.check(&at).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Stuck);
        assert!(error.hint().unwrap().contains("mounted"), "{error}");
        std::fs::create_dir(&at).unwrap();
        ground.check(&at).unwrap();
        std::fs::remove_dir(&at).unwrap();
        std::fs::write(&at, "a file").unwrap();
        assert!(ground.check(&at).is_err());
    }

    #[test]
    fn what_is_behind_a_mount_point_is_another_folder() {
        let ground = Ground { inode: 2, born: Some(7), depth: 0, file_system: 5 };
        // The mount point itself, of the same file system (a bind mount) or another one.
        assert!(!ground.is(Ground { inode: 99, born: Some(8), depth: 3, file_system: 5 }));
        assert!(!ground.is(Ground { inode: 2, born: Some(8), depth: 3, file_system: 6 }));
        // Another volume in the same place.
        assert!(!ground.is(Ground { inode: 2, born: Some(8), depth: 0, file_system: 6 }));
        // The same one elsewhere, or under another number.
        assert!(ground.is(Ground { depth: 3, file_system: 6, ..ground }));
        let unborn = Ground { born: None, ..ground };
        assert!(!unborn.is(Ground { depth: 3, file_system: 6, ..unborn }));
        assert!(unborn.is(Ground { depth: 3, ..unborn }));
    }

    #[test]
    fn the_mount_point_of_a_folder_is_found() {
        assert_eq!(depth(Path::new("/proc")), 0);
        assert_eq!(depth(Path::new("/proc/sys/kernel")), 2);
    }
}
