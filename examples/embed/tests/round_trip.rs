//! The example does what it shows.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

fn embed(command: &str, folder: &Path, archive: &Path) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_dumprestore-embed"))
        .arg(command)
        .args([folder, archive])
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    said
}

#[test]
fn a_program_dumps_and_restores_and_sees_how_far_it_is() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().canonicalize().unwrap().join("shop");
    let archive = folder.with_file_name("shop.zip");
    std::fs::create_dir_all(folder.join("uploads")).unwrap();
    std::fs::write(folder.join("uploads/a.jpg"), "a picture").unwrap();
    let database = Connection::open(folder.join("shop.db")).unwrap();
    database
        .execute_batch("CREATE TABLE product (image TEXT); INSERT INTO product VALUES ('a.jpg')")
        .unwrap();

    let said = embed("dump", &folder, &archive);
    assert!(said.contains("\ncut\n") && said.contains("dumped 2 nodes"), "{said}");

    database.execute_batch("DELETE FROM product").unwrap();
    std::fs::remove_file(folder.join("uploads/a.jpg")).unwrap();
    let said = embed("restore", &folder, &archive);
    assert!(said.contains("\ncommit\n") && said.contains("restored 2 nodes: Ok"), "{said}");
    let image: String = database.query_row("SELECT image FROM product", [], |row| row.get(0)).unwrap();
    assert_eq!(image, "a.jpg");
    assert_eq!(std::fs::read_to_string(folder.join("uploads/a.jpg")).unwrap(), "a picture");
}
