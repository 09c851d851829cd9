//! Each exit code, reached for real. What they mean stands in `Exit`.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

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
