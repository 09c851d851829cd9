//! Renaming without ever replacing anything.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, RenameFlags, renameat, renameat_with, statat};
use rustix::io::Errno;

/// Renames `from` to `to`, unless something is there already.
///
/// Where the file system has no such rename (NFS, older ZFS), it is looked for first: what is made there in between
/// is replaced.
///
/// # Errors
/// `EEXIST` if something is there.
pub(crate) fn rename_noreplace(
    from_folder: impl AsFd,
    from: &OsStr,
    to_folder: impl AsFd,
    to: &OsStr,
) -> Result<(), Errno> {
    match renameat_with(from_folder.as_fd(), from, to_folder.as_fd(), to, RenameFlags::NOREPLACE) {
        Err(error) if has_no_flags(error) => rename_if_free(from_folder, from, to_folder, to),
        done => done,
    }
}

/// Whether an error of a rename says that the file system knows no flags of it.
pub(crate) fn has_no_flags(error: Errno) -> bool {
    matches!(error, Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)
}

fn rename_if_free(
    from_folder: impl AsFd,
    from: &OsStr,
    to_folder: impl AsFd,
    to: &OsStr,
) -> Result<(), Errno> {
    match statat(to_folder.as_fd(), to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => renameat(from_folder, from, to_folder, to),
        Ok(_) => Err(Errno::EXIST),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_replaced_with_flags_or_without() {
        let dir = tempfile::tempdir().unwrap();
        let folder = std::fs::File::open(dir.path()).unwrap();
        let at = |name: &str| dir.path().join(name);
        type Rename = fn(&std::fs::File, &OsStr, &std::fs::File, &OsStr) -> Result<(), Errno>;
        let both: [Rename; 2] = [
            |from_in, from, to_in, to| rename_noreplace(from_in, from, to_in, to),
            |from_in, from, to_in, to| rename_if_free(from_in, from, to_in, to),
        ];
        for rename in both {
            std::fs::write(at("a"), "a").unwrap();
            std::fs::write(at("b"), "b").unwrap();
            assert_eq!(rename(&folder, "a".as_ref(), &folder, "b".as_ref()), Err(Errno::EXIST));
            assert_eq!(std::fs::read(at("b")).unwrap(), b"b");
            assert_eq!(rename(&folder, "a".as_ref(), &folder, "c".as_ref()), Ok(()));
            assert_eq!(std::fs::read(at("c")).unwrap(), b"a");
            std::fs::remove_file(at("c")).unwrap();
        }
    }
}
