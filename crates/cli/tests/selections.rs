//! What is named on the command line: parts, things, places, and programs that are not there.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use support::{CONFIG, Shop};

#[test]
fn a_name_that_is_not_in_the_archive_gets_a_suggestion() {
    let shop = Shop::new();
    shop.must(&["dump", "-q", "-o", "shop.zip"]);
    for (what, hint) in [
        ("upload", "did you mean `uploads`?"),
        ("uploads/files/a.jgp", "did you mean `uploads/files/a.jpg`?"),
        ("uploads/file", "did you mean `uploads/files`?"),
        ("xyzzy", "it has `db`, `uploads`; `dumprestore inspect`"),
        ("uploads/0123456789", "`dumprestore inspect` shows"),
    ] {
        let ran = shop.run(&["extract", "shop.zip", what, "-o", "out"]);
        assert_eq!(ran.code, 2, "{what}: {}", ran.transcript());
        assert!(ran.stderr.contains(hint), "{what}: {}", ran.transcript());
        assert!(!shop.path("out").exists());
    }
}

#[test]
fn sql_is_refused_where_a_driver_has_none() {
    let shop = Shop::new();
    shop.must(&["dump", "-q", "-o", "shop.zip"]);
    for (arguments, code, says) in [
        (&["uploads", "--sql", "-o", "x.sql"][..], 1, "can't be extracted as SQL"),
        (&["uploads", "--sql", "-o", "-"], 1, "can't be extracted as SQL"),
        (&["upload", "--sql", "-o", "x.sql"], 2, "did you mean `uploads`?"),
        (&["uploads/files", "--sql", "-o", "x.sql"], 2, "a part alone is no SQL"),
        (&["uploads:", "--sql", "-o", "x.sql"], 2, "names no thing"),
        (&["uploads", "--sql"], 2, "--output <FOLDER"),
        (&["uploads", "--schema-only"], 2, "--sql"),
    ] {
        let ran = shop.run(&[&["extract", "shop.zip"], arguments].concat());
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.transcript());
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.transcript());
    }
    assert!(!shop.path("x.sql").exists());
}

#[test]
fn what_a_driver_cannot_do_is_refused_by_node_before_anything_is_touched() {
    let shop = Shop::new();
    shop.must(&["dump", "-q", "-o", "shop.zip"]);
    shop.break_it();
    let broken = shop.state();
    for (arguments, says) in [
        (&["--in-place"][..], "can't be restored in place"),
        (&["--in-place=db"], "db: this node can't be restored in place"),
        (&["--only", "db:product"], "db: this node is restored whole or not at all"),
        (&["--schema-only"], "has no schema apart from its data"),
        (&["--only", "db", "--data-only"], "db: this node has no schema apart from its data"),
    ] {
        for command in [&["restore", "shop.zip", "--yes"][..], &["rehearse", "shop.zip"]] {
            let ran = shop.run(&[command, arguments].concat());
            assert_eq!(ran.code, 1, "{arguments:?}: {}", ran.transcript());
            assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.transcript());
        }
    }
    assert_eq!(shop.state(), broken);
    let both = shop.run(&["restore", "shop.zip", "--schema-only", "--data-only"]);
    assert_eq!(both.code, 2);
}

#[test]
fn what_lies_at_a_mapped_target_goes_only_if_that_is_said_and_other_nodes_are_as_ever() {
    let shop = Shop::new();
    shop.must(&["dump", "-q", "-o", "shop.zip"]);
    std::fs::write(shop.path("uploads/extra.jpg"), "extra").unwrap();
    let elsewhere = ["restore", "shop.zip", "--yes", "--map", "db=copy.db"];
    shop.must(&elsewhere);
    assert!(!shop.path("uploads/extra.jpg").exists());

    let copy = rusqlite::Connection::open(shop.path("copy.db")).unwrap();
    copy.execute_batch("CREATE TABLE later (x)").unwrap();
    drop(copy);
    for more in [&[][..], &["--only", "db"]] {
        let refused = shop.run(&[&elsewhere[..], more].concat());
        assert_eq!(refused.code, 1, "{}", refused.transcript());
        assert!(refused.stderr.contains("(tables: later)"), "{}", refused.transcript());
    }
    shop.must(&[&elsewhere[..], &["--extras", "remove"]].concat());
}

#[test]
fn a_plan_names_some_of_what_is_removed() {
    let shop = Shop::new();
    shop.must(&["dump", "-q", "-o", "shop.zip"]);
    shop.database().execute_batch("CREATE TABLE later (x)").unwrap();
    let plan = shop.run(&["restore", "shop.zip", "--dry-run", "--only", "db"]);
    assert!(plan.stdout.contains("removed: `later`"), "{}", plan.transcript());
}

#[test]
fn check_finds_hooks_whose_program_is_not_there() {
    let shop = Shop::new();
    shop.configure(&format!(
        "{CONFIG}hooks:\n  before_dump: [[./maintenance, \"on\"]]\n  always: [[no-such-program-here]]\n"
    ));
    let ran = shop.run(&["check"]);
    assert_eq!(ran.code, 1, "{}", ran.transcript());
    assert!(ran.stdout.contains("before_dump (hook)"), "{}", ran.transcript());
    assert!(ran.stdout.contains("`./maintenance`, can't be found"), "{}", ran.transcript());
    assert!(ran.stdout.contains("`no-such-program-here`, is not in `PATH`"), "{}", ran.transcript());
    assert!(ran.stdout.contains("hint: it is looked for at"), "{}", ran.transcript());
}

#[test]
fn what_a_hook_prints_is_told_without_its_secrets() {
    let shop = Shop::new();
    let hook = "{ run: [sh, -c, \"echo one $TOKEN; echo two >&2\"], env: { TOKEN: battery-staple } }";
    shop.configure(&format!("{CONFIG}hooks:\n  before_dump: [{hook}]\n"));
    let ran = shop.must(&["dump", "-o", "shop.zip"]);
    assert!(ran.stderr.contains("before_dump (sh): one ***"), "{}", ran.transcript());
    assert!(ran.stderr.contains("before_dump (sh): two"), "{}", ran.transcript());
    let lines = shop.must(&["dump", "--json", "-o", "again.zip"]).json();
    let told: Vec<_> = lines.iter().filter(|line| line["event"] == "hook_output").collect();
    assert_eq!(told.len(), 2);
    assert!(told.iter().any(|line| line["stream"] == "stdout" && line["line"] == "one ***"));
}

#[test]
fn check_finds_a_state_folder_that_no_run_would_take() {
    let shop = Shop::new();
    shop.must(&["check"]);
    let config = std::fs::read_to_string(shop.path("dumprestore.yaml")).unwrap();
    std::fs::write(shop.path("dumprestore.yaml"), format!("{config}state: not/there\n")).unwrap();
    let ran = shop.run(&["check"]);
    assert_eq!(ran.code, 1, "{}", ran.transcript());
    assert!(
        ran.stdout.contains("the state folder that is named with `state:` is not there"),
        "{}",
        ran.transcript()
    );
    std::fs::create_dir_all(shop.path("not/there")).unwrap();
    shop.must(&["check"]);
}
