//! `init`: what it finds, what it writes, and that it can be used at once.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use insta::assert_snapshot;
use rusqlite::Connection;
use support::Shop;

fn application() -> Shop {
    let shop = Shop::empty();
    for folder in ["public/uploads/2024", "data", "node_modules/x", "storage", ".git", "my files/media"] {
        std::fs::create_dir_all(shop.path(folder)).unwrap();
    }
    std::fs::write(shop.path("public/uploads/2024/a.jpg"), "a").unwrap();
    let schema = "CREATE TABLE product (id INTEGER PRIMARY KEY, image TEXT, name TEXT)";
    Connection::open(shop.path("data/shop.sqlite3")).unwrap().execute_batch(schema).unwrap();
    for passed_over in ["node_modules/x/cache.db", ".git/index.db"] {
        Connection::open(shop.path(passed_over)).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    }
    Connection::open(shop.path("storage/jobs.db")).unwrap().execute_batch("CREATE TABLE job (x)").unwrap();
    std::fs::write(shop.path("data/notes.db"), "not a database").unwrap();
    shop
}

#[test]
fn what_is_written_can_be_checked_dumped_and_restored_at_once() {
    let shop = application();
    assert_snapshot!("init", shop.run(&["init"]).transcript());
    assert_snapshot!("init_config", std::fs::read_to_string(shop.path("dumprestore.yaml")).unwrap());
    shop.must(&["check"]);
    shop.must(&["dump"]);
    shop.must(&["restore", "latest", "--yes"]);
}

#[test]
fn the_references_it_suggests_can_be_used() {
    let shop = application();
    shop.must(&["init"]);
    let text = std::fs::read_to_string(shop.path("dumprestore.yaml")).unwrap();
    let used = text.replace("    # references:", "    references:").replace("    #   - {", "      - {");
    shop.configure(&used);
    shop.must(&["check"]);
    assert!(shop.must(&["plan"]).stdout.contains("certified at the cut"));
    shop.must(&["dump"]);
}

#[test]
fn it_never_overwrites_and_says_when_there_is_nothing() {
    let shop = application();
    shop.configure("mine");
    assert_snapshot!("init_there_already", shop.run(&["init"]).transcript());
    assert_eq!(std::fs::read_to_string(shop.path("dumprestore.yaml")).unwrap(), "mine");
    let nothing = Shop::empty();
    assert_snapshot!("init_nothing", nothing.run(&["init"]).transcript());
    assert!(nothing.files(".").is_empty());
}

#[test]
fn what_it_could_not_understand_is_told_where_it_found_nothing_else() {
    let shop = Shop::empty();
    std::fs::write(shop.path("compose.yaml"), "services: [").unwrap();
    let ran = shop.run(&["init"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("can't understand `compose.yaml"), "{}", ran.stderr);
}
