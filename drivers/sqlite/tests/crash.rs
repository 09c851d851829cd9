//! Restores that end in the middle: killed, out of space, or with others at work before anybody recovers.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dumprestore_driver::{ErrorKind, OldState, StageContext, Token};
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::{Faulty, Restoring, Seed, Step, StoredNode};
use proptest::prelude::*;

mod support;
use support::Journal;
use support::child::{self, Other};
use support::runs::{Place, driver};

async fn changed(journal: Journal, seed: Seed) -> (Place, Arc<StoredNode>, String, String) {
    let place = Place::with(SqliteConfig::new);
    support::seed(&place.path, journal, seed);
    let archived = support::fingerprint(&place.path);
    let dumped = place.dump().await;
    support::mutate(&place.path);
    let live = support::fingerprint(&place.path);
    (place, dumped, archived, live)
}

fn mark_of(place: &Place) -> std::path::PathBuf {
    let name = place.names().into_iter().find(|name| name.ends_with(".swap")).expect("there is no mark");
    place.path.with_file_name(name)
}

/// As if the crash had come right before the mark was brought up to date.
fn set_back_the_mark(place: &Place) {
    let mark = mark_of(place);
    let text = std::fs::read_to_string(&mark).unwrap();
    assert!(text.contains("\"done\""), "{text}");
    std::fs::write(&mark, text.replace("\"done\"", "\"intended\"")).unwrap();
}

fn migrate(path: &Path) {
    support::connect(path)
        .execute_batch("CREATE TABLE migrated (x); INSERT INTO migrated VALUES (1)")
        .unwrap();
}

/// A restore as another process does it: says its token when all is prepared, then commits.
#[test]
fn the_restoring_program() {
    let Some((task, path)) = child::task() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let archived = Arc::new(StoredNode::open(Path::new(&task)));
        let driver = driver(SqliteConfig::new(&path));
        let cx = StageContext::new("the-run");
        let mut restoring = Restoring::stage(&*driver, archived, cx, Arc::<Faulty>::default()).await.unwrap();
        restoring.go(Step::Prepare, OldState::Drop).await.unwrap();
        println!("ready {}", restoring.staging().journal());
        match restoring.staging().commit().await {
            Ok(()) => println!("then committed"),
            Err(error) => println!("then failed: {error}"),
        }
    });
    std::thread::sleep(Duration::from_secs(600));
}

fn start(dumped: &StoredNode, place: &Place) -> (Other, Token) {
    let folder = dumped.save().to_str().unwrap().to_owned();
    let (other, said) = Other::start_and_hear("the_restoring_program", &folder, &place.path);
    (other, serde_json::from_str(&said).unwrap())
}

