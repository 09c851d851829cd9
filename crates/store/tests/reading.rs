//! Archives that are read where they lie.

#![allow(clippy::unwrap_used, missing_docs, reason = "a surrounding that fails ends the test")]

mod support;

use std::sync::Arc;
use std::thread;

use dumprestore_archive::RangeRead;
use dumprestore_driver::{Cancel, ErrorKind};
use dumprestore_store::{Cargo, Identities, Place, StoredArchive, open};
use dumprestore_testkit::{Mishap, Requests, S3Kind};
use proptest::prelude::*;
use support::{PLAIN, Scene, assert_whole, noise};

const MIB: usize = 1 << 20;

#[test]
fn several_who_read_at_once_get_the_very_bytes_whatever_goes_wrong_on_the_way() {
    for (kind, mishap) in [
        (S3Kind::Moto, Mishap::CutAnswer(300_000)),
        (S3Kind::Ceph, Mishap::CutAnswer(300_000)),
        (S3Kind::Ceph, Mishap::Status(503)),
        (S3Kind::Ceph, Mishap::Refuse),
    ] {
        let scene = Scene::patient(kind);
        let content = noise(9 * MIB + 123_457);
        scene.real.put(&format!("archives/{PLAIN}"), &content);
        scene.trouble.make(Requests::all().every(4), mishap);
        let stored = StoredArchive::open(&scene.object(PLAIN)).unwrap();
        assert_eq!(stored.size().unwrap(), content.len() as u64);
        thread::scope(|scope| {
            for reader in 0..6 {
                let (stored, content) = (&stored, &content);
                scope.spawn(move || {
                    let (mut at, mut buffer) = (reader * 777_777, vec![0; 100_003]);
                    while at < content.len() {
                        let length = buffer.len().min(content.len() - at);
                        stored.read_exact_at(&mut buffer[..length], at as u64).unwrap();
                        assert!(buffer[..length] == content[at..at + length], "{at}");
                        at += length;
                    }
                });
            }
        });
        assert!(stored.read_exact_at(&mut [0; 2], content.len() as u64 - 1).is_err());
    }
}

#[test]
fn little_is_fetched_of_an_archive_of_which_little_is_read() {
    let scene = Scene::new(S3Kind::Ceph);
    scene.write(&[scene.place(PLAIN)], 30 * MIB).unwrap();
    let before = scene.trouble.seen().len();
    open(&scene.place(PLAIN), &Identities::none()).unwrap();
    let asked = scene.trouble.seen().len() - before;
    assert!(asked <= 6, "{:?}", &scene.trouble.seen()[before..]);
}

#[test]
fn an_archive_that_is_replaced_while_it_is_read_is_an_error_and_no_mix() {
    for kind in S3Kind::ALL {
        let scene = Scene::new(kind);
        let key = format!("archives/{PLAIN}");
        scene.real.put(&key, noise(5 * MIB));
        let stored = StoredArchive::open(&scene.object(PLAIN)).unwrap();
        stored.read_exact_at(&mut [0; 100], 0).unwrap();
        scene.real.put(&key, vec![7; 5 * MIB]);
        let error = stored.read_exact_at(&mut [0; 100], 4 * MIB as u64).unwrap_err();
        assert!(error.to_string().contains("replaced"), "{error}");
        scene.real.delete(&key);
        let error = stored.read_exact_at(&mut [0; 100], 3 * MIB as u64).unwrap_err();
        assert!(error.to_string().contains("removed") || error.to_string().contains("replaced"), "{error}");
    }
}

#[test]
fn an_older_version_is_read_to_its_end_even_if_it_is_replaced_meanwhile() {
    for kind in S3Kind::ALL {
        let scene = Scene::versioned(kind);
        let key = format!("archives/{PLAIN}");
        scene.real.put(&key, noise(3 * MIB));
        let stored = StoredArchive::open(&scene.object(PLAIN)).unwrap();
        scene.real.put(&key, "another");
        let mut all = vec![0; 3 * MIB];
        stored.read_exact_at(&mut all, 0).unwrap();
        assert!(all == noise(3 * MIB));
        let old = scene.real.versions("").into_iter().find(|version| !version.latest).unwrap();
        let named = StoredArchive::open(&scene.object(PLAIN).at_version(old.id)).unwrap();
        assert_eq!(named.size().unwrap(), 3 * MIB as u64);
    }
}

