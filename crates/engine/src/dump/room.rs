//! Whether there is room for an archive where it is written to a disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dumprestore_driver::Error;

/// For each folder of these files that has less room than what is to come: how much there is. It is no error, for nobody
/// knows how well that compresses.
pub(super) fn short(files: &[PathBuf], expected: u64) -> Vec<Error> {
    let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    folders.into_iter().filter_map(|folder| lacking(folder, expected)).collect()
}

fn lacking(folder: &Path, expected: u64) -> Option<Error> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let there = rustix::fs::statvfs(folder).ok()?;
    let free = there.f_bavail.saturating_mul(there.f_frsize);
    (free < expected).then(|| {
        let message = format!(
            "there may be no room for the archive: what is dumped has {expected} bytes, and {free} are free"
        );
        Error::environment(message)
            .with_context("folder", folder.display())
            .with_hint("unless it compresses well the dump fails when the disk is full: make room")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_there_is_too_little_room_it_is_told_and_once_for_each_folder() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a.zip", "a.zip.partial"].map(|name| folder.path().join(name));
        assert!(short(&files, 1).is_empty());
        let told = short(&files, u64::MAX);
        assert!(told.len() == 1 && told[0].hint().is_some(), "{told:?}");
        assert!(short(&[PathBuf::from("/nowhere/a.zip")], u64::MAX).is_empty());
    }
}
