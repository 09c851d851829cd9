//! What people see: each command's ordinary run, and the messages that matter at three in the morning.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use insta::assert_snapshot;
use support::{CONFIG, Shop};

#[test]
fn check_plan_and_drivers() {
    let shop = Shop::new();
    assert_snapshot!("check", shop.run(&["check"]).transcript());
    assert_snapshot!("plan", shop.run(&["plan"]).transcript());
    assert_snapshot!("plan_mermaid", shop.run(&["plan", "--mermaid"]).transcript());
    assert_snapshot!("drivers", shop.run(&["drivers"]).transcript());
}

#[test]
fn dump_and_what_is_in_it() {
    let shop = Shop::new();
    assert_snapshot!("dump", shop.run(&["dump"]).transcript());
    assert_snapshot!("inspect", shop.run(&["inspect", "latest"]).transcript());
    assert_snapshot!("verify", shop.run(&["verify", "latest"]).transcript());
    assert_snapshot!("extract", shop.run(&["extract", "latest", "uploads", "-o", "out"]).transcript());
    assert_eq!(shop.files("out/uploads/files"), ["a.jpg", "b.jpg", "c.jpg"]);
}

#[test]
fn restore_from_the_plan_to_the_end() {
    let shop = Shop::new();
    shop.must(&["dump", "-q", "-o", "shop.zip"]);
    let before = shop.state();
    shop.break_it();
    assert_snapshot!("restore_dry_run", shop.run(&["restore", "shop.zip", "--dry-run"]).transcript());
    assert_snapshot!("restore_nobody_to_ask", shop.run(&["restore", "shop.zip"]).transcript());
    assert_snapshot!("rehearse", shop.run(&["rehearse", "shop.zip"]).transcript());
    assert_ne!(shop.state(), before);
    let restore = shop.run(&["restore", "shop.zip", "--yes", "--reversible", "--safety-dump"]);
    assert_snapshot!("restore", restore.transcript());
    assert_eq!(shop.state(), before);
    assert_snapshot!("restore_previous", shop.run(&["restore", ":previous", "--yes"]).transcript());
    assert_eq!(shop.state(), "1 rows, files a.jpg c.jpg extra.jpg");
    shop.must(&["restore", "shop.zip", "--yes", "-q"]);
    let older = shop.run(&["restore", ":previous", "--dry-run"]);
    let older = older.transcript();
    assert!(older.contains("has restored `db` since, and kept nothing"), "{older}");
    assert_snapshot!("recover_nothing", shop.run(&["recover"]).transcript());
}

#[test]
fn a_part_of_the_set() {
    let shop = Shop::new();
    shop.must(&["dump", "-q", "-o", "shop.zip"]);
    assert_snapshot!("only_unknown", shop.run(&["dump", "--only", "upload"]).transcript());
    assert_snapshot!(
        "only_dry_run",
        shop.run(&["restore", "shop.zip", "--only", "db", "--dry-run"]).transcript()
    );
    let map = ["restore", "shop.zip", "--only", "db", "--map", "db=copy.db", "--yes"];
    assert_snapshot!("map", shop.run(&map).transcript());
    assert!(shop.path("copy.db").is_file());
    assert_snapshot!(
        "map_unknown",
        shop.run(&["restore", "shop.zip", "--map", "d=x", "--dry-run"]).transcript()
    );
    let refused = shop.run(&["restore", "shop.zip", "--map", "uploads=http://h/x", "--dry-run"]);
    let refused = refused.transcript();
    assert!(refused.contains("--map") && !refused.contains("dumprestore.yaml:"), "{refused}");
}

#[test]
fn what_is_wrong_with_a_configuration() {
    let shop = Shop::new();
    shop.configure(&CONFIG.replace("path: shop.db", "pth: shop.db"));
    assert_snapshot!("typing_error", shop.run(&["check"]).transcript());
    shop.configure(&CONFIG.replace("path: shop.db", "path: ${SHOP_DB}"));
    assert_snapshot!("variable_not_set", shop.run(&["check"]).transcript());
    shop.configure(&CONFIG.replace("path: uploads", "path: upload"));
    assert_snapshot!("check_folder_missing", shop.run(&["check"]).transcript());
    shop.configure(&CONFIG.replace("to: backups", "to: uploads/backups"));
    assert_snapshot!("check_archives_within", shop.run(&["check"]).transcript());
    shop.configure(&CONFIG.replace("path: shop.db", "path: uploads/shop.db"));
    assert_snapshot!("check_same_place", shop.run(&["check"]).transcript());
    std::fs::remove_file(shop.path("dumprestore.yaml")).unwrap();
    assert_snapshot!("no_configuration", shop.run(&["dump"]).transcript());
    assert_snapshot!("no_such_configuration", shop.run(&["dump", "-c", "other.yaml"]).transcript());
}

#[test]
fn archives_that_are_none() {
    let shop = Shop::new();
    shop.must(&["dump", "-q", "-o", "shop.zip"]);
    let whole = std::fs::read(shop.path("shop.zip")).unwrap();
    std::fs::write(shop.path("cut.zip"), &whole[..whole.len() - 30]).unwrap();
    std::fs::write(shop.path("empty.zip"), "").unwrap();
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    std::fs::write(shop.path("flipped.zip"), flipped).unwrap();
    for name in ["cut", "empty", "flipped", "missing"] {
        let archive = format!("{name}.zip");
        // Files are captured in any order: which one is hit differs.
        let verify = ["a.jpg", "b.jpg"]
            .into_iter()
            .fold(shop.run(&["verify", &archive]).transcript().to_owned(), |transcript, name| {
                transcript.replace(name, "c.jpg")
            });
        assert_snapshot!(format!("verify_{name}"), verify);
        let restore = shop.run(&["restore", &archive, "--yes"]);
        assert_eq!(restore.code, 4, "{}", restore.transcript());
        assert_eq!(shop.state(), "3 rows, files a.jpg b.jpg c.jpg");
    }
    assert_snapshot!("latest_none", shop.run(&["restore", "latest", "--dry-run"]).transcript());
}

#[test]
fn help_and_usage() {
    let shop = Shop::empty();
    assert_snapshot!("help", shop.run(&["--help"]).transcript());
    assert_snapshot!("help_restore", shop.run(&["restore", "--help"]).transcript());
    assert_snapshot!("usage", shop.run(&["dump", "--onyl", "db"]).transcript());
    assert_snapshot!("no_command", shop.run(&[]).transcript());
}