#[test]
fn a_store_that_can_not_be_reached_says_nothing_about_the_archive() {
    let scene = Scene::new(S3Kind::Moto);
    scene.write(&[scene.place(PLAIN)], 1000).unwrap();
    let missing = open(&scene.place("none.zip"), &Identities::none()).err().unwrap();
    assert_eq!(missing.kind(), ErrorKind::Archive);
    scene.trouble.make(Requests::all(), Mishap::Refuse);
    let unreached = open(&scene.place(PLAIN), &Identities::none()).err().unwrap();
    assert_eq!(unreached.kind(), ErrorKind::Environment, "{unreached}");
}

#[test]
fn a_copy_into_a_file_goes_on_where_it_was_stopped_and_is_checked() {
    let scene = Scene::new(S3Kind::Ceph);
    scene.write(&[scene.place(PLAIN)], 20 * MIB).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy.zip");
    let pull = |scene: &Scene| {
        let cargo = Cargo::open(&scene.place(PLAIN), &Identities::none())?;
        cargo.pull(&to, &Cancel::default(), &|_| {})
    };
    let cancel = Cancel::default();
    let cargo = Cargo::open(&scene.place(PLAIN), &Identities::none()).unwrap();
    let stopped = cargo.pull(&to, &cancel, &|done| {
        if done > 8 * MIB as u64 {
            cancel.cancel()
        }
    });
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(!to.exists());
    drop(cargo);
    let from = pull(&scene).unwrap();
    assert!(from > 8 * MIB as u64, "{from}");
    assert_whole(&Place::File(to.clone()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = pull(&scene).unwrap_err();
    assert!(error.message().contains("is there already"), "{error}");
}

#[test]
fn a_half_copy_of_another_archive_is_begun_anew() {
    let scene = Scene::new(S3Kind::Ceph);
    scene.write(&[scene.place(PLAIN)], 10 * MIB).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("copy.zip");
    let cancel = Cancel::default();
    let cargo = Cargo::open(&scene.place(PLAIN), &Identities::none()).unwrap();
    cargo
        .pull(&to, &cancel, &|done| {
            if done > 4 * MIB as u64 {
                cancel.cancel()
            }
        })
        .unwrap_err();
    scene.real.delete(&format!("archives/{PLAIN}"));
    scene.write(&[scene.place(PLAIN)], 10 * MIB).unwrap();
    let cargo = Cargo::open(&scene.place(PLAIN), &Identities::none()).unwrap();
    assert_eq!(cargo.pull(&to, &Cancel::default(), &|_| {}).unwrap(), 0);
    assert_whole(&Place::File(to));
}

#[test]
fn a_damaged_archive_is_copied_nowhere() {
    let scene = Scene::new(S3Kind::Moto);
    let folder = tempfile::tempdir().unwrap();
    let local = Place::File(folder.path().join(PLAIN));
    scene.write(std::slice::from_ref(&local), 3 * MIB).unwrap();
    let path = local.local().unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    bytes[MIB] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let cargo = Cargo::open(&local, &Identities::none()).unwrap();
    let destination = scene.destination(&[scene.place(PLAIN)]);
    let error = cargo.push(&destination, &Cancel::default(), &|_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Archive);
    scene.assert_empty();
    let to = folder.path().join("copy.zip");
    assert_eq!(cargo.pull(&to, &Cancel::default(), &|_| {}).unwrap_err().kind(), ErrorKind::Archive);
    assert!(!to.exists());
}

#[test]
fn an_archive_is_copied_from_a_file_to_buckets_and_from_bucket_to_bucket() {
    let (scene, other) = (Scene::new(S3Kind::Moto), Scene::new(S3Kind::Ceph));
    scene.write(&[scene.place(PLAIN)], 20 * MIB).unwrap();
    let cargo = Cargo::open(&scene.place(PLAIN), &Identities::none()).unwrap();
    let copies =
        cargo.push(&other.destination(&[other.place("copy.zip")]), &Cancel::default(), &|_| {}).unwrap();
    assert_eq!(copies.len(), 1);
    assert_eq!(scene.stored(PLAIN), other.stored("copy.zip"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_read_in_whatever_order_is_right(
        size in 1_usize..5_000_000,
        places in prop::collection::vec((0.0_f64..1.0, 1_usize..1_500_000), 1..12),
    ) {
        let scene = Scene::new(S3Kind::Moto);
        let content = noise(size);
        scene.real.put(&format!("archives/{PLAIN}"), &content);
        let stored = Arc::new(StoredArchive::open(&scene.object(PLAIN)).unwrap());
        for (at, length) in places {
            let at = (at * size as f64) as usize;
            let length = length.min(size - at);
            let mut buffer = vec![0; length];
            stored.read_exact_at(&mut buffer, at as u64).unwrap();
            prop_assert!(buffer == content[at..at + length]);
        }
    }
}
