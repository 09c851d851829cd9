//! Where a restore is staged: a private folder beside the live one, or inside of it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{Error, Ground, Result, Token};
use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, accessat, chmodat,
    fchmod, fremovexattr, fstat, mkdirat, openat, stat, utimensat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::beneath::{Beneath, PLACE};
use crate::config::Swap;
use crate::entry::{escape, unescape};
use crate::held;
use crate::path::join;
use crate::root::{error_at, is_mount, mounts_below};

/// Within a container: the staged folder, which after the swap is the old one.
pub(crate) const STAGED: &str = "tree";
/// Within a container: the plan of the swap, from just before it until it is finished.
pub(crate) const PLAN: &str = "plan.jsonl";
/// Within a container that is a previous state: an empty file which says that there was no folder.
pub(crate) const ABSENT: &str = "absent";
/// Within a container: the old folder, once it is being removed. There is no way back from here.
pub(crate) const DROPPED: &str = "dropped";

/// The places of one restore. All of it is known before anything is made, and it is what the journal keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The live folder, with links resolved. It need not exist.
    pub(crate) root: PathBuf,
    /// What is made for this restore.
    pub(crate) container: PathBuf,
    /// Where the state lies that `finish` kept, or will keep.
    pub(crate) previous: PathBuf,
    /// Whether the container is in the root: then its children are swapped.
    pub(crate) inside: bool,
    /// Whether what is restored is the previous state.
    pub(crate) from_previous: bool,
    /// The time of the live folder before the container was made in it.
    pub(crate) root_time: Option<(i64, u32)>,
    /// The time that the live folder is to have.
    pub(crate) new_time: Option<(i64, u32)>,
    /// The folder around the container, if it is there.
    pub(crate) ground: Option<Ground>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    root: String,
    container: String,
    previous: String,
    inside: bool,
    from_previous: bool,
    root_time: Option<(i64, u32)>,
    new_time: Option<(i64, u32)>,
    #[serde(default)]
    ground: Option<Ground>,
}

impl Place {
    /// Decides where to stage a restore of `root` in the run of that name.
    ///
    /// # Errors
    /// If there is a file, or if it can't be looked at.
    pub(crate) fn choose(root: PathBuf, run: &str, swap: Swap) -> Result<Self> {
        let inside = is_to_be_inside(&root, swap)?;
        let named = |what: &str| match root.parent().zip(root.file_name()) {
            Some((parent, name)) if !inside => parent.join(beside(name, what)),
            _ => root.join(format!(".dumprestore-{what}")),
        };
        let (container, previous) = (named(run), named("previous"));
        let root_time = if inside { time_of(&root) } else { None };
        let ground = ground_of(&container);
        Ok(Self {
            container,
            previous,
            root,
            inside,
            from_previous: false,
            root_time,
            new_time: None,
            ground,
        })
    }

    pub(crate) fn to_token(&self) -> Token {
        let text = |path: &Path| escape(path.as_os_str().as_bytes());
        serde_json::json!({
            "root": text(&self.root),
            "container": text(&self.container),
            "previous": text(&self.previous),
            "inside": self.inside,
            "from_previous": self.from_previous,
            "root_time": self.root_time,
            "new_time": self.new_time,
            "ground": self.ground,
        })
    }

    /// # Errors
    /// If the token is not one of this driver.
    pub(crate) fn from_token(token: &Token) -> Result<Self> {
        let written: Written = serde_json::from_value(token.clone()).map_err(|error| {
            Error::defect("the journal's token is not one of a `filesystem` node").with_source(error)
        })?;
        let path = |text: &str| -> Result<PathBuf> { Ok(PathBuf::from(OsStr::from_bytes(&unescape(text)?))) };
        Ok(Self {
            root: path(&written.root)?,
            container: path(&written.container)?,
            previous: path(&written.previous)?,
            inside: written.inside,
            from_previous: written.from_previous,
            root_time: written.root_time,
            new_time: written.new_time,
            ground: written.ground,
        })
    }

    /// Checks, where no container is, that it is not merely out of sight.
    ///
    /// # Errors
    /// If the folder around it is another one, or none: its file system may not be mounted.
    pub(crate) fn check_ground(&self) -> Result<()> {
        let around = self.container.parent().unwrap_or(&self.container);
        self.ground.map_or(Ok(()), |ground| ground.check(around))
    }

