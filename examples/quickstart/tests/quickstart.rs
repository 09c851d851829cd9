//! What the README of the quickstart says.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

use std::path::Path;
use std::process::Command;

use dumprestore_cli::{Cli, Exit};

fn dumprestore(folder: &Path, arguments: &[&str]) -> Exit {
    let config = folder.join("dumprestore.yaml");
    let named = ["dumprestore", "-q", "-c", config.to_str().unwrap()];
    Cli::new().run_from(named.iter().chain(arguments))
}

#[test]
fn the_shop_is_dumped_broken_and_restored() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().canonicalize().unwrap().join("shop");
    let made = Command::new(env!("CARGO_BIN_EXE_dumprestore-quickstart")).arg(&folder).status().unwrap();
    assert!(made.success());
    let pictures = || std::fs::read_dir(folder.join("uploads")).unwrap().count();

    assert_eq!(dumprestore(&folder, &["check"]), Exit::Ok);
    assert_eq!(dumprestore(&folder, &["dump"]), Exit::Ok);
    std::fs::remove_file(folder.join("uploads/1.jpg")).unwrap();
    std::fs::write(folder.join("shop.db"), "not a database any more").unwrap();
    assert_eq!(pictures(), 4);
    assert_eq!(dumprestore(&folder, &["restore", "latest", "--yes"]), Exit::Ok);
    assert_eq!(pictures(), 5);
    assert_eq!(dumprestore(&folder, &["check"]), Exit::Ok);
    assert_eq!(dumprestore(&folder, &["dump"]), Exit::Ok);
}
