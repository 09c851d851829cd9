//! Restores where SQLite can't write into the live file: there is none, or it is no database. Files change places.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use std::sync::Arc;

use dumprestore_driver::{Driver, ErrorKind, OldState};
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::{Seed, Step, StoredNode};

mod support;
use support::Journal;
use support::runs::Place;

fn impatient(path: std::path::PathBuf) -> SqliteConfig {
    let mut config = SqliteConfig::new(path);
    config.busy_timeout = 1;
    config
}

/// A database whose content is not that of the archive any more.
async fn changed(journal: Journal) -> (Place, Arc<StoredNode>, String, String) {
    changed_with(journal, impatient).await
}

async fn changed_with(
    journal: Journal,
    config: fn(std::path::PathBuf) -> SqliteConfig,
) -> (Place, Arc<StoredNode>, String, String) {
    let place = Place::with(config);
    support::seed(&place.path, journal, Seed::Ordinary);
    let archived = support::fingerprint(&place.path);
    let dumped = place.dump().await;
    support::mutate(&place.path);
    let live = support::fingerprint(&place.path);
    assert_ne!(archived, live);
    (place, dumped, archived, live)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_database_is_replaced_kept_and_put_back() {
    let place = Place::with(impatient);
    support::seed(&place.path, Journal::Wal, Seed::Ordinary);
    let archived = support::fingerprint(&place.path);
    let dumped = place.dump().await;
    let garbage = b"not a database".repeat(999);
    let make = || {
        support::remove(&place.path);
        std::fs::write(&place.path, &garbage).unwrap();
        // As beside an encrypted database: it belongs to that one, and must not be played into another.
        std::fs::write(support::with_suffix(&place.path, "-wal"), "a log of its own").unwrap();
    };
    let is_back = || {
        assert!(std::fs::read(&place.path).unwrap() == garbage);
        assert_eq!(std::fs::read(support::with_suffix(&place.path, "-wal")).unwrap(), b"a log of its own");
    };
    make();
    let notes = place.driver.changes(dumped.clone(), &place.context()).await.unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("not a database")), "{notes:?}");
    for last in [Step::Prepare, Step::Commit] {
        let mut restoring = place.staged(&dumped, last).await;
        if last == Step::Commit {
            assert_eq!(support::fingerprint(&place.path), archived);
        }
        restoring.staging().rollback().await.unwrap();
        is_back();
        assert_eq!(place.names(), ["shop.db", "shop.db-wal"]);
    }
    let kept = place.restore_and_keep(&dumped).await;
    assert_eq!(support::fingerprint(&place.path), archived);
    let mut back = place.driver.stage_previous(&kept, place.context()).await.unwrap();
    back.begin().await.unwrap();
    back.prepare().await.unwrap();
    back.commit().await.unwrap();
    is_back();
    back.rollback().await.unwrap();
    assert_eq!(support::fingerprint(&place.path), archived);
    place.driver.discard_previous(&kept).await.unwrap();
    assert_eq!(place.names(), ["shop.db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_live_database_is_no_obstacle() {
    for journal in Journal::BOTH {
        let (place, dumped, archived, _) = changed(journal).await;
        // Cut off, so that its header tells of more than there is.
        let bytes = std::fs::read(&place.path).unwrap();
        std::fs::write(&place.path, &bytes[..bytes.len() / 2]).unwrap();
        let mut restoring = place.staged(&dumped, Step::Commit).await;
        assert_eq!(support::fingerprint(&place.path), archived);
        restoring.staging().rollback().await.unwrap();
        assert!(std::fs::read(&place.path).unwrap() == bytes[..bytes.len() / 2]);
        place.restore(&dumped).await;
        assert_eq!(support::fingerprint(&place.path), archived);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_was_nothing_is_put_back() {
    let (place, dumped, archived, _) = changed(Journal::Wal).await;
    support::remove(&place.path);
    // What somebody left of the database that was there.
    std::fs::write(support::with_suffix(&place.path, "-wal"), "stale").unwrap();
    let mut restoring = place.staged(&dumped, Step::Commit).await;
    assert_eq!(support::fingerprint(&place.path), archived);
    support::mutate(&place.path);
    restoring.staging().rollback().await.unwrap();
    assert_eq!(place.names(), ["shop.db-wal"]);
    assert_eq!(std::fs::read(support::with_suffix(&place.path, "-wal")).unwrap(), b"stale");
    std::fs::remove_file(support::with_suffix(&place.path, "-wal")).unwrap();

    let kept = place.restore_and_keep(&dumped).await;
    let back = |last: Step| {
        let place = &place;
        let kept = &kept;
        async move {
            let mut back = place.driver.stage_previous(kept, place.context()).await.unwrap();
            back.begin().await.unwrap();
            back.prepare().await.unwrap();
            back.commit().await.unwrap();
            assert_eq!(place.names().iter().filter(|name| *name == "shop.db").count(), 0);
            match last {
                Step::Commit => back.rollback().await.unwrap(),
                _ => drop(back.finish(OldState::Drop).await.unwrap()),
            }
        }
    };
    back(Step::Commit).await;
    assert_eq!(support::fingerprint(&place.path), archived);
    back(Step::Finish).await;
    assert_eq!(place.names(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_appears_or_goes_after_prepare_is_not_touched() {
    let (place, dumped, ..) = changed(Journal::Delete).await;
    support::remove(&place.path);
    let mut restoring = place.staged(&dumped, Step::Prepare).await;
    support::seed(&place.path, Journal::Delete, Seed::Hostile);
    let appeared = support::fingerprint(&place.path);
    let error = restoring.staging().commit().await.unwrap_err();
    assert!(error.to_string().contains("appeared"), "{error}");
    restoring.staging().rollback().await.unwrap();
    assert_eq!(support::fingerprint(&place.path), appeared);

    let mut restoring = place.staged(&dumped, Step::Prepare).await;
    support::remove(&place.path);
    assert!(restoring.staging().commit().await.unwrap_err().to_string().contains("removed"));
    restoring.staging().rollback().await.unwrap();
    assert_eq!(place.names(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_has_the_rights_of_the_one_that_was_dumped_and_a_live_one_keeps_its_own() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (place, ..) = changed(Journal::Wal).await;
    let set = |mode| std::fs::set_permissions(&place.path, std::fs::Permissions::from_mode(mode)).unwrap();
    let mode = || std::fs::metadata(&place.path).unwrap().mode() & 0o7777;
    set(0o640);
    let dumped = place.dump().await;
    set(0o600);
    let inode = std::fs::metadata(&place.path).unwrap().ino();
    place.restore(&dumped).await;
    assert_eq!((mode(), std::fs::metadata(&place.path).unwrap().ino()), (0o600, inode));
    support::remove(&place.path);
    place.restore(&dumped).await;
    assert_eq!(mode(), 0o640);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_has_the_owner_of_the_one_that_was_dumped_as_far_as_we_may() {
    use std::os::unix::fs::{MetadataExt, chown};
    let (place, ..) = changed(Journal::Delete).await;
    let owner = |path: &std::path::Path| {
        let meta = std::fs::metadata(path).unwrap();
        (meta.uid(), meta.gid())
    };
    let ours = owner(&place.path);
    // Only root may give files away; others find all to be theirs.
    let expected = if ours.0 == 0 { (4711, 4712) } else { ours };
    chown(&place.path, Some(expected.0), Some(expected.1)).unwrap();
    let dumped = place.dump().await;
    support::remove(&place.path);
    let kept = place.restore_and_keep(&dumped).await;
    assert_eq!(owner(&place.path), expected);
    place.driver.discard_previous(&kept).await.unwrap();

    // What is kept goes back to its owner as well, also where nothing is any more.
    let kept = place.restore_and_keep(&dumped).await;
    support::remove(&place.path);
    let mut back = place.driver.stage_previous(&kept, place.context()).await.unwrap();
    back.begin().await.unwrap();
    back.prepare().await.unwrap();
    back.commit().await.unwrap();
    back.finish(OldState::Drop).await.unwrap();
    assert_eq!(owner(&place.path), expected);

    // An archive that does not tell.
    support::remove(&place.path);
    let folder = place.path.parent().unwrap();
    let expected = if ours.0 == 0 { (4713, 4714) } else { ours };
    chown(folder, Some(expected.0), Some(expected.1)).unwrap();
    let silent = Arc::new(support::archived::Archived::new(support::runs::image(&dumped)));
    let mut staging = place.driver.stage(silent.clone(), place.context()).await.unwrap();
    staging.begin().await.unwrap();
    let part = dumprestore_driver::ArchivedNode::parts(&*silent).next().unwrap();
    let mut from = dumprestore_driver::ArchivedNode::read(&*silent, &part.name).unwrap();
    staging.load(&part, &mut dumprestore_driver::PartReader::new(&mut from)).await.unwrap();
    staging.prepare().await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    assert_eq!(owner(&place.path), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_missing_is_an_error_and_not_created() {
    let (place, dumped, ..) = changed(Journal::Wal).await;
    let nowhere: Arc<dyn Driver> = support::runs::driver(SqliteConfig::new(place.root().join("no/shop.db")));
    let mut staging = nowhere.stage(dumped, place.context()).await.unwrap();
    assert!(staging.begin().await.unwrap_err().to_string().contains("folder"));
    staging.rollback().await.unwrap();
    assert!(!place.root().join("no").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_set_aside_is_never_lost() {
    let (place, dumped, ..) = changed(Journal::Delete).await;
    std::fs::write(&place.path, b"encrypted".repeat(500)).unwrap();
    let mut restoring = place.staged(&dumped, Step::Commit).await;
    let token = restoring.staging().journal();
    // Somebody has put yet another file there.
    std::fs::write(place.root().join("another"), "another").unwrap();
    std::fs::rename(place.root().join("another"), &place.path).unwrap();
    let error = restoring.staging().rollback().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck);
    let aside = place.names().into_iter().find(|name| name.ends_with(".previous")).unwrap();
    let aside = place.path.with_file_name(aside);
    assert!(error.to_string().contains(aside.to_str().unwrap()), "{error}");
    assert_eq!(std::fs::read(&aside).unwrap(), b"encrypted".repeat(500));
    assert_eq!(std::fs::read(&place.path).unwrap(), b"another");
    // The number of the file that was removed may go to the next one, which is still another one.
    std::fs::remove_file(&place.path).unwrap();
    std::fs::write(&place.path, "a third one").unwrap();
    assert_eq!(place.resume(&token).await.rollback().await.unwrap_err().kind(), ErrorKind::Stuck);
    // As the hint says.
    std::fs::remove_file(&place.path).unwrap();
    place.resume(&token).await.rollback().await.unwrap();
    assert_eq!(std::fs::read(&place.path).unwrap(), b"encrypted".repeat(500));
    assert_eq!(place.names(), ["shop.db"]);
}
