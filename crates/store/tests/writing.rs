//! Archives on their way into stores: whole, or not at all.

#![allow(clippy::unwrap_used, missing_docs, reason = "a surrounding that fails ends the test")]

mod support;

use dumprestore::{CopyOutcome, Elsewhere};
use dumprestore_driver::{Cancel, ErrorKind};
use dumprestore_store::{Place, StoreDestination, Target};
use dumprestore_testkit::{Mishap, Requests, S3Kind};
use support::{PLAIN, Scene, archive, assert_whole, assert_whole_bytes, settings};

const MIB: usize = 1 << 20;

#[test]
fn an_archive_appears_when_it_is_whole_and_is_read_where_it_lies() {
    for kind in S3Kind::ALL {
        for bytes in [0, 1000, 21 * MIB] {
            let scene = Scene::new(kind);
            let copies = scene.write(&[scene.place(PLAIN)], bytes).unwrap();
            assert!(copies.iter().all(|copy| copy.outcome == CopyOutcome::Verified), "{copies:?}");
            assert_whole(&scene.place(PLAIN));
            assert_whole_bytes(scene.stored(PLAIN).unwrap());
            scene.assert_no_uploads();
        }
    }
}

#[test]
fn what_is_given_up_leaves_nothing() {
    for kind in S3Kind::ALL {
        let scene = Scene::new(kind);
        for bytes in [MIB, 21 * MIB] {
            let mut destination = scene.destination(&[scene.place(PLAIN)]);
            let mut output = destination.open(scene.state.path()).unwrap().output;
            output.write_all(&support::noise(bytes)).unwrap();
            output.abort();
            scene.assert_empty();
            let mut output =
                scene.destination(&[scene.place(PLAIN)]).open(scene.state.path()).unwrap().output;
            output.write_all(&support::noise(bytes)).unwrap();
            drop(output);
            scene.assert_empty();
        }
    }
}

#[test]
fn no_archive_is_overwritten_not_even_one_that_comes_while_another_is_written() {
    for kind in S3Kind::ALL {
        for bytes in [1000, 12 * MIB] {
            let scene = Scene::new(kind);
            let mut destination = scene.destination(&[scene.place(PLAIN)]);
            let output = destination.open(scene.state.path()).unwrap().output;
            scene.real.put(&format!("archives/{PLAIN}"), "another");
            let error = archive("shop", bytes, output).unwrap_err();
            assert!(error.to_string().contains("exists"), "{error}");
            assert_eq!(scene.stored(PLAIN).unwrap(), b"another");
            let error = scene.write(&[scene.place(PLAIN)], bytes).unwrap_err();
            assert!(error.contains("exists"), "{error}");
            assert_eq!(scene.stored(PLAIN).unwrap(), b"another");
            scene.assert_no_uploads();
        }
    }
}

#[test]
fn one_place_that_fails_does_not_stop_the_others_and_is_told_of() {
    let scene = Scene::new(S3Kind::Moto);
    let other = Scene::new(S3Kind::Moto);
    let folder = tempfile::tempdir().unwrap();
    let local = Place::File(folder.path().join(PLAIN));
    other.trouble.make(Requests::all().method("PUT").after(1), Mishap::Refuse);
    let places = [scene.place(PLAIN), other.place(PLAIN), local.clone()];
    let copies = scene.write(&places, 30 * MIB).unwrap();
    let outcome = |place: &Place| {
        copies.iter().find(|copy| copy.place == place.shown()).map(|copy| copy.outcome).unwrap()
    };
    assert_eq!(outcome(&places[0]), CopyOutcome::Verified);
    assert_eq!(outcome(&places[1]), CopyOutcome::Failed);
    assert_eq!(outcome(&places[2]), CopyOutcome::Verified);
    let why = copies.iter().find_map(|copy| copy.why.clone()).unwrap();
    assert!(why.contains("the connection broke"), "{why}");
    assert_whole(&places[0]);
    assert_whole(&local);
    other.assert_empty();
}

#[test]
fn where_every_place_fails_so_does_the_archive() {
    let scene = Scene::new(S3Kind::Moto);
    scene.trouble.make(Requests::all().method("PUT").after(1), Mishap::Refuse);
    let error = scene.write(&[scene.place("a.zip"), scene.place("b.zip")], 30 * MIB).unwrap_err();
    assert!(error.contains("the connection broke"), "{error}");
    scene.assert_empty();
    scene.trouble.clear();
    scene.trouble.make(Requests::all(), Mishap::Refuse);
    let error = scene.write(&[scene.place("a.zip")], MIB).unwrap_err();
    assert!(error.contains("can't look at"), "{error}");
}

