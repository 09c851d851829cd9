//! `--json`: one object per line, and the last is the result.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use support::{CONFIG, Shop, json_lines};

#[test]
fn every_command_ends_with_one_result() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    for arguments in [
        &["check"][..],
        &["plan"],
        &["plan", "--mermaid"],
        &["dump"],
        &["verify", "shop.zip"],
        &["inspect", "shop.zip"],
        &["extract", "shop.zip", "uploads", "-o", "out"],
        &["rehearse", "shop.zip"],
        &["restore", "shop.zip", "--dry-run"],
        &["restore", "shop.zip", "--yes", "--reversible"],
        &["restore", ":previous", "--yes"],
        &["recover"],
        &["drivers"],
        &["schema"],
        &["completions", "bash"],
        &["man"],
    ] {
        let ran = shop.run(&[arguments, &["--json"]].concat());
        let lines = ran.json();
        let last = lines.last().unwrap();
        assert_eq!(
            (last["ok"].as_bool(), last["exit_code"].as_i64()),
            (Some(true), Some(0)),
            "{arguments:?}"
        );
        assert_eq!(last["command"], arguments[0]);
        assert!(!last["report"].is_null(), "{arguments:?}");
        assert_eq!(ran.stderr, "", "{arguments:?}");
    }
}

#[test]
fn a_failure_is_a_result_with_kind_node_message_and_hint() {
    let shop = Shop::new();
    std::fs::remove_dir_all(shop.path("uploads")).unwrap();
    let lines = shop.run(&["dump", "--json"]).json();
    let last = lines.last().unwrap();
    assert_eq!((last["ok"].as_bool(), last["exit_code"].as_i64()), (Some(false), Some(1)));
    assert_eq!((&last["error"]["kind"], &last["error"]["node"]), (&"environment".into(), &"uploads".into()));
    assert!(last["error"]["message"].is_string() && last["error"]["hint"].is_string(), "{last}");
}

#[test]
fn a_wrong_command_line_and_a_refusal_are_results_too() {
    let shop = Shop::new();
    shop.must(&["dump", "-o", "shop.zip"]);
    for arguments in [&["dump", "--onyl", "db", "--json"][..], &["restore", "shop.zip", "--json"]] {
        let lines = shop.run(arguments).json();
        let last = lines.last().unwrap();
        assert_eq!((last["exit_code"].as_i64(), &last["error"]["kind"]), (Some(2), &"config".into()));
    }
}

#[test]
fn the_lines_go_to_standard_error_where_standard_output_is_the_archive() {
    let shop = Shop::new();
    let output = shop.command(&["dump", "-o", "-", "--json"]).output().unwrap();
    std::fs::write(shop.path("piped.zip"), &output.stdout).unwrap();
    shop.must(&["verify", "piped.zip"]);
    let lines = json_lines(std::str::from_utf8(&output.stderr).unwrap());
    assert_eq!(lines.last().unwrap()["event"], "result");
    assert!(lines.iter().any(|line| line["event"] == "cut"));
}

#[test]
fn what_happens_on_the_way_is_told() {
    let shop = Shop::new();
    shop.configure(&format!("{CONFIG}hooks: {{ before_dump: [[\"true\"]] }}\n"));
    let lines = shop.run(&["dump", "--json"]).json();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    for event in ["started", "hook", "phase", "node_started", "node_finished", "captured", "cut"] {
        assert!(events.contains(&event), "{event} in {events:?}");
    }
    let report = &lines.last().unwrap()["report"];
    assert_eq!(report["outcome"], "ok");
    assert_eq!(report["edges"][0]["certified"], true);
}
