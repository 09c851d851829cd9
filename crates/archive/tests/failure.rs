//! When the destination fails, every lane hears of it, nothing is published and nothing hangs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod sample;

use dumprestore_archive::*;
use sample::*;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[derive(Clone, Default)]
struct Seen {
    published: Arc<AtomicBool>,
    aborted: Arc<AtomicUsize>,
}

/// Takes so many bytes and no more.
struct Limited {
    left: usize,
    seen: Seen,
}

impl Output for Limited {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(())
    }

    fn publish(self: Box<Self>) -> Result<()> {
        self.seen.published.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn abort(self: Box<Self>) {
        self.seen.aborted.fetch_add(1, Ordering::SeqCst);
    }
}

/// What `dump` writes at the least: the parts that are stored.
const LEAST: usize = 30 * BLOCK + 3 * 3000;

/// Several lanes, of which some write large parts. True if the archive was sealed.
fn dump(left: usize, seen: &Seen) -> bool {
    let maker = Maker::new(Box::new(Limited { left, seen: seen.clone() }), options());
    let lane = |lane: u64| -> Result<()> {
        for part in 0..4 {
            let size = if part == 1 { 30 * BLOCK } else { 3000 };
            let name = format!("{lane}/{part}");
            let receipt = maker.write("db", &name, METHODS[lane as usize % 3], &text(lane, size))?;
            maker.list("db", receipt);
        }
        Ok(())
    };
    let lanes: Vec<Result<()>> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..4).map(|number| scope.spawn(move || lane(number))).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect()
    });
    for error in lanes.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.entry().is_some_and(|entry| entry.starts_with("db/")), "{error}");
    }
    let manifest = maker.manifest();
    maker.writer.seal(manifest).is_ok()
}

#[test]
fn an_output_that_fails_at_any_byte_publishes_nothing() {
    let whole = Seen::default();
    assert!(dump(usize::MAX, &whole));
    assert!(whole.published.load(Ordering::SeqCst));
    assert_eq!(whole.aborted.load(Ordering::SeqCst), 0);
    for left in (0..LEAST).step_by(LEAST / 25).chain([1, 100, LEAST - 1]) {
        let seen = Seen::default();
        assert!(!dump(left, &seen), "sealed with room for {left} bytes");
        assert!(!seen.published.load(Ordering::SeqCst), "published with room for {left} bytes");
        assert_eq!(seen.aborted.load(Ordering::SeqCst), 1, "with room for {left} bytes");
    }
}

#[test]
fn every_open_part_hears_of_the_failure() {
    let maker = Maker::new(Box::new(Limited { left: 1000, seen: Seen::default() }), options());
    let open = |name| maker.writer.part(&EntryName::new("db", name).unwrap(), Compression::Store).unwrap();
    let mut parts = [open("a"), open("b"), open("c")];
    let noise = noise(1, BLOCK);
    // The writer runs ahead of the output by some buffers, and no further.
    let failed = (0..10_000).find_map(|_| parts[0].write_all(&noise).err());
    assert_eq!(failed.expect("the part fails").kind(), io::ErrorKind::StorageFull);
    for part in &mut parts {
        let error = Error::from(part.write_all(b"more").unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("writing the archive"), "{error}");
    }
    for part in parts {
        part.finish().unwrap_err();
    }
    let name = EntryName::new("db", "d").unwrap();
    assert!(maker.writer.part(&name, Compression::Store).is_err());
}

#[test]
fn a_full_disk_is_an_error_that_says_so() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let maker = Maker::new(Box::new(StreamOutput::new(full)), options());
    let manifest = maker.manifest();
    let error = maker.writer.seal(manifest).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::StorageFull));
    assert!(error.to_string().contains("No space left on device"), "{error}");
}

