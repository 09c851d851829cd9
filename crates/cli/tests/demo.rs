//! The demo shows what it says, and the pages for the shell and for `man` are made.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use support::Shop;

#[test]
fn the_demo_restores_a_broken_shop_and_nothing_dangles() {
    let place = Shop::empty();
    let lines = place.run(&["demo", "shop", "--json"]).json();
    let report = &lines.last().unwrap()["report"];
    assert_eq!(lines.last().unwrap()["exit_code"], 0, "{report}");
    let (broken, restored) = (&report["broken"], &report["restored"]);
    assert!(broken["dangling"].as_u64() > Some(100) && broken["purchases"].is_null(), "{broken}");
    assert_eq!((restored["dangling"].as_u64(), restored["torn"].as_u64()), (Some(0), Some(0)));
    assert!(restored["purchases"].as_u64() > Some(100), "{restored}");
    place.must(&["-c", "shop/dumprestore.yaml", "check"]);
    assert_eq!(place.run(&["demo", "shop"]).code, 1, "a folder that is not empty is left alone");
}

#[test]
fn pages_and_completions_name_every_command() {
    let shop = Shop::empty();
    let written = shop.must(&["man", "-o", "."]).stdout;
    for command in
        ["init", "check", "plan", "dump", "restore", "rehearse", "verify", "inspect", "extract", "recover"]
    {
        assert!(written.contains(&format!("./dumprestore-{command}.1")), "{written}");
        let page = std::fs::read_to_string(shop.path(&format!("dumprestore-{command}.1"))).unwrap();
        assert!(page.starts_with(".ie") || page.contains(".TH"), "{page}");
        for shell in ["bash", "zsh", "fish"] {
            assert!(shop.must(&["completions", shell]).stdout.contains(command));
        }
    }
    serde_json::from_str::<serde_json::Value>(&shop.must(&["schema"]).stdout).unwrap();
}
