//! The same archive for others.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_archive::{
    Archive, ArchiveWriter, Compression, EntryName, Existing, FileOutput, Listed, Manifest, Node, RangeRead,
    Tool, WriterOptions,
};
use dumprestore_driver::{Cancel, Error, ErrorKind, Result};
use dumprestore_store::{Encryption, Identities, Rewrapped, check_rewrapped, readable, rewrap};

fn write(path: &Path, to: Option<&Encryption>) {
    let mut output: Box<dyn dumprestore_archive::Output> =
        Box::new(FileOutput::create(path, Existing::Keep).unwrap());
    if let Some(to) = to {
        output = to.wrap(output).unwrap();
    }
    let writer = ArchiveWriter::create(output, WriterOptions::default()).unwrap();
    for at in 0..40u64 {
        let name = EntryName::new("uploads", &format!("files/{at}")).unwrap();
        let mut part = writer.part(&name, Compression::Store).unwrap();
        part.write_all(&vec![at as u8; 9000 * at as usize]).unwrap();
        let receipt = part.finish().unwrap();
        writer.list("uploads", receipt.id, at, &Listed::default()).unwrap();
    }
    let tool = Tool { name: "tests".into(), version: "1.0".into() };
    let mut manifest = Manifest::new(tool, "shop", "run-1", time::OffsetDateTime::now_utc());
    manifest.nodes.push(Node::new("uploads", "filesystem", 1));
    writer.seal(manifest).unwrap();
}

fn phrase(text: &str) -> (Encryption, Identities) {
    let to = Encryption::with_passphrase(text, Some(10)).unwrap();
    (to, Identities::none().and_passphrase(text).unwrap())
}

fn content(path: &Path, with: &Identities) -> Arc<dyn RangeRead> {
    readable(Arc::new(File::open(path).unwrap()), with).unwrap()
}

fn verified(path: &Path, with: &Identities) -> [u8; 32] {
    let archive = Archive::open(content(path, with)).unwrap();
    archive.verify(&Default::default(), &|_| (), &|| false).unwrap();
    archive.sha256().0
}

fn open(from: Arc<dyn RangeRead>) -> Result<Archive> {
    Archive::open(from).map_err(|error| Error::archive(error.to_string()))
}

fn into(from: Arc<dyn RangeRead>, to: Option<&Encryption>, path: &Path) -> Result<Rewrapped> {
    let archive = open(from)?;
    let output = Box::new(FileOutput::create(path, Existing::Keep).unwrap());
    rewrap(&archive, to, output, &Cancel::default(), &|_, _| ())
}

fn names(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn others_can_read_it_afterwards_and_those_before_can_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let ((old, old_key), (new, new_key)) = (phrase("old"), phrase("new"));
    write(&path("plain.zip"), None);
    let sha256 = verified(&path("plain.zip"), &Identities::none());
    let steps = [
        ("plain.zip", "a.age", Some(&old), Identities::none()),
        ("a.age", "b.age", Some(&new), old_key.clone()),
        ("b.age", "again.zip", None, new_key.clone()),
    ];
    for (from, name, to, with) in steps {
        let written = into(content(&path(from), &with), to, &path(name)).unwrap();
        assert_eq!(written.bytes, fs::metadata(path(name)).unwrap().len());
        check_rewrapped(&File::open(path(name)).unwrap(), &written, &Cancel::default()).unwrap();
    }
    assert_eq!(verified(&path("b.age"), &new_key), sha256);
    assert!(readable(Arc::new(File::open(path("b.age")).unwrap()), &old_key).is_err());
    assert!(fs::read(path("plain.zip")).unwrap() == fs::read(path("again.zip")).unwrap());
}

#[test]
fn what_is_damaged_is_not_published_and_the_partial_file_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.zip");
    write(&path, None);
    let whole = fs::read(&path).unwrap();
    for at in [40, whole.len() / 2, whole.len() - 2000, whole.len() - 10] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let error = into(Arc::new(damaged), Some(&phrase("x").0), &folder.path().join("new")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Archive, "{at}: {error}");
        assert_eq!(names(folder.path()), std::slice::from_ref(&path), "{at}");
    }
}

#[test]
fn an_interrupt_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.zip");
    write(&path, None);
    let cancel = Cancel::default();
    let output = Box::new(FileOutput::create(folder.path().join("new"), Existing::Keep).unwrap());
    let from = open(content(&path, &Identities::none())).unwrap();
    let error = rewrap(&from, Some(&phrase("x").0), output, &cancel, &|_, _| cancel.cancel()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(names(folder.path()), [path]);
}

#[test]
fn a_place_that_has_something_else_than_was_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (path, new) = (folder.path().join("plain.zip"), folder.path().join("new.age"));
    write(&path, None);
    let written = into(content(&path, &Identities::none()), Some(&phrase("x").0), &new).unwrap();
    let stored = fs::read(&new).unwrap();
    let mut flipped = stored.clone();
    flipped[stored.len() / 2] ^= 4;
    for amiss in [flipped, stored[..stored.len() - 1].to_vec(), [&stored[..], b"x"].concat(), Vec::new()] {
        let error = check_rewrapped(&amiss, &written, &Cancel::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Archive);
    }
    check_rewrapped(&stored, &written, &Cancel::default()).unwrap();
}