#[test]
fn a_part_dropped_while_it_streams_lets_the_others_go_on() {
    let (maker, written) = Maker::memory();
    std::thread::scope(|scope| {
        for lane in 0..6 {
            let maker = &maker;
            scope.spawn(move || {
                maker.abandon("db", "never", METHODS[lane % 3], &text(lane as u64, 30 * BLOCK));
                maker.add("db", &lane.to_string(), METHODS[lane % 3], &text(lane as u64, 30 * BLOCK));
            });
        }
    });
    maker.seal();
    assert_eq!(verify(&open(&written.bytes()).unwrap()).unwrap().parts, 6);
}

#[test]
fn parts_that_outlive_the_writer_fail_and_do_not_hang() {
    let (maker, _) = Maker::memory();
    let mut part = maker.writer.part(&EntryName::new("db", "a").unwrap(), Compression::Deflate).unwrap();
    part.write_all(&text(1, 20 * BLOCK)).unwrap();
    maker.writer.abort();
    let failed = part.write_all(&text(1, 20 * BLOCK)).map_err(Error::from);
    assert_eq!(failed.and_then(|()| part.finish().map(drop)).unwrap_err().kind(), ErrorKind::Misuse);
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

fn file_maker(path: &std::path::Path, existing: Existing) -> Maker {
    Maker::new(Box::new(FileOutput::create(path, existing).unwrap()), options())
}

#[test]
fn a_file_appears_under_its_name_when_it_is_complete_and_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.zip");
    let maker = file_maker(&path, Existing::Keep);
    maker.add("db", "a", Compression::Deflate, &text(1, 50 * BLOCK));
    let partial = names(folder.path());
    assert!(partial.len() == 1 && partial[0].contains(".partial"), "{partial:?}");
    maker.seal();
    assert_eq!(names(folder.path()), ["shop.zip"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    verify(&Archive::open(Arc::new(fs::File::open(&path).unwrap())).unwrap()).unwrap();
}

#[test]
fn a_file_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.zip");
    let aborted = file_maker(&path, Existing::Keep);
    aborted.add("db", "a", Compression::Store, &noise(1, 50 * BLOCK));
    aborted.writer.abort();
    assert!(names(folder.path()).is_empty());
    drop(file_maker(&path, Existing::Keep));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn an_existing_file_is_kept_unless_it_is_to_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.zip");
    let late = file_maker(&path, Existing::Keep);
    fs::write(&path, "precious").unwrap();
    let manifest = late.manifest();
    assert_eq!(late.writer.seal(manifest).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(FileOutput::create(&path, Existing::Keep).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    file_maker(&path, Existing::Replace).seal();
    assert_eq!(names(folder.path()), ["shop.zip"]);
    assert!(Archive::open(Arc::new(fs::File::open(&path).unwrap())).is_ok());
}

#[test]
fn two_dumps_to_one_name_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.zip");
    let (one, other) = (file_maker(&path, Existing::Keep), file_maker(&path, Existing::Keep));
    one.add("db", "a", Compression::Store, b"one");
    other.add("db", "a", Compression::Store, b"other");
    one.seal();
    let manifest = other.manifest();
    assert_eq!(other.writer.seal(manifest).unwrap_err().kind(), ErrorKind::Exists);
    let archive = Archive::open(Arc::new(fs::File::open(&path).unwrap())).unwrap();
    assert_eq!(content(&archive, "db", "a").unwrap(), b"one");
    assert_eq!(names(folder.path()), ["shop.zip"]);
}

/// As in a drop box: who may write may not look.
#[test]
fn a_folder_that_can_not_be_read_can_be_published_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let nobody = 65_534;
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(folder.path(), Some(nobody), None).unwrap();
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o300)).unwrap();
    let published = std::thread::scope(|scope| {
        let publish = || {
            if root {
                // Of this thread alone. Root could read any folder.
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(nobody)).unwrap();
            }
            let mut output = Box::new(FileOutput::create(&path, Existing::Keep).unwrap());
            output.write_all(b"all").unwrap();
            output.publish()
        };
        scope.spawn(publish).join().unwrap()
    });
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    published.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"all");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