    /// Checks, of a token of a previous state, that this can be taken.
    ///
    /// # Errors
    /// If it is gone; or if it can't be seen, for the folder around it is another one, or none.
    pub(crate) fn check_previous(&self) -> Result<()> {
        if self.previous.symlink_metadata().is_ok() {
            return Ok(());
        }
        if self.check_ground().is_err() {
            let around = self.previous.parent().unwrap_or(&self.previous);
            return Err(Error::environment(
                "the folder in which the previous state was kept is not there, or is another one",
            )
            .with_context("folder", around.display())
            .with_hint(
                "is the volume mounted? mount it; if that folder was removed for good, restore from an archive",
            ));
        }
        Err(Error::environment("the previous state is gone")
            .with_context("path", self.previous.display())
            .with_hint("restore from an archive"))
    }

    /// The staged folder; after the swap, the old one.
    pub(crate) fn staged(&self) -> PathBuf {
        self.container.join(STAGED)
    }

    /// A folder that containers are made in and removed from gets its time back.
    pub(crate) fn set_root_time(&self, time: Option<(i64, u32)>) -> Result<()> {
        let (true, Some((seconds, nanos))) = (self.inside, time) else { return Ok(()) };
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos.into() },
        };
        match utimensat(CWD, &self.root, &times, AtFlags::empty()) {
            // Whoever may write to a folder need not own it.
            Ok(()) | Err(Errno::PERM | Errno::ACCESS | Errno::NOENT) => Ok(()),
            Err(error) => Err(self.error("can't set the time of the folder", error)),
        }
    }

    pub(crate) fn error(&self, what: &str, error: impl Into<io::Error>) -> Error {
        error_at(&self.container, what, b"", error)
    }

    /// Makes the container: for nobody else to look into, and passing on no rights of the folder around it.
    pub(crate) fn make(&self) -> Result<OwnedFd> {
        let fail = |error: Errno| self.error("can't make a place to restore into", error);
        mkdirat(CWD, &self.container, Mode::RWXU).map_err(fail)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let readable = openat(CWD, &self.container, flags, Mode::empty()).map_err(fail)?;
        held::check(&self.container, &readable)?;
        match fremovexattr(&readable, "system.posix_acl_default") {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(fail(error)),
        }
        fchmod(&readable, Mode::RWXU).map_err(fail)?;
        openat(&readable, ".", PLACE, Mode::empty()).map_err(fail)
    }

    /// The staged side of a swap.
    pub(crate) fn staged_side(&self, container: &Arc<OwnedFd>) -> Side {
        Side { beneath: Beneath::new(container.clone()), prefix: STAGED.as_bytes().to_vec() }
    }

    /// The live side of a swap.
    ///
    /// # Errors
    /// If the folder that the live one is in can't be opened.
    pub(crate) fn live_side(&self) -> Result<Side> {
        let (folder, prefix) = match self.root.parent().zip(self.root.file_name()) {
            Some((parent, name)) if !self.inside => (parent, name.as_bytes().to_vec()),
            _ => (self.root.as_path(), Vec::new()),
        };
        let fd = openat(CWD, folder, PLACE, Mode::empty())
            .map_err(|error| error_at(folder, "can't open the folder", b"", error))?;
        Ok(Side { beneath: Beneath::new(Arc::new(fd)), prefix })
    }
}

/// What the folder that a container is in is known by.
pub(crate) fn ground_of(container: &Path) -> Option<Ground> {
    container.parent().and_then(Ground::of)
}

/// The time of a folder, if it is there.
pub(crate) fn time_of(folder: &Path) -> Option<(i64, u32)> {
    stat(folder).ok().map(|stat| (stat.st_mtime, stat.st_mtime_nsec as u32))
}

/// A name for something beside `name`; as long as names may be, however long that one is.
pub(crate) fn beside(name: &OsStr, what: &str) -> std::ffi::OsString {
    const LONGEST_NAME: usize = 255;
    let tail = format!(".dumprestore-{what}");
    let mut made = vec![b'.'];
    if name.len() + tail.len() < LONGEST_NAME {
        made.extend(name.as_bytes());
    } else {
        made.extend(&name.as_bytes()[..100]);
        made.extend(hex::encode(&Sha256::digest(name.as_bytes())[..8]).bytes());
    }
    made.extend(tail.bytes());
    std::os::unix::ffi::OsStringExt::from_vec(made)
}

