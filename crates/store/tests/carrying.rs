//! Archives that are carried from one place to another.

#![allow(clippy::unwrap_used, missing_docs, reason = "a surrounding that fails ends the test")]

mod support;

use std::fs::{self, File};
use std::path::Path;

use dumprestore_archive::{Existing, FileOutput};
use dumprestore_driver::{Cancel, ErrorKind};
use dumprestore_store::{Cargo, Encryption, Identities, Place, StoreDestination, Target};
use dumprestore_testkit::{Mishap, Requests, S3Kind};
use support::{Scene, archive, settings};

const MIB: usize = 1 << 20;
const SEALED: &str = "shop-20260131T120000Z.zip.age";

fn phrase(text: &str) -> Identities {
    Identities::none().and_passphrase(text).unwrap()
}

fn sealed(path: &Path, bytes: usize) {
    let file = Box::new(FileOutput::create(path, Existing::Keep).unwrap());
    let output = Encryption::with_passphrase("right", Some(10)).unwrap().wrap(file).unwrap();
    archive("shop", bytes, output).unwrap();
}

fn flip(path: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn push(cargo: &Cargo, scene: &Scene) -> Result<(), ErrorKind> {
    let targets = vec![Target::new(scene.place(SEALED))];
    let destination = StoreDestination::new(targets, settings(), Cancel::default());
    cargo.push(&destination, &Cancel::default(), &|_| {}).map(drop).map_err(|error| error.kind())
}

#[test]
fn an_encrypted_archive_is_checked_on_its_way_if_something_opens_it_and_else_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SEALED);
    sealed(&path, 3 * MIB);
    let scene = Scene::new(S3Kind::Moto);
    let open = |identities: &Identities| Cargo::open(&Place::File(path.clone()), identities).unwrap();
    let opened = open(&phrase("right"));
    assert!(opened.unchecked().is_none() && opened.set() == Some("shop"));
    push(&opened, &scene).unwrap();
    assert!(scene.stored(SEALED) == Some(fs::read(&path).unwrap()));
    let scene = Scene::new(S3Kind::Moto);
    flip(&path, 2 * MIB as u64);
    assert_eq!(push(&opened, &scene), Err(ErrorKind::Archive));
    assert_eq!(push(&open(&phrase("right")), &scene), Err(ErrorKind::Archive));
    scene.assert_empty();
    for nothing in [Identities::none(), phrase("wrong")] {
        assert!(open(&nothing).unchecked().is_some());
    }
    push(&open(&Identities::none()), &scene).unwrap();
}

#[test]
fn an_encrypted_archive_that_is_damaged_is_not_pulled_and_one_that_was_cut_off_is_checked_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (source, to) = (folder.path().join(SEALED), folder.path().join("copy.zip.age"));
    sealed(&source, 5 * MIB);
    let scene = Scene::new(S3Kind::Ceph);
    let cargo = |name| Cargo::open(&scene.place(name), &phrase("right")).unwrap();
    scene.real.put(&format!("archives/{SEALED}"), fs::read(&source).unwrap());
    let cancel = Cancel::default();
    let stop = |done: u64| {
        if done >= 3 * MIB as u64 {
            cancel.cancel();
        }
    };
    assert_eq!(cargo(SEALED).pull(&to, &cancel, &stop).unwrap_err().kind(), ErrorKind::Cancelled);
    let half = folder.path().join("copy.zip.age.pull");
    flip(&half, MIB as u64);
    let error = cargo(SEALED).pull(&to, &Cancel::default(), &|_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Archive);
    assert!(!half.exists() && !to.exists(), "nothing of it is gone on with");
    assert_eq!(cargo(SEALED).pull(&to, &Cancel::default(), &|_| {}).unwrap(), 0);
    assert!(fs::read(&to).unwrap() == fs::read(&source).unwrap());
}

#[test]
fn an_upload_that_a_killed_push_has_left_is_removed_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.zip");
    archive("shop", 20 * MIB, Box::new(FileOutput::create(&path, Existing::Keep).unwrap())).unwrap();
    let cargo = Cargo::open(&Place::File(path), &Identities::none()).unwrap();
    for kind in S3Kind::ALL {
        let scene = Scene::new(kind);
        let destination = || {
            let targets = vec![Target::new(scene.place("shop.zip"))];
            let destination = StoreDestination::new(targets, settings(), Cancel::default());
            let (destination, warnings) = destination.noted_in("shop", scene.state.path());
            assert!(warnings.is_empty(), "{warnings:?}");
            destination
        };
        scene.trouble.make(Requests::all().after(3), Mishap::Refuse);
        let killed = destination();
        cargo.push(&killed, &Cancel::default(), &|_| {}).unwrap_err();
        drop(killed);
        scene.trouble.clear();
        assert_eq!(scene.real.uploads("").len(), 1, "the store could not be told to abort it");
        cargo.push(&destination(), &Cancel::default(), &|_| {}).unwrap();
        assert!(scene.real.uploads("").is_empty());
        assert!(fs::read_dir(scene.state.path()).unwrap().next().is_none(), "nothing is noted any more");
    }
}
