//! Processes of tests: seen, killed, never left behind.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dumprestore_testkit::{Process, free_port, soon};

fn sh(script: &str) -> Process {
    Process::start(Command::new("sh").args(["-c", script]))
}

fn is_there(pid: &str) -> bool {
    // A zombie is nothing but a number.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_process_is_killed_at_a_line_with_all_that_it_started() {
    let mut process = sh("sleep 600 & echo child $!; echo here >&2; wait");
    process.wait_for("child");
    let status = process.kill_at("here", Duration::from_millis(1));
    assert_eq!(status.signal(), Some(9));
    let said = process.said();
    let child = said.iter().find_map(|line| line.strip_prefix("child ")).unwrap();
    soon("the end of its child", || !is_there(child));
}

#[test]
fn a_process_ends_with_the_test_that_started_it() {
    let process = sh("sleep 600");
    let id = process.id().to_string();
    assert!(Path::new("/proc").join(&id).exists());
    drop(process);
    assert!(!is_there(&id));
}

#[test]
fn a_process_that_is_asked_to_stop_may_clean_up() {
    let mut process = sh("trap 'exit 7' TERM; echo ready; while true; do sleep 0.01; done");
    process.wait_for("ready");
    assert_eq!(process.stop().code(), Some(7));
}

#[test]
#[should_panic(expected = "no `never`")]
fn a_line_that_never_comes_is_not_waited_for_after_the_end() {
    sh("echo something else").wait_for("never");
}

#[test]
fn a_free_port_can_be_listened_on() {
    // Other tests take ports as well, so one of some is enough.
    assert!((0..20).any(|_| std::net::TcpListener::bind(("127.0.0.1", free_port())).is_ok()));
}
