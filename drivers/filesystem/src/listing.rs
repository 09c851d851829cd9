//! Reading one folder.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, RawDir, openat};
use rustix::io::Errno;

/// Opens `name` in `folder` for reading, without moving its access time where that is allowed.
pub(crate) fn open_quietly<N>(folder: impl AsFd, name: N, flags: OFlags) -> io::Result<OwnedFd>
where
    N: rustix::path::Arg + Copy,
{
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match openat(folder.as_fd(), name, flags | OFlags::NOATIME, Mode::empty()) {
        // Only the owner may ask for it.
        Err(Errno::PERM) => Ok(openat(folder, name, flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

/// Opens the folder `name` in `folder` for listing.
pub(crate) fn open_folder<N>(folder: impl AsFd, name: N) -> io::Result<OwnedFd>
where
    N: rustix::path::Arg + Copy,
{
    open_quietly(folder, name, OFlags::DIRECTORY)
}

/// A buffer for listings, to be used again.
#[derive(Debug)]
pub(crate) struct Listing(Vec<u8>);

impl Default for Listing {
    fn default() -> Self {
        Self(Vec::with_capacity(64 * 1024))
    }
}

impl Listing {
    /// Hands over each entry of an open folder but `.` and `..`, as the file system lists them.
    ///
    /// # Errors
    /// What `each` answers, or an I/O error.
    pub(crate) fn read<E>(
        &mut self,
        folder: impl AsFd,
        mut each: impl FnMut(&CStr, FileType) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: From<io::Error>,
    {
        let mut entries = RawDir::new(folder, self.0.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(io::Error::from)?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                each(entry.file_name(), entry.file_type())?;
            }
        }
        Ok(())
    }

    /// All names in an open folder.
    pub(crate) fn names(&mut self, folder: impl AsFd) -> io::Result<Vec<Box<[u8]>>> {
        let mut names = Vec::new();
        self.read(folder, |name, _| {
            names.push(name.to_bytes().into());
            Ok::<(), io::Error>(())
        })?;
        Ok(names)
    }
}
