//! What a killed dump has left, where its volume can't be seen.

#![allow(clippy::unwrap_used, reason = "what fails ends the test")]

mod vault;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use dumprestore::{BackupSet, Destination, DumpOptions, Event};
use vault::{fill, node, set};

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// As after a dump to `vol/bank.zip` that was killed just before its archive was sealed.
async fn killed(folder: &Path, name: &str) -> (BackupSet, PathBuf) {
    let volume = folder.join("vol");
    std::fs::create_dir(&volume).unwrap();
    fill(name, &[("a", "1")]);
    let copy = "cp -a .dumprestore/bank.dump left; cp vol/bank.zip.partial-* left-there";
    let hooks = format!("hooks: {{ after_dump: [[sh, -ec, \"{copy}\"]] }}\n");
    let dumped = set(folder, &(node("db", name, "") + &hooks), &[]).unwrap();
    let to = Destination::new_file(volume.join("bank.zip"));
    dumprestore::dump(&dumped, to, DumpOptions::default()).await.unwrap();
    std::fs::remove_file(volume.join("bank.zip")).unwrap();
    std::fs::rename(folder.join("left"), folder.join(".dumprestore/bank.dump")).unwrap();
    let partial = volume.join("bank.zip.partial-0123456789abcdef");
    std::fs::rename(folder.join("left-there"), &partial).unwrap();
    (set(folder, &node("db", name, ""), &[]).unwrap(), partial)
}

/// Recovers, and gives what was told.
async fn recover(set: &BackupSet) -> String {
    let told = Arc::new(Mutex::new(String::new()));
    let listener = told.clone();
    let observer = move |event: &Event| {
        if let Event::Notice { message, hint, .. } = event {
            *listener.lock().unwrap() += &format!("{message}\n{}\n", hint.as_deref().unwrap_or_default());
        }
    };
    assert!(dumprestore::recover(set, Arc::new(observer)).await.unwrap().is_none());
    told.lock().unwrap().clone()
}

#[tokio::test]
async fn a_partial_archive_whose_volume_is_not_mounted_is_removed_when_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (set, partial) = killed(folder.path(), "left behind").await;
    let (volume, away) = (folder.path().join("vol"), folder.path().join("away"));
    std::fs::rename(&volume, &away).unwrap();
    for _twice in 0..2 {
        let told = recover(&set).await;
        assert!(told.contains("is the volume mounted?") && told.contains("bank.dump-1"), "{told}");
        assert_eq!(names(set.state_dir()), ["bank.dump-1", "bank.lock"]);
        assert!(!dumprestore::is_interrupted(&set));
    }
    // Dumps to other places go on meanwhile.
    let to = Destination::new_file(folder.path().join("another.zip"));
    dumprestore::dump(&set, to, DumpOptions::default()).await.unwrap();
    assert_eq!(names(set.state_dir()), ["bank.dump-1", "bank.lock"]);

    std::fs::rename(&away, &volume).unwrap();
    assert!(partial.exists());
    assert!(recover(&set).await.contains("removed what a dump had left"));
    assert!(!partial.exists());
    assert_eq!(names(set.state_dir()), ["bank.lock"]);
    assert_eq!(recover(&set).await, "");
}

#[tokio::test]
async fn of_two_killed_dumps_none_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (set, partial) = killed(folder.path(), "left twice").await;
    let state = set.state_dir().to_owned();
    let (volume, away) = (folder.path().join("vol"), folder.path().join("away"));
    std::fs::rename(&volume, &away).unwrap();
    let shell = |script: &str| {
        let script = std::process::Command::new("sh").args(["-ec", script]).current_dir(&state).status();
        assert!(script.unwrap().success());
    };
    shell("cp -a bank.dump again");
    recover(&set).await;
    shell("mv again bank.dump");
    recover(&set).await;
    assert_eq!(names(&state), ["bank.dump-1", "bank.dump-2", "bank.lock"]);
    std::fs::rename(&away, &volume).unwrap();
    recover(&set).await;
    assert!(!partial.exists());
    assert_eq!(names(&state), ["bank.lock"]);
}