async fn kill_at_any_moment(journal: Journal, dumped: Seed, live: Seed) {
    let place = Place::with(SqliteConfig::new);
    support::seed(&place.path, journal, dumped);
    let archived = support::fingerprint(&place.path);
    let dumped = place.dump().await;
    support::seed(&place.path, journal, live);
    support::mutate(&place.path);
    let live = support::fingerprint(&place.path);

    let (mut other, token) = start(&dumped, &place);
    let since = Instant::now();
    other.line("then");
    let whole = since.elapsed();
    other.kill();
    place.resume(&token).await.rollback().await.unwrap();
    let (mut old, mut new) = (0, 0);
    for round in 0..12 {
        let (mut other, token) = start(&dumped, &place);
        std::thread::sleep(whole * round / 10);
        other.kill();
        // The application is started again before anybody recovers.
        let now = support::fingerprint(&place.path);
        assert!(now == live || now == archived, "{journal:?}, round {round}: a mix of both states");
        *(if now == live { &mut old } else { &mut new }) += 1;
        let mut resumed = place.resume(&token).await;
        if round % 2 == 1 {
            resumed.commit().await.unwrap();
            assert!(support::fingerprint(&place.path) == archived, "{journal:?}, round {round}");
        }
        resumed.rollback().await.unwrap();
        assert!(support::fingerprint(&place.path) == live, "{journal:?}, round {round}");
        assert_eq!(place.names(), ["shop.db"], "{journal:?}, round {round}");
    }
    println!("a swap takes {} ms; killed before it {old} times, after it {new} times", whole.as_millis());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_of_a_swap_in_wal_mode_it_is_one_state_and_both_can_be_had() {
    kill_at_any_moment(Journal::Wal, Seed::Large, Seed::Large).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_of_a_swap_with_a_journal_it_is_one_state_and_both_can_be_had() {
    kill_at_any_moment(Journal::Delete, Seed::Large, Seed::Large).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_of_a_swap_to_larger_pages_it_is_one_state_and_both_can_be_had() {
    kill_at_any_moment(Journal::Delete, Seed::Large, Seed::Hostile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_of_a_swap_to_smaller_pages_it_is_one_state_and_both_can_be_had() {
    kill_at_any_moment(Journal::Delete, Seed::Hostile, Seed::Large).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_after_a_crash_before_the_swap_is_not_taken_for_the_swap() {
    for journal in Journal::BOTH {
        for forward in [false, true] {
            let (place, dumped, archived, live) = changed(journal, Seed::Ordinary).await;
            let mut restoring = place.staged(&dumped, Step::Prepare).await;
            let token = restoring.staging().journal();
            let cookie: i64 = support::connect(&place.path)
                .pragma_query_value(None, "schema_version", |row| row.get(0))
                .unwrap();
            let prefix = place.names().into_iter().find(|name| name.ends_with(".staged")).unwrap();
            let mark = place.path.with_file_name(prefix.replace(".staged", ".swap"));
            let text = format!(
                r#"{{"reached":"intended","swap":{{"pages":{{"cookie":{cookie},"page_size":4096}}}}}}"#
            );
            std::fs::write(&mark, text).unwrap();
            drop(restoring);
            // One change of the schema: the cookie is now what the swap would have made it.
            migrate(&place.path);
            let migrated = support::fingerprint(&place.path);
            assert_ne!(migrated, live);
            let mut resumed = place.resume(&token).await;
            if forward {
                resumed.commit().await.unwrap();
                assert_eq!(support::fingerprint(&place.path), archived);
            }
            resumed.rollback().await.unwrap();
            assert_eq!(support::fingerprint(&place.path), migrated, "{journal:?}, forward: {forward}");
            assert_eq!(place.names(), ["shop.db"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_whose_mark_is_not_up_to_date_is_recognised_whatever_was_written_since() {
    for journal in Journal::BOTH {
        let (place, dumped, archived, live) = changed(journal, Seed::Ordinary).await;
        let mut restoring = place.staged(&dumped, Step::Prepare).await;
        let token = restoring.staging().journal();
        restoring.staging().commit().await.unwrap();
        drop(restoring);
        set_back_the_mark(&place);
        migrate(&place.path);
        let mut resumed = place.resume(&token).await;
        resumed.commit().await.unwrap();
        assert!(support::fingerprint(&place.path).contains("migrated"), "it was swapped in twice");
        resumed.rollback().await.unwrap();
        assert_eq!(support::fingerprint(&place.path), live, "{journal:?}");
        assert_eq!(place.names(), ["shop.db"]);
        place.restore(&dumped).await;
        assert_eq!(support::fingerprint(&place.path), archived);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_told_is_left_alone_and_said() {
    let (place, dumped, ..) = changed(Journal::Wal, Seed::Ordinary).await;
    let mut restoring = place.staged(&dumped, Step::Prepare).await;
    let token = restoring.staging().journal();
    restoring.staging().commit().await.unwrap();
    drop(restoring);
    set_back_the_mark(&place);
    // Somebody puts a wholly different database there.
    support::seed(&place.path, Journal::Wal, Seed::Large);
    support::connect(&place.path).execute_batch("PRAGMA page_size = 4096").unwrap();
    let there = support::fingerprint(&place.path);
    let error = place.resume(&token).await.rollback().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck);
    let hint = error.hint().unwrap().to_owned();
    assert_eq!(support::fingerprint(&place.path), there);
    // The hint helps.
    let mark = mark_of(&place);
    assert!(hint.contains(mark.to_str().unwrap()), "{hint}");
    std::fs::remove_file(mark).unwrap();
    place.resume(&token).await.rollback().await.unwrap();
    assert_eq!(support::fingerprint(&place.path), there);
    assert_eq!(place.names(), ["shop.db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_after_a_rollback_that_was_killed_at_its_very_end_are_not_rolled_back_again() {
    for journal in Journal::BOTH {
        let (place, dumped, _, live) = changed(journal, Seed::Ordinary).await;
        let mut restoring = place.staged(&dumped, Step::Commit).await;
        let token = restoring.staging().journal();
        let saved: Vec<_> = place
            .names()
            .into_iter()
            .filter(|name| name.contains("dumprestore"))
            .map(|name| {
                (place.path.with_file_name(&name), std::fs::read(place.path.with_file_name(&name)).unwrap())
            })
            .collect();
        restoring.staging().rollback().await.unwrap();
        assert_eq!(support::fingerprint(&place.path), live);
        // As if the kill had come before the files were removed.
        for (path, bytes) in saved {
            let undoing =
                String::from_utf8(bytes.clone()).map(|text| text.replace("\"done\"", "\"undoing\""));
            std::fs::write(path, undoing.map_or(bytes, String::into_bytes)).unwrap();
        }
        migrate(&place.path);
        let written = support::fingerprint(&place.path);
        place.resume(&token).await.rollback().await.unwrap();
        assert_eq!(support::fingerprint(&place.path), written, "{journal:?}");
        assert_eq!(place.names(), ["shop.db"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_within_the_swap_leaves_the_old_state() {
    let (place, dumped, _, live) = changed(Journal::Wal, Seed::Large).await;
    let folder = dumped.save().to_str().unwrap().to_owned();
    // Enough for the staged file and the copy of the old one, and not for the log, which has a header for each page.
    let room = std::fs::metadata(&place.path).unwrap().len() + 12 * 1024;
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; exec prlimit --fsize=$0 \"$@\""]).arg(room.to_string());
    limited.arg(std::env::current_exe().unwrap());
    let (mut other, said) = Other::start_as(limited, "the_restoring_program", &folder, &place.path);
    let said_then = other.line("then");
    assert!(said_then.contains("failed"), "the limit did not bite: {said_then}");
    assert_eq!(support::fingerprint(&place.path), live);
    other.kill();
    place.resume(&serde_json::from_str(&said).unwrap()).await.rollback().await.unwrap();
    assert_eq!(support::fingerprint(&place.path), live);
    assert_eq!(place.names(), ["shop.db"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Steps forward and back, with crashes in between and an application that writes: the live state is always the
    /// one that the last step promises.
    #[test]
    fn any_order_of_steps_and_crashes_ends_in_one_of_both_states(
        wal in any::<bool>(),
        steps in prop::collection::vec((0..4u8, any::<bool>(), any::<bool>()), 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let journal = if wal { Journal::Wal } else { Journal::Delete };
            let (place, dumped, archived, mut live) = changed(journal, Seed::Ordinary).await;
            for (last, crash, write) in steps {
                let last = [Step::Begin, Step::Load, Step::Prepare, Step::Commit][usize::from(last)];
                let mut staging = place.staged(&dumped, last).await;
                let token = staging.staging().journal();
                if write && last < Step::Commit {
                    support::mutate(&place.path);
                    live = support::fingerprint(&place.path);
                }
                let expected = if last == Step::Commit { &archived } else { &live };
                assert_eq!(&support::fingerprint(&place.path), expected);
                match crash {
                    true => {
                        drop(staging);
                        place.resume(&token).await.rollback().await.unwrap();
                        place.resume(&token).await.rollback().await.unwrap();
                    }
                    false => staging.staging().rollback().await.unwrap(),
                }
                assert_eq!(support::fingerprint(&place.path), live);
                assert_eq!(place.names(), ["shop.db"]);
            }
        });
    }
}

/// As behind a mount point whose volume is not there.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_folder_is_not_there_a_restore_is_neither_undone_nor_done() {
    for journal in Journal::BOTH {
        let (place, dumped, _, live) = changed(journal, Seed::Ordinary).await;
        let mut restoring = place.staged(&dumped, Step::Commit).await;
        let token = restoring.staging().journal();
        drop(restoring);
        let (folder, away) = (place.path.parent().unwrap(), place.root().join("away"));
        std::fs::rename(folder, &away).unwrap();
        let error = place.resume(&token).await.rollback().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stuck, "{error}");
        assert!(error.hint().unwrap().contains("mounted"), "{error}");
        let mut resumed = place.resume(&token).await;
        assert!(resumed.commit().await.is_err() || resumed.finish(OldState::Drop).await.is_err());
        std::fs::rename(&away, folder).unwrap();
        // Twice: a crash may come before it is written down.
        place.resume(&token).await.rollback().await.unwrap();
        place.resume(&token).await.rollback().await.unwrap();
        assert_eq!(support::fingerprint(&place.path), live);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_state_whose_folder_is_not_there_is_not_forgotten() {
    for journal in Journal::BOTH {
        let (place, dumped, _, _) = changed(journal, Seed::Ordinary).await;
        let kept = place.restore_and_keep(&dumped).await;
        let (folder, away) = (place.path.parent().unwrap(), place.root().join("away"));
        std::fs::rename(folder, &away).unwrap();
        let error = place.driver.discard_previous(&kept).await.unwrap_err();
        assert!(error.hint().unwrap().contains("mounted"), "{error}");
        std::fs::rename(&away, folder).unwrap();
        place.driver.discard_previous(&kept).await.unwrap();
        place.driver.discard_previous(&kept).await.unwrap();
        assert_eq!(place.names(), ["shop.db"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_state_whose_folder_is_not_there_is_not_called_gone() {
    for (journal, is_absent) in
        Journal::BOTH.into_iter().flat_map(|journal| [(journal, false), (journal, true)])
    {
        let (place, dumped, _, _) = changed(journal, Seed::Ordinary).await;
        if is_absent {
            for suffix in ["", "-wal", "-shm"] {
                let _removed = std::fs::remove_file(support::with_suffix(&place.path, suffix));
            }
        }
        let kept = place.restore_and_keep(&dumped).await;
        let restored = support::fingerprint(&place.path);
        let (folder, away) = (place.path.parent().unwrap(), place.root().join("away"));
        std::fs::rename(folder, &away).unwrap();
        let error = place.driver.stage_previous(&kept, place.context()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Environment, "{error}");
        assert!(error.hint().unwrap().contains("mounted"), "{error}");
        std::fs::rename(&away, folder).unwrap();
        let mut staging = place.driver.stage_previous(&kept, place.context()).await.unwrap();
        staging.begin().await.unwrap();
        staging.rollback().await.unwrap();
        assert_eq!(support::fingerprint(&place.path), restored);
        if !is_absent {
            place.driver.discard_previous(&kept).await.unwrap();
            let error = place.driver.stage_previous(&kept, place.context()).await.err().unwrap();
            assert!(error.hint().unwrap().contains("from an archive"), "{error}");
        }
    }
}
