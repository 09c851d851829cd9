//! The binary with the driver of one's own does all that the stock one does.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

use std::path::Path;
use std::process::Command;

const CONFIG: &str = "\
version: 1
name: books
set:
  - { name: ledger, driver: ledger, path: ledger.jsonl }
  - { name: receipts, driver: filesystem, path: receipts }
";

fn run(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumprestore-ledger"));
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    let (said, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}\n{said}{told}");
    said
}

#[test]
fn it_knows_the_ledger_beside_the_stock_drivers_and_restores_both() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let ledger = folder.join("ledger.jsonl");
    std::fs::create_dir(folder.join("receipts")).unwrap();
    std::fs::write(folder.join("receipts/1.txt"), "paid").unwrap();
    std::fs::write(&ledger, "{\"id\":1}\n").unwrap();
    std::fs::write(folder.join("dumprestore.yaml"), CONFIG).unwrap();

    assert!(run(folder, &["drivers"]).contains("ledger "));
    assert!(run(folder, &["schema"]).contains("\"const\": \"ledger\""));
    run(folder, &["check"]);
    run(folder, &["dump", "-o", "books.zip"]);
    std::fs::write(&ledger, "lost").unwrap();
    std::fs::remove_file(folder.join("receipts/1.txt")).unwrap();
    run(folder, &["restore", "books.zip", "--yes"]);
    assert_eq!(std::fs::read_to_string(&ledger).unwrap(), "{\"id\":1}\n");
    assert_eq!(std::fs::read_to_string(folder.join("receipts/1.txt")).unwrap(), "paid");
}
