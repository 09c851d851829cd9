//! What is in a dump, of databases of all kinds and in all states.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, BuildContext, Cancel, CutContext, CutMode, DriverConfig, ErrorKind, NodePath, OpenContext,
    Part, PartName, PartSink, PartWriter, Receipt, Result, Severity,
};
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::{Seed, StoredNode};
use rusqlite::Connection;

mod support;
use support::Journal;
use support::child::{self, Other};
use support::runs::{Place, image};

fn open_image(archived: &StoredNode, place: &Place) -> Connection {
    let path = place.root().join("image.db");
    support::remove(&path);
    std::fs::write(&path, image(archived)).unwrap();
    Connection::open(&path).unwrap()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn build_error(path: &str) -> dumprestore_driver::Error {
    let cx = BuildContext::new(NodePath::new("db").unwrap(), "/srv");
    SqliteConfig::new(path).build(&cx).err().unwrap_or_else(|| panic!("`{path}` was accepted"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_the_database_file_byte_for_byte() {
    for journal in Journal::BOTH {
        for seed in [Seed::Ordinary, Seed::Hostile, Seed::Large, Seed::Empty] {
            let place = Place::new();
            support::seed(&place.path, journal, seed);
            let file = std::fs::read(&place.path).unwrap();
            assert!(image(&*place.dump().await) == file, "{journal:?} {seed:?}");
            assert!(
                std::fs::read(&place.path).unwrap() == file,
                "a dump changed the file: {journal:?} {seed:?}"
            );
            assert_eq!(place.names(), ["shop.db"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_page_table_a_dump_has_the_same_content() {
    for journal in Journal::BOTH {
        for seed in [Seed::Ordinary, Seed::Hostile, Seed::Empty] {
            let place = Place::with(|path| SqliteConfig::new(path).without_page_table());
            support::seed(&place.path, journal, seed);
            let content = support::fingerprint(&place.path);
            let dumped = place.dump().await;
            drop(open_image(&dumped, &place));
            assert_eq!(support::fingerprint(&place.root().join("image.db")), content);
            let size = std::fs::metadata(place.root().join("image.db")).unwrap().len();
            assert_eq!(size, image(&dumped).len() as u64);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_log_only_is_dumped() {
    let place = Place::new();
    let conn = support::connect(&place.path);
    Journal::Wal.set(&conn);
    conn.execute_batch(
        "PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x); INSERT INTO t VALUES ('in the log')",
    )
    .unwrap();
    assert!(!contains(&std::fs::read(&place.path).unwrap(), "in the log"), "it is in the file already");
    let copy = open_image(&*place.dump().await, &place);
    assert_eq!(copy.query_row("SELECT x FROM t", [], |row| row.get::<_, String>(0)).unwrap(), "in the log");
}

/// A process that dies in the middle of its work.
#[test]
fn the_dying_program() {
    let Some((task, path)) = child::task() else { return };
    let conn = support::connect(&path);
    match task.as_str() {
        "log" => {
            conn.execute_batch(
                "INSERT INTO note VALUES ('committed, in the log'); BEGIN; INSERT INTO note VALUES ('never')",
            )
            .unwrap();
        }
        "journal" => {
            conn.execute_batch(
                "PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN EXCLUSIVE;
                 UPDATE customer SET name = 'never' || hex(randomblob(2000));
                 DELETE FROM product",
            )
            .unwrap();
        }
        "exclusive" => conn.execute_batch("BEGIN EXCLUSIVE").unwrap(),
        other => panic!("{other}"),
    }
    println!("ready");
    std::thread::sleep(std::time::Duration::from_secs(600));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_in_wal_mode_what_was_committed_is_dumped_and_inspect_leaves_it_alone() {
    let place = Place::new();
    support::seed(&place.path, Journal::Wal, Seed::Ordinary);
    Other::start("the_dying_program", "log", &place.path).kill();
    let before: Vec<_> = place.names();
    assert!(before.contains(&"shop.db-wal".to_owned()));
    let file =
        (std::fs::read(&place.path).unwrap(), std::fs::metadata(&place.path).unwrap().modified().unwrap());
    let log = std::fs::read(support::with_suffix(&place.path, "-wal")).unwrap();
    for _ in 0..2 {
        place.driver.inspect().await.unwrap();
        let now = (
            std::fs::read(&place.path).unwrap(),
            std::fs::metadata(&place.path).unwrap().modified().unwrap(),
        );
        assert!(now == file && std::fs::read(support::with_suffix(&place.path, "-wal")).unwrap() == log);
        assert_eq!(place.names(), before);
        // Without its index, as after a copy of the two files.
        let _ = std::fs::remove_file(support::with_suffix(&place.path, "-shm"));
        let without_index = place.driver.inspect().await.unwrap();
        assert!(!place.names().contains(&"shop.db-shm".to_owned()), "a look made an index");
        assert!(without_index.problems.iter().all(|problem| problem.severity == Severity::Warning));
        std::fs::write(support::with_suffix(&place.path, "-shm"), "").unwrap();
    }
    let copy = open_image(&*place.dump().await, &place);
    let count = |text: &str| {
        copy.query_row("SELECT count(*) FROM note WHERE text = ?1", [text], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!((count("committed, in the log"), count("never")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_with_a_hot_journal_the_state_before_it_is_dumped() {
    let place = Place::new();
    support::seed(&place.path, Journal::Delete, Seed::Ordinary);
    let content = support::fingerprint(&place.path);
    Other::start("the_dying_program", "journal", &place.path).kill();
    let torn = std::fs::read(&place.path).unwrap();
    assert_eq!(place.names(), ["shop.db", "shop.db-journal"]);
    let inspection = place.driver.inspect().await.unwrap();
    assert!(
        inspection.problems.iter().all(|problem| problem.severity == Severity::Warning),
        "{inspection:?}"
    );
    assert!(std::fs::read(&place.path).unwrap() == torn, "a look undid the journal");
    assert_eq!(place.names(), ["shop.db", "shop.db-journal"]);
    let dumped = place.dump().await;
    drop(open_image(&dumped, &place));
    assert_eq!(support::fingerprint(&place.root().join("image.db")), content);
    assert_eq!(support::fingerprint(&place.path), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_is_an_error_that_names_who_holds_it() {
    for journal in [Journal::Delete, Journal::Wal] {
        let place = Place::with(|path| {
            let mut config = SqliteConfig::new(path);
            config.busy_timeout = 1;
            config
        });
        support::seed(&place.path, journal, Seed::Ordinary);
        let mut other = Other::start("the_dying_program", "exclusive", &place.path);
        let severities: Vec<_> =
            place.driver.inspect().await.unwrap().problems.iter().map(|problem| problem.severity).collect();
        match journal {
            Journal::Wal => assert_eq!(severities, []),
            // It may be gone when a dump is made.
            Journal::Delete => assert_eq!(severities, [Severity::Warning]),
        }
        let mut dumping = place.open().await;
        let pinned = match journal {
            // A writer keeps no reader out of a log; only a locked cut has to wait.
            Journal::Wal => dumping.pin(CutMode::Locked).await,
            Journal::Delete => dumping.pin(CutMode::Open).await,
        };
        let error = pinned.unwrap_err();
        dumping.release().await.1.unwrap();
        assert_eq!(error.kind(), ErrorKind::Environment);
        assert!(error.to_string().contains("pid") && error.to_string().contains("locked"), "{error}");
        other.kill();
        place.dump().await;
    }
}

#[test]
fn databases_that_nobody_else_can_read_are_refused_with_a_reason() {
    for path in ["", ":memory:", "file::memory:?cache=shared", "file:shop.db?mode=ro", "data/"] {
        let error = build_error(path);
        assert_eq!(error.kind(), ErrorKind::Config, "{path}");
        assert!(error.hint().is_some(), "{path}: {error}");
    }
    assert!(build_error(":memory:").to_string().contains("memory"));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_mean_what_they_are() {
    for name in
        ["a b", "q?mode=memory", "h#ash", "100%41", "file:x", "d\u{e9}j\u{e0}.db", "-wal", "'quote\"", "a\\b"]
    {
        let place = Place::named(name, SqliteConfig::new);
        support::seed(&place.path, Journal::Wal, Seed::Ordinary);
        let content = support::fingerprint(&place.path);
        let before = place.names();
        assert_eq!(before.len(), 1, "{before:?}");
        let inspection = place.driver.inspect().await.unwrap();
        assert!(inspection.problems.is_empty(), "{name}: {inspection:?}");
        let dumped = place.dump().await;
        support::mutate(&place.path);
        place.restore(&dumped).await;
        assert_eq!(support::fingerprint(&place.path), content, "{name}");
        support::remove(&place.path);
        place.restore(&dumped).await;
        assert_eq!(support::fingerprint(&place.path), content, "{name}");
        assert_eq!(place.names(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_unicode_is_a_name() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let path = place.path.with_file_name(std::ffi::OsStr::from_bytes(b"caf\xe9.db"));
    support::seed(&path, Journal::Wal, Seed::Ordinary);
    let content = support::fingerprint(&path);
    let driver = support::runs::driver(SqliteConfig::new(&path));
    let dumped = place.try_dump_with(&driver).await.unwrap();
    support::mutate(&path);
    let mut staging = driver.stage(dumped, place.context()).await.unwrap();
    let resumed = driver.resume(&staging.journal(), place.context()).await;
    assert!(resumed.is_ok(), "{:?}", resumed.err());
    staging.rollback().await.unwrap();
    assert_ne!(support::fingerprint(&path), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_followed_to_the_real_file() {
    let place = Place::new();
    let real = place.root().join("real.db");
    support::seed(&real, Journal::Wal, Seed::Ordinary);
    std::os::unix::fs::symlink("../real.db", &place.path).unwrap();
    let conn = support::connect(&real);
    conn.execute_batch("INSERT INTO note VALUES ('in the log of the real file')").unwrap();
    let content = support::fingerprint(&real);
    let dumped = place.dump().await;
    assert_eq!(dumped.facts()["tables"].matches("customer").count(), 1);
    support::mutate(&real);
    place.restore(&dumped).await;
    drop(conn);
    assert_eq!(support::fingerprint(&real), content);
    assert!(place.path.symlink_metadata().unwrap().is_symlink(), "the link was replaced");
    let claims = format!("{:?}", place.driver.inspect().await.unwrap().claims);
    assert!(claims.contains("real.db\"") && !claims.contains("shop.db"), "{claims}");
    // A link to nowhere: the file is created where it leads.
    support::remove(&real);
    place.restore(&dumped).await;
    assert_eq!(support::fingerprint(&real), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_database_is_not_dumped_and_inspect_says_why() {
    let mut encrypted: Vec<u8> =
        (0..8192u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    encrypted[0] = 0x9b;
    for content in [b"this is a text file, and quite a long one at that\n".repeat(40), encrypted] {
        let place = Place::new();
        std::fs::write(&place.path, &content).unwrap();
        let inspection = place.driver.inspect().await.unwrap();
        let worst = inspection.problems.iter().map(|problem| problem.severity).max();
        assert_eq!(worst, Some(Severity::NoDump), "{inspection:?}");
        assert_eq!(place.try_dump().await.unwrap_err().kind(), ErrorKind::Environment);
        assert!(std::fs::read(&place.path).unwrap() == content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_no_file_is_a_problem_and_not_an_empty_dump() {
    let place = Place::new();
    let problems = place.driver.inspect().await.unwrap().problems;
    assert_eq!(problems.iter().map(|problem| problem.severity).collect::<Vec<_>>(), [Severity::NoDump]);
    assert!(place.try_dump().await.unwrap_err().to_string().contains("no database"));
    std::fs::create_dir(&place.path).unwrap();
    assert!(!place.driver.inspect().await.unwrap().problems.is_empty());
    assert!(place.try_dump().await.unwrap_err().to_string().contains("regular file"));
    let nowhere = support::runs::driver(SqliteConfig::new(place.root().join("no/such/folder/x.db")));
    let problems = nowhere.inspect().await.unwrap().problems;
    let severities: Vec<_> = problems.iter().map(|problem| problem.severity).collect();
    assert_eq!(severities, [Severity::NoDump, Severity::NoRestore]);
    assert_eq!(place.names(), ["shop.db"], "a look created something");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_bytes_is_an_empty_database() {
    let place = Place::new();
    std::fs::write(&place.path, "").unwrap();
    assert!(place.driver.inspect().await.unwrap().problems.is_empty());
    let dumped = place.dump().await;
    support::seed(&place.path, Journal::Wal, Seed::Ordinary);
    place.restore(&dumped).await;
    let conn = support::connect(&place.path);
    assert_eq!(
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).unwrap(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_in_the_header_survive_and_stand_in_the_facts() {
    for (page_size, encoding, auto_vacuum, journal) in [
        (512, "UTF-8", 0, Journal::Delete),
        (1024, "UTF-16le", 1, Journal::Wal),
        (16384, "UTF-16be", 2, Journal::Delete),
        (65536, "UTF-8", 1, Journal::Wal),
    ] {
        let place = Place::new();
        let conn = support::connect(&place.path);
        conn.execute_batch(&format!(
            "PRAGMA page_size = {page_size}; PRAGMA encoding = '{encoding}'; PRAGMA auto_vacuum = {auto_vacuum};
             CREATE TABLE t (x TEXT); INSERT INTO t VALUES ('gr\u{fc}\u{df}e');
             PRAGMA user_version = 42; PRAGMA application_id = 99",
        ))
        .unwrap();
        journal.set(&conn);
        drop(conn);
        let dumped = place.dump().await;
        let facts = dumped.facts();
        assert_eq!(facts["page_size"], page_size.to_string());
        assert_eq!(
            (&*facts["encoding"], &*facts["user_version"], &*facts["application_id"]),
            (encoding, "42", "99")
        );
        assert_eq!(facts["auto_vacuum"], ["none", "full", "incremental"][auto_vacuum]);
        support::remove(&place.path);
        place.restore(&dumped).await;
        let conn = support::connect(&place.path);
        let pragma = |name: &str| {
            conn.pragma_query_value(None, name, |row| Ok(format!("{:?}", row.get_ref(0)?))).unwrap()
        };
        assert_eq!(pragma("page_size"), format!("Integer({page_size})"));
        assert_eq!(pragma("auto_vacuum"), format!("Integer({auto_vacuum})"));
        assert_eq!(
            pragma("journal_mode").contains(&format!("{:?}", "wal".as_bytes()[0])),
            journal == Journal::Wal
        );
        assert_eq!(
            conn.query_row("SELECT x FROM t", [], |row| row.get::<_, String>(0)).unwrap(),
            "gr\u{fc}\u{df}e"
        );
    }
}

/// Ends the run as soon as something is written.
struct CancelAtFirst(Cancel);

impl PartSink for CancelAtFirst {
    fn write(&mut self, _data: &[u8]) -> Result<()> {
        assert!(!self.0.is_cancelled(), "it went on");
        self.0.cancel();
        Ok(())
    }

    fn finish(&mut self) -> Result<Receipt> {
        panic!("a cancelled part was finished");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_dump_stops_and_lets_go() {
    for journal in Journal::BOTH {
        let place = Place::new();
        support::seed(&place.path, journal, Seed::Large);
        let cancel = Cancel::default();
        let cx = OpenContext::new("run", place.scratch()).with_cancel(cancel.clone());
        let mut source = place.driver.open(cx).await.unwrap();
        source.pin(&CutContext::new(std::time::SystemTime::now(), CutMode::Open)).await.unwrap();
        let mut sink = CancelAtFirst(cancel);
        let part = Part::new(PartName::new("database.sqlite").unwrap());
        let dumped = source.dump(&part, &mut PartWriter::new(&mut sink)).await;
        assert_eq!(dumped.unwrap_err().kind(), ErrorKind::Cancelled);
        source.release().await.unwrap();
        assert_eq!(std::fs::read_dir(place.scratch()).map_or(0, Iterator::count), 0);
        let conn = support::connect(&place.path);
        conn.busy_timeout(std::time::Duration::ZERO).unwrap();
        conn.execute_batch("BEGIN EXCLUSIVE; COMMIT").expect("a lock was left");
    }
}

/// A program that may not write: the test itself, as another user where it runs as root.
#[test]
fn the_reading_program() {
    let Some((_, path)) = child::task() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let place = Place::new();
        let driver = support::runs::driver(SqliteConfig::new(&path));
        let inspection = driver.inspect().await.unwrap();
        assert_eq!(inspection.problems.len(), 1, "{inspection:?}");
        assert_eq!(inspection.problems[0].severity, Severity::NoRestore);
        let dumped = place.try_dump_with(&driver).await.unwrap();
        let copy = open_image(&dumped, &place);
        let rows: i64 = copy.query_row("SELECT count(*) FROM customer", [], |row| row.get(0)).unwrap();
        let refused = driver.stage(Arc::clone(&dumped) as Arc<dyn ArchivedNode>, place.context()).await;
        let mut staging = refused.unwrap();
        assert!(staging.begin().await.is_err());
        staging.rollback().await.unwrap();
        println!("read {rows}");
    });
}

#[test]
fn a_database_that_can_only_be_read_is_dumped() {
    use std::os::unix::fs::PermissionsExt;
    let open_up = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let folder = tempfile::TempDir::with_prefix("dumprestore-").unwrap();
    open_up(folder.path(), 0o755);
    for journal in Journal::BOTH {
        let live = folder.path().join(format!("{journal:?}"));
        std::fs::create_dir(&live).unwrap();
        let path = live.join("shop.db");
        support::seed(&path, journal, Seed::Ordinary);
        open_up(&path, 0o444);
        open_up(&live, 0o555);
        let said = as_nobody("the_reading_program", &path);
        open_up(&live, 0o755);
        assert!(said.contains("read 100"), "{said}");
        assert_eq!(std::fs::read_dir(&live).unwrap().count(), 1);
    }
}

fn as_nobody(test: &str, path: &Path) -> String {
    // The test program may lie where nobody else can go.
    let program = path.parent().unwrap().parent().unwrap().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let is_root = rustix_geteuid() == 0;
    let mut command = match is_root {
        true => {
            let mut command = std::process::Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
            command
        }
        false => std::process::Command::new(&program),
    };
    let output = command
        .args([test, "--exact", "--nocapture"])
        .env("DUMPRESTORE_TEST_TASK", "read")
        .env("DUMPRESTORE_TEST_PATH", path)
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn rustix_geteuid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    PathBuf::from("/proc/self").metadata().unwrap().uid()
}
