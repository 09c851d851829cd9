//! The binary with the driver of one's own does all that the stock one does.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

use std::path::Path;
use std::process::Command;

const CONFIG: &str = "\
version: 1
name: shop
set:
  - { name: flags, driver: flags, path: flags.jsonl }
  - { name: pictures, driver: filesystem, path: pictures }
";
const FLAGS: &str = "{\"flag\":\"new-checkout\",\"on\":true}\n{\"flag\":\"dark\",\"on\":false}\n";

fn run(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumprestore-flags"));
    let output = command.args(arguments).current_dir(folder).output().unwrap();
    let (said, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}\n{said}{told}");
    said
}

#[test]
fn it_knows_the_flags_beside_the_stock_drivers_and_restores_both() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let flags = folder.join("flags.jsonl");
    std::fs::create_dir(folder.join("pictures")).unwrap();
    std::fs::write(folder.join("pictures/1.txt"), "a cat").unwrap();
    std::fs::write(&flags, FLAGS).unwrap();
    std::fs::write(folder.join("dumprestore.yaml"), CONFIG).unwrap();

    assert!(run(folder, &["drivers"]).contains("flags "));
    assert!(run(folder, &["schema"]).contains("The file with the flags: one JSON object per line."));
    run(folder, &["check"]);
    run(folder, &["dump", "-o", "shop.zip"]);
    std::fs::write(&flags, "lost").unwrap();
    std::fs::remove_file(folder.join("pictures/1.txt")).unwrap();
    run(folder, &["restore", "shop.zip", "--yes"]);
    assert_eq!(std::fs::read_to_string(&flags).unwrap(), FLAGS);
    assert_eq!(std::fs::read_to_string(folder.join("pictures/1.txt")).unwrap(), "a cat");
}