/// Beside, unless the folder can't be renamed: as a mount point, as a subvolume, for want of rights above it, or
/// because something is mounted in it, which would move along.
fn is_to_be_inside(root: &Path, swap: Swap) -> Result<bool> {
    let fail = |error: io::Error| error_at(root, "can't look at the folder", b"", error);
    let fd = match openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(false),
        Err(Errno::NOTDIR) => {
            return Err(Error::environment("there is a file where the folder is to be restored")
                .with_context("path", root.display())
                .with_hint("move the file away, or correct `path`"));
        }
        Err(error) => return Err(fail(error.into())),
    };
    let Some(parent) = root.parent() else { return Ok(true) };
    let above = stat(parent).map_err(|error| fail(error.into()))?;
    let here = fstat(&fd).map_err(|error| fail(error.into()))?;
    let can_rename = accessat(CWD, parent, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok();
    Ok(swap == Swap::Children
        || above.st_dev != here.st_dev
        || !can_rename
        || is_mount(&fd, Some(above.st_dev)).map_err(fail)?
        || !mounts_below(root)?.is_empty())
}

/// One of the two trees that are swapped. The empty path is the tree itself.
pub(crate) struct Side {
    beneath: Beneath,
    prefix: Vec<u8>,
}

impl Side {
    /// The way to `path` from where this side begins.
    pub(crate) fn way(&self, path: &[u8]) -> Vec<u8> {
        join(&self.prefix, path)
    }

    pub(crate) fn stat(&mut self, path: &[u8]) -> io::Result<Option<Stat>> {
        let way = self.way(path);
        self.beneath.stat(&way)
    }

    pub(crate) fn inode(&mut self, path: &[u8]) -> io::Result<Option<u64>> {
        Ok(self.stat(path)?.map(|stat| stat.st_ino))
    }

    pub(crate) fn beneath(&mut self) -> &mut Beneath {
        &mut self.beneath
    }

    /// An open folder of this side, to be listed or stamped.
    pub(crate) fn open_folder(&mut self, path: &[u8]) -> io::Result<OwnedFd> {
        let way = self.way(path);
        let (folder, name) = self.beneath.parent(&way)?;
        crate::listing::open_folder(folder, name)
    }

    /// Gives a folder the time that it had, as far as we may.
    pub(crate) fn give_time(&mut self, path: &[u8], had: io::Result<Option<Stat>>) -> io::Result<()> {
        let Some(had) = had? else { return Ok(()) };
        let way = self.way(path);
        let (folder, name) = self.beneath.parent(&way)?;
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: had.st_mtime, tv_nsec: had.st_mtime_nsec as i64 },
        };
        match utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) | Err(Errno::PERM | Errno::ACCESS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the owner of a folder write to it. The mode that it had, if that was otherwise.
    pub(crate) fn lend_write(&mut self, path: &[u8]) -> Option<Mode> {
        let stat = self.stat(path).ok()??;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if !is_folder || mode.contains(Mode::WUSR) {
            return None;
        }
        self.take_write(path, Some(mode | Mode::WUSR)).ok().map(|()| mode)
    }

    /// Gives a folder the mode that it had.
    pub(crate) fn take_write(&mut self, path: &[u8], mode: Option<Mode>) -> Result<(), Errno> {
        let Some(mode) = mode else { return Ok(()) };
        let way = self.way(path);
        let found = self.beneath.parent(&way);
        let (folder, name) = found.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        chmodat(folder, name, mode, AtFlags::empty())
    }

    /// Looks folders up anew, after some were renamed.
    pub(crate) fn look_anew(&mut self) {
        let root = self.beneath.root();
        self.beneath = Beneath::new(root);
    }

    /// Writes the folder that `path` is in down to the disk.
    pub(crate) fn sync_parent(&mut self, path: &[u8]) -> io::Result<()> {
        let way = self.way(path);
        let (folder, _) = self.beneath.parent(&way)?;
        let readable =
            openat(folder.as_fd(), ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(rustix::fs::fsync(readable)?)
    }
}
