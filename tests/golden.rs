//! Archives of earlier versions are restored by this one, for ever.
//!
//! `DUMPRESTORE_GOLDEN=new` writes `golden/format-1.zip` anew: only for a format that was never released.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: what they can't go on without ends them")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore::{Destination, DumpOptions, OpenArchive, RestoreFrom, RestoreOptions, RestoreOutcome};
use dumprestore_tests::{Application, Shop};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

async fn write_anew(folder: &Path) {
    let shop = Shop::create(&folder.join("origin"), 12);
    let _ = std::fs::remove_file(golden("format-1.zip"));
    std::fs::create_dir_all(golden("")).unwrap();
    let to = Destination::new_file(golden("format-1.zip"));
    dumprestore::dump(&shop.set(), to, DumpOptions::default()).await.unwrap();
    std::fs::write(golden("format-1.state"), format!("{:#?}\n", shop.state())).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_format_1_is_verified_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    if std::env::var("DUMPRESTORE_GOLDEN").is_ok_and(|value| value == "new") {
        write_anew(folder.path()).await;
    }
    let archive = OpenArchive::open(&golden("format-1.zip")).unwrap();
    dumprestore::verify(&archive, Arc::new(()), dumprestore::Cancel::default()).await.unwrap();
    let target = folder.path().join("target");
    std::fs::create_dir(&target).unwrap();
    let shop = Shop::at(&target);
    let report =
        dumprestore::restore(&shop.set(), &RestoreFrom::Archive(archive), &RestoreOptions::default()).await;
    assert_eq!(report.unwrap().outcome, RestoreOutcome::Ok);
    let expected = std::fs::read_to_string(golden("format-1.state")).unwrap();
    assert_eq!(format!("{:#?}\n", shop.state()), expected);
}