#[test]
fn a_store_that_is_busy_slow_or_breaks_connections_gets_the_whole_archive_in_the_end() {
    let all = [
        Mishap::Status(503),
        Mishap::Refuse,
        Mishap::CutRequest(1_000_000),
        Mishap::LoseAnswer,
        Mishap::Slow(40_000_000),
    ];
    for (kind, mishaps) in [(S3Kind::Ceph, &all[..]), (S3Kind::Moto, &all[2..4])] {
        for &mishap in mishaps {
            let scene = Scene::patient(kind);
            scene.trouble.make(Requests::all().every(3), mishap);
            let copies = scene.write(&[scene.place(PLAIN)], 9 * MIB);
            scene.trouble.clear();
            // Of a store that has lost an answer it may be that it can't be told what came of it, but never that it
            // has a part of the archive.
            match copies {
                Ok(copies) => {
                    assert_ne!(copies[0].outcome, CopyOutcome::Failed, "{kind:?}, {mishap:?}: {copies:?}")
                }
                Err(error) => panic!("{kind:?}, {mishap:?}: {error}"),
            }
            assert!(scene.trouble.mishaps() > 0);
            assert_whole_bytes(scene.stored(PLAIN).unwrap());
            if mishap != Mishap::LoseAnswer {
                scene.assert_no_uploads();
            }
        }
    }
}

#[test]
fn a_completion_whose_answer_is_lost_is_known_to_have_happened() {
    for kind in S3Kind::ALL {
        for (bytes, completing) in [
            (20 * MIB, Requests::all().method("POST").with("uploadId=")),
            (1000, Requests::all().method("PUT")),
        ] {
            let scene = Scene::new(kind);
            scene.trouble.make(completing.times(1), Mishap::LoseAnswer);
            let copies = scene.write(&[scene.place(PLAIN)], bytes).unwrap();
            assert_eq!(copies[0].outcome, CopyOutcome::Verified, "{kind:?}, {bytes}: {copies:?}");
            assert_eq!(scene.trouble.mishaps(), 1);
            assert_whole(&scene.place(PLAIN));
            scene.assert_no_uploads();
        }
    }
}

#[test]
fn what_a_killed_dump_has_left_is_removed_by_the_next_one_and_nothing_of_others() {
    for kind in S3Kind::ALL {
        let scene = Scene::new(kind);
        scene.trouble.make(Requests::all().after(3), Mishap::Refuse);
        scene.write(&[scene.place(PLAIN)], 40 * MIB).unwrap_err();
        scene.trouble.clear();
        assert_eq!(scene.real.uploads("").len(), 1, "the store could not be told to abort it");
        let foreign = scene.real.begin_upload("archives/theirs.zip");
        scene.write(&[scene.place("shop-20260201T120000Z.zip")], 1000).unwrap();
        let left: Vec<_> = scene.real.uploads("").into_iter().map(|upload| upload.id).collect();
        assert_eq!(left, [foreign]);
        assert!(std::fs::read_dir(scene.state.path()).unwrap().next().is_none(), "nothing is noted any more");
    }
}

#[test]
fn a_copy_that_can_not_be_looked_at_is_said_to_be_so() {
    let scene = Scene::new(S3Kind::Moto);
    scene.trouble.make(Requests::all().method("GET"), Mishap::Status(403));
    let copies = scene.write(&[scene.place(PLAIN)], 1000).unwrap();
    assert_eq!(copies[0].outcome, CopyOutcome::Unverified, "{copies:?}");
    assert!(copies[0].why.is_some());
}

#[test]
fn an_archive_that_becomes_too_large_fails_at_once() {
    let scene = Scene::new(S3Kind::Moto);
    let mut settings = settings();
    settings.max_size = Some(9 * MIB as u64);
    let targets = vec![Target::new(scene.place(PLAIN))];
    let mut destination = StoreDestination::new(targets, settings, Cancel::default());
    let mut output = destination.open(scene.state.path()).unwrap().output;
    output.write_all(&support::noise(9 * MIB)).unwrap();
    let error = output.write_all(b"x").unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
    output.abort();
    scene.assert_empty();
}

#[test]
fn uploads_keep_to_the_speed_that_they_may_have() {
    let scene = Scene::new(S3Kind::Moto);
    let mut settings = settings();
    settings.bandwidth = Some(16 * MIB as u64);
    let targets = vec![Target::new(scene.place(PLAIN))];
    let mut destination = StoreDestination::new(targets, settings, Cancel::default());
    let output = destination.open(scene.state.path()).unwrap().output;
    let begun = std::time::Instant::now();
    archive("shop", 24 * MIB, output).unwrap();
    // The first part leaves at once, and the third has to wait for two.
    assert!(begun.elapsed() > std::time::Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_whole(&scene.place(PLAIN));
}

#[test]
fn a_place_that_is_not_there_is_told_before_anything_is_dumped() {
    let scene = Scene::new(S3Kind::Ceph);
    let url = scene.real.url("archives").replace(scene.real.name(), "no-such-bucket");
    let place = Place::from_url(
        &format!("{url}/a.zip"),
        &support::options(&scene.trouble.endpoint(), dumprestore_testkit::S3Server::shared(S3Kind::Ceph)),
        std::path::Path::new("/"),
    );
    let mut destination = scene.destination(&[place.unwrap()]);
    match destination.open(scene.state.path()) {
        // A store that does not tell a bucket from an object in it says so when the first byte comes.
        Ok(opened) => assert!(archive("shop", 1000, opened.output).is_err()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Environment),
    }
}
