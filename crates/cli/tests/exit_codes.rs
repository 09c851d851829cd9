//! Each exit code, reached for real. What they mean stands in `Exit`.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use dumprestore::archive;
use rustix::process::{Pid, Signal, kill_process};
use support::{CONFIG, Ran, Shop};

fn with_hooks(hooks: &str) -> String {
    format!("{CONFIG}hooks: {{ {hooks} }}\n")
}

#[track_caller]
fn ends_with(code: i32, ran: &Ran) {
    assert_eq!(ran.code, code, "{}", ran.transcript());
}

#[test]
fn ok_is_0() {
    let shop = Shop::new();
    ends_with(0, &shop.run(&["dump", "-o", "shop.zip"]));
    ends_with(0, &shop.run(&["restore", "shop.zip", "--yes"]));
    ends_with(0, &shop.run(&["--version"]));
}

#[test]
fn a_failure_that_changed_nothing_is_1() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    ends_with(1, &shop.run(&["dump", "-o", "shop.zip"]));
    ends_with(1, &shop.run(&["dump", "-o", "no/such/folder/shop.zip"]));
    ends_with(1, &shop.run(&["dump", "-o", "/dev/null", "--force"]));
    std::fs::write(shop.path("uploads/extra.jpg"), "new").unwrap();
    ends_with(1, &shop.run(&["restore", "shop.zip", "--yes", "--extras", "fail"]));
    shop.configure(&with_hooks("before_dump: [[\"false\"]]"));
    ends_with(1, &shop.run(&["dump"]));
    shop.configure(&with_hooks("pre_swap: [[\"false\"]]"));
    shop.break_it();
    let broken = shop.state();
    ends_with(1, &shop.run(&["restore", "shop.zip", "--yes"]));
    assert_eq!(shop.state(), broken);
    std::fs::remove_file(shop.path("shop.db")).unwrap();
    ends_with(1, &shop.run(&["check"]));
}

#[test]
fn a_full_disk_is_1_and_says_so() {
    let shop = Shop::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let arguments = ["dump", "-o", "-"];
    let output = shop.command(&arguments).stdout(full).output().unwrap();
    let ran = shop.ran(&arguments, &output);
    ends_with(1, &ran);
    assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = shop.command(&["plan"]).stdout(full).output().unwrap();
    ends_with(1, &shop.ran(&["plan"], &output));
}

#[test]
fn usage_and_configuration_are_2() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    ends_with(2, &shop.run(&["dmup"]));
    ends_with(2, &shop.run(&["dump", "-c", "missing.yaml"]));
    ends_with(2, &shop.run(&["dump", "--only", "nothing"]));
    ends_with(2, &shop.run(&["dump", "-o", "s3://bucket/shop.zip"]));
    ends_with(2, &shop.run(&["restore", "shop.zip"]));
    ends_with(2, &shop.run(&["restore", ":previous", "--yes"]));
    ends_with(2, &shop.run(&["extract", "shop.zip", "nothing"]));
    shop.configure(&format!("{CONFIG}allow_restore: false\n"));
    let forbidden = shop.run(&["restore", "shop.zip", "--yes"]);
    ends_with(2, &forbidden);
    assert!(forbidden.stderr.contains("does not allow restores"), "{}", forbidden.stderr);
}

#[test]
fn completed_but_degraded_is_3() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    shop.configure(&with_hooks("on_success: [[\"false\"]]"));
    shop.break_it();
    ends_with(3, &shop.run(&["restore", "shop.zip", "--yes"]));
    assert_eq!(shop.state(), "3 rows, files a.jpg b.jpg c.jpg");
}

#[test]
fn an_archive_that_is_damaged_or_not_there_is_4() {
    let shop = Shop::new();
    std::fs::write(shop.path("text.zip"), "not a zip").unwrap();
    for command in ["verify", "inspect", "restore", "rehearse"] {
        ends_with(4, &shop.run(&[command, "text.zip"]));
        ends_with(4, &shop.run(&[command, "missing.zip"]));
    }
}

