//! Where servers that write many files live.

use std::path::Path;

use tempfile::TempDir;

/// What has to be free in memory before a server is put there, in bytes: some of them hold a gigabyte or two.
const ROOM: u64 = 8 << 30;

/// A folder for a server: in memory, if there is much of that. A database is hundreds of files, which a disk is long in
/// making and removing.
pub(super) fn room(prefix: &str) -> TempDir {
    let memory = Path::new("/dev/shm");
    let is_free =
        rustix::fs::statvfs(memory).is_ok_and(|free| free.f_bavail * free.f_frsize > ROOM) && unused() > ROOM;
    let folder = if is_free { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix(prefix).tempdir_in(folder).expect("a temporary folder")
}

/// The memory that can be had, in bytes.
fn unused() -> u64 {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10
}
