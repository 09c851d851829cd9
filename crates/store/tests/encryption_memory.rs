//! The size of an archive does not show in the memory that it takes to encrypt or to read it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::File;
use std::sync::Arc;

use dumprestore_archive::{Existing, FileOutput, RangeRead};
use dumprestore_store::{DecryptedRead, Encryption, Identities};

/// Megabytes. The work factor of 10 takes one of them.
const SIZE: u64 = 64;
const MOST: u64 = 40;

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// The only test of its program: what it takes is what the program takes.
#[test]
fn the_size_of_an_archive_does_not_show_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip.age");
    let to = Encryption::with_passphrase("x", Some(10)).unwrap();
    let mut output = to.wrap(Box::new(FileOutput::create(&path, Existing::Keep).unwrap())).unwrap();
    let block = vec![7; 1 << 20];
    (0..SIZE).for_each(|_| output.write_all(&block).unwrap());
    output.publish().unwrap();
    drop(block);
    let identities = Identities::none().and_passphrase("x").unwrap();
    let opened = DecryptedRead::open(Arc::new(File::open(&path).unwrap()), &identities).unwrap();
    assert_eq!(opened.size().unwrap(), SIZE << 20);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let opened = &opened;
            scope.spawn(move || {
                let mut buffer = vec![0; 100_000];
                let from = thread * (SIZE << 20) / 8;
                for at in (from..from + (SIZE << 20) / 8 - 100_000).step_by(100_000) {
                    opened.read_exact_at(&mut buffer, at).unwrap();
                    assert!(buffer.iter().all(|&byte| byte == 7));
                }
            });
        }
    });
    assert!(peak() < MOST, "{} MB at most were resident, for {SIZE} MB", peak());
}