/// An archive whose names lie in so many folders that they are sorted in a scratch file when it is opened.
fn archive_of_many_folders(path: &Path) {
    use std::io::Write;
    let output = archive::FileOutput::create(path, archive::Existing::Keep).unwrap();
    let writer = archive::ArchiveWriter::create(Box::new(output), Default::default()).unwrap();
    for at in 0..8_000 {
        let folders: String = (b'a'..b'a' + 26).map(|letter| format!("{at}{}/", letter as char)).collect();
        let entry = archive::EntryName::new("uploads", &format!("files/{folders}x")).unwrap();
        let mut part = writer.part(&entry, archive::Compression::Store).unwrap();
        part.write_all(b"x").unwrap();
        let receipt = part.finish().unwrap();
        writer.list("uploads", receipt.id, at, &archive::Listed::rows(None)).unwrap();
    }
    let tool = archive::Tool { name: "tests".into(), version: "1.0".into() };
    let mut manifest = archive::Manifest::new(tool, "shop", "run-1", time::OffsetDateTime::now_utc());
    manifest.nodes.push(archive::Node::new("uploads", "filesystem", 1));
    writer.seal(manifest).unwrap();
}

#[test]
fn no_room_for_scratch_files_is_1_and_says_nothing_about_the_archive() {
    let shop = Shop::new();
    std::fs::create_dir(shop.path("backups")).unwrap();
    archive_of_many_folders(&shop.path("backups/shop-20260131T120000Z.zip"));
    ends_with(0, &shop.run(&["inspect", "backups/shop-20260131T120000Z.zip"]));
    for named in ["backups/shop-20260131T120000Z.zip", "latest"] {
        let ran = shop.run_with_small_files(&["inspect", named]);
        ends_with(1, &ran);
        assert!(ran.stderr.contains("scratch file") && ran.stderr.contains("TMPDIR"), "{}", ran.stderr);
    }
}

#[test]
fn a_restore_that_can_not_be_undone_is_5() {
    let shop = Shop::new();
    std::fs::create_dir(shop.path(".dumprestore")).unwrap();
    std::fs::write(shop.path(".dumprestore/shop.journal"), "nonsense\n").unwrap();
    let stuck = shop.run(&["recover"]);
    ends_with(5, &stuck);
    assert!(stuck.stderr.contains("\nhint: "), "{}", stuck.stderr);
    ends_with(5, &shop.run(&["dump"]));
}

#[test]
fn dangling_references_are_6() {
    let shop = Shop::new();
    std::fs::remove_file(shop.path("uploads/b.jpg")).unwrap();
    let ran = shop.run(&["dump"]);
    ends_with(6, &ran);
    assert!(ran.stderr.contains("b.jpg"), "{}", ran.stderr);
    assert_eq!(shop.files("backups").len(), 1);
    ends_with(6, &shop.run(&["restore", "latest", "--yes"]));
    ends_with(6, &shop.run(&["rehearse", "latest"]));
}

#[test]
fn a_run_that_ends_for_dangling_references_is_1() {
    let shop = Shop::new();
    shop.configure(&format!("{CONFIG}coherence: {{ max_cuts: 1, if_uncertified: fail }}\n"));
    std::fs::remove_file(shop.path("uploads/b.jpg")).unwrap();
    let ran = shop.run(&["dump", "-o", "shop.zip"]);
    ends_with(1, &ran);
    assert!(ran.stderr.contains("b.jpg") && !shop.path("shop.zip").exists(), "{}", ran.stderr);
}

#[test]
fn one_bad_row_does_not_keep_the_others_from_being_dumped() {
    let shop = Shop::new();
    let query = "SELECT image, sha256 FROM product UNION ALL SELECT 1.5, NULL";
    shop.configure(&CONFIG.replace("SELECT image FROM product", query));
    let rows = "ALTER TABLE product ADD COLUMN sha256; UPDATE product SET sha256 = 'nonsense' WHERE id = 2";
    shop.database().execute_batch(rows).unwrap();
    let ran = shop.run(&["dump", "-o", "shop.zip"]);
    ends_with(6, &ran);
    for told in
        ["2 references", "b.jpg (a row holds something else where a sha256 is expected", "1.5 (a row holds"]
    {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    std::fs::remove_file(shop.path("uploads/c.jpg")).unwrap();
    ends_with(6, &shop.run(&["restore", "shop.zip", "--yes", "--safety-dump"]));
    assert_eq!(shop.state(), "3 rows, files a.jpg b.jpg c.jpg");
    assert_eq!(shop.files("backups/before-restore").len(), 1);
}

#[test]
fn what_can_not_be_dumped_first_is_not_replaced_where_a_safety_dump_is_asked_for() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    std::fs::write(shop.path("shop.db"), "no database, but all that there is".repeat(100)).unwrap();
    std::fs::remove_dir_all(shop.path("uploads")).unwrap();
    let before = std::fs::read(shop.path("shop.db")).unwrap();
    let ran = shop.run(&["restore", "shop.zip", "--yes", "--safety-dump"]);
    ends_with(1, &ran);
    assert!(ran.stderr.contains("db: ") && ran.stderr.contains("--best-effort"), "{}", ran.stderr);
    assert_eq!(std::fs::read(shop.path("shop.db")).unwrap(), before);
    assert!(!shop.path("uploads").exists());
    // What is not there at all needs no dump.
    ends_with(0, &shop.run(&["restore", "shop.zip", "--yes", "--safety-dump", "--only", "uploads"]));
    ends_with(0, &shop.run(&["restore", "shop.zip", "--yes", "--safety-dump", "--best-effort"]));
    assert_eq!(shop.state(), "3 rows, files a.jpg b.jpg c.jpg");
    ends_with(2, &shop.run(&["restore", "shop.zip", "--yes", "--best-effort"]));
}

