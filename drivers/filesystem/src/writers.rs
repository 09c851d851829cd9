//! Writes that no stamp would tell of, and how they are ruled out.
//!
//! A write carries the time at which it begins. So the state of a file proves its content, but for two cases: a
//! `write` that began before the state was looked at and is still copying; and a page of a shared memory map that was
//! written to before, and is written to again without asking the kernel. Both need somebody who has the file open
//! for writing, or mapped so, *before* it is read: whoever opens it later has to write with a stamp that is later.
//!
//! *Nobody has it open*: the kernel grants a read lease only then, and a map counts as open though its descriptor is
//! closed. The lease is given back at once. It is asked for, not held, so nobody waits for us.
//!
//! *Somebody has it open, or the lease is not ours to ask for*: then what is being written is waited for, and the
//! pages are written out. The file system makes them read-only for that, so that the next write through a map asks
//! again, and leaves its stamp. An application that keeps a file open and lets it rest is certified that way, at a cut
//! that comes after that.
//!
//! What is left: a write with `O_DIRECT` that lasts longer than 20 ms, by an application that had the file open before;
//! and a map that is written to between the cut and a late capture, and is gone by then.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{SeekFrom, fdatasync, fstatfs, seek};
use rustix::io::Errno;

use crate::state::{Clock, Stamp};

/// What a file system lets us know of writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backing {
    /// ext, XFS: leases, and pages can be written out alone.
    Plain,
    /// Btrfs, F2FS, bcachefs: leases, and `fdatasync`.
    Synced,
    /// overlay, ZFS: a lease does not see all maps, so that only `fdatasync` counts.
    Layered,
    /// tmpfs, ramfs, JFS, NILFS: a lease, or nothing. On the first two, writes through maps are never stamped: one that
    /// comes and goes while the file is read, or after it, is not seen.
    LeaseOnly,
    /// Any other: it is not known whose stamps these are.
    Unknown,
}

impl Backing {
    /// That of the file system that something open is on.
    pub(crate) fn of(opened: impl AsFd) -> Self {
        fstatfs(opened).map_or(Self::Unknown, |found| Self::of_type(found.f_type as u32))
    }

    pub(crate) fn of_type(magic: u32) -> Self {
        match magic {
            0xEF53 | 0x5846_5342 => Self::Plain,
            0x9123_683E | 0xF2F5_2010 | 0xCA45_1A4E => Self::Synced,
            0x794C_7630 | 0x2FC1_2FC1 => Self::Layered,
            0x0102_1994 | 0x8584_58F6 | 0x3153_464A | 0x3434 => Self::LeaseOnly,
            _ => Self::Unknown,
        }
    }

    /// Who stamps its files.
    pub(crate) fn clock(self) -> Clock {
        if self == Self::Unknown { Clock::Remote } else { Clock::Local }
    }
}

/// Whether writes to a file can be told by its stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// Not known.
    Untold,
    /// Nobody can write to it now, and who can later leaves a stamp.
    Told,
    /// Somebody can, and leaves a stamp: but only since then.
    ToldSince(Stamp),
}

impl Writes {
    pub(crate) fn since(self) -> Option<Stamp> {
        match self {
            Self::ToldSince(since) => Some(since),
            Self::Told | Self::Untold => None,
        }
    }
}

/// Sees to it that any write from now on leaves a stamp, and that none is under way. May wait for one that is.
/// The file's position is at its beginning afterwards.
pub(crate) fn told_from_now(file: &OwnedFd, backing: Backing) -> Writes {
    if backing == Backing::Unknown {
        return Writes::Untold;
    }
    if backing != Backing::Layered && nobody_can_write(file.as_fd()) {
        return Writes::Told;
    }
    match are_settled(file, backing) {
        true => Writes::ToldSince(Stamp::now()),
        false => Writes::Untold,
    }
}

/// Waits for writes that are under way, and makes mapped pages ask before the next one.
fn are_settled(file: &OwnedFd, backing: Backing) -> bool {
    // It takes the lock that a write holds from its stamp to its end. XFS, which does not, and ZFS let no reading begin
    // before that. Where there is nothing but a hole, it fails after that.
    let _ = seek(file, SeekFrom::Data(0));
    if seek(file, SeekFrom::Start(0)).is_err() {
        return false;
    }
    match backing {
        Backing::Plain => write_out(file.as_fd()).is_ok(),
        Backing::Synced | Backing::Layered => fdatasync(file).is_ok(),
        Backing::LeaseOnly | Backing::Unknown => false,
    }
}

/// Not in the `libc` crate for glibc. The same number on all architectures that Rust has a `std` for.
const F_SETSIG: libc::c_int = 10;

/// Whether nobody has the file open for writing, at this moment.
#[allow(unsafe_code, reason = "leases have no safe wrapper")]
fn nobody_can_write(file: BorrowedFd<'_>) -> bool {
    let file = file.as_raw_fd();
    // SAFETY: `fcntl` with an integer argument touches no memory of ours, and the descriptor is open all the while.
    unsafe {
        // Who opens the file between the next two calls is waited for by nobody; but we would be told by a signal. The
        // default one kills; this one is ignored unless somebody asked for it.
        libc::fcntl(file, F_SETSIG, libc::SIGURG) == 0
            && libc::fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) == 0
            && libc::fcntl(file, libc::F_SETLEASE, libc::F_UNLCK) == 0
    }
}

/// Writes out all pages, and waits for it. Unlike `fdatasync` it does not make the disk flush its cache, which is of
/// no use here and takes milliseconds for each file.
#[allow(unsafe_code, reason = "it has no safe wrapper")]
fn write_out(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let all =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: it takes integers only, and the descriptor is open all the while.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, all) } {
        0 => Ok(()),
        _ => Err(Errno::IO),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_lease_is_had_only_while_nobody_has_the_file_open_for_writing() {
        let mut writer = tempfile::NamedTempFile::new().unwrap();
        writer.write_all(b"content").unwrap();
        let reader: OwnedFd = File::open(writer.path()).unwrap().into();
        assert!(!nobody_can_write(reader.as_fd()));
        let path = writer.into_temp_path();
        assert!(nobody_can_write(reader.as_fd()));
        assert!(nobody_can_write(reader.as_fd()), "it was not given back");
        drop(path);
    }

    #[test]
    fn only_file_systems_known_to_be_local_are_trusted() {
        assert_eq!(Backing::of_type(0xEF53), Backing::Plain);
        for other in [0x6969, 0x6573_5546, 0x4D44, 0x1234_5678] {
            assert_eq!(Backing::of_type(other), Backing::Unknown);
        }
    }
}