#[test]
fn locked_by_another_run_is_7() {
    let shop = Shop::new();
    shop.must(&["dump"]);
    let lock = std::fs::File::open(shop.path(".dumprestore/shop.lock")).unwrap();
    lock.lock().unwrap();
    let ran = shop.run(&["dump"]);
    ends_with(7, &ran);
    assert!(ran.stderr.contains("another run"), "{}", ran.stderr);
    ends_with(7, &shop.run(&["restore", "latest", "--yes"]));
}

fn start(shop: &Shop, arguments: &[&str]) -> Child {
    shop.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends a signal as soon as a hook has made that file.
fn signal_once(child: &Child, signal: Signal, made: &Path) {
    let begun = Instant::now();
    while !made.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the hook never ran");
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(child), signal).unwrap();
    std::fs::remove_file(made).unwrap();
}

fn interrupted(shop: &Shop, arguments: &[&str], signal: Signal) -> Ran {
    let child = start(shop, arguments);
    signal_once(&child, signal, &shop.path("running"));
    shop.ran(arguments, &child.wait_with_output().unwrap())
}

#[test]
fn a_second_interrupt_does_not_end_the_rollback() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    shop.break_it();
    let broken = shop.state();
    let swap = "pre_swap: [[sh, -c, \"touch running; exec sleep 100\"]]";
    let failure = "on_failure: [[sh, -c, \"touch failing; sleep 1; touch failed\"]]";
    shop.configure(&with_hooks(&format!("{swap}, {failure}")));
    let arguments = ["restore", "shop.zip", "--yes"];
    let child = start(&shop, &arguments);
    signal_once(&child, Signal::INT, &shop.path("running"));
    signal_once(&child, Signal::INT, &shop.path("failing"));
    let ran = shop.ran(&arguments, &child.wait_with_output().unwrap());
    ends_with(130, &ran);
    assert!(ran.stderr.contains("still rolling back"), "{}", ran.stderr);
    assert!(shop.path("failed").exists());
    assert_eq!(shop.state(), broken);
}

#[test]
fn an_interrupt_is_130_and_everything_is_as_before() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    shop.break_it();
    let broken = shop.state();
    let wait = "[\"sh\", \"-c\", \"touch running; exec sleep 100\"]";
    for (hook, arguments, signal) in [
        ("after_dump", &["dump", "-o", "new.zip"][..], Signal::INT),
        ("pre_swap", &["restore", "shop.zip", "--yes"][..], Signal::INT),
        ("pre_swap", &["restore", "shop.zip", "--yes"][..], Signal::TERM),
    ] {
        shop.configure(&with_hooks(&format!("{hook}: [{wait}]")));
        let ran = interrupted(&shop, arguments, signal);
        ends_with(130, &ran);
        assert!(ran.stderr.contains("rolled back"), "{}", ran.stderr);
        assert_eq!(shop.state(), broken);
        assert_eq!(shop.files("."), [".dumprestore", "dumprestore.yaml", "shop.db", "shop.zip", "uploads"]);
    }
}

#[test]
fn a_reader_that_goes_away_gets_a_clear_word() {
    let shop = Shop::new();
    let arguments = ["dump", "-o", "-"];
    let mut child = shop.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = shop.ran(&arguments, &child.wait_with_output().unwrap());
    ends_with(1, &ran);
    assert!(ran.stderr.contains("ended before it had everything"), "{}", ran.stderr);
    let mut child = shop.command(&["plan"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    ends_with(0, &shop.ran(&["plan"], &child.wait_with_output().unwrap()));
}
