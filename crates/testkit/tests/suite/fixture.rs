//! A folder of notes for the suite.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dumprestore_driver::{Reference, Selection};
use dumprestore_testkit::{Fixture, ReferentSample, ReferrerSample, Seed, async_trait};
use serde_json::{Value, json};

use crate::BREAKS;
use crate::notes::{NotesConfig, digest, read_all, selected};

const PASSWORD: &str = "correct-horse-battery-staple";

/// A folder of notes, of a driver with break number `N`.
pub(crate) struct Notes<const N: usize> {
    folder: PathBuf,
}

impl<const N: usize> Notes<N> {
    fn write(&self, name: &[u8], note: impl AsRef<[u8]>) {
        fs::write(self.folder.join(std::ffi::OsStr::from_bytes(name)), note).unwrap();
    }
}

#[async_trait]
impl<const N: usize> Fixture for Notes<N> {
    type Config = NotesConfig;

    async fn new(folder: &Path) -> Self {
        Self { folder: folder.join("notes") }
    }

    fn options(&self) -> Value {
        let breaks = BREAKS.iter().find(|(number, _)| *number == N).map(|(_, breaks)| breaks);
        json!({ "path": "notes", "password": PASSWORD, "breaks": breaks })
    }

    async fn seed(&self, seed: Seed) {
        let _ = fs::remove_dir_all(&self.folder);
        fs::create_dir(&self.folder).unwrap();
        match seed {
            Seed::Empty => {}
            Seed::Ordinary => {
                (0..9).for_each(|n| {
                    self.write(format!("note {n}").as_bytes(), format!("see: note {}\n", n + 1))
                });
                self.write(b"long", "x".repeat(10_000));
            }
            Seed::Hostile => {
                for name in ["%2F", "ä\n", "..x", "-", "~", "a b", "\\", "con", "A", "a"] {
                    self.write(name.as_bytes(), name);
                }
                self.write(b"\xff\xfe", b"\0\xff");
                self.write(b"nothing", b"");
            }
            Seed::Large => (0..20).for_each(|n| self.write(&[b'a' + n], [n; 100_000])),
        }
    }

    async fn mutate(&self) {
        let mut log = fs::read(self.folder.join("log")).unwrap_or_default();
        log.extend_from_slice(b"see: more\n");
        self.write(b"log", &log);
        self.write(b"note 0", format!("now with {}", log.len()));
        let _ = fs::remove_file(self.folder.join("note 1"));
    }

    async fn fingerprint(&self) -> String {
        let notes = read_all(&self.folder).unwrap();
        let line =
            |(name, note): (&Vec<u8>, &Vec<u8>)| format!("{} {}\n", name.escape_ascii(), note.escape_ascii());
        notes.iter().map(line).collect()
    }

    async fn remove(&self) -> bool {
        fs::remove_dir_all(&self.folder).unwrap();
        true
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned()]
    }

    /// Format 1 had each note backwards.
    fn older(&self, _format: u32) -> Option<(PathBuf, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/format-1");
        Some((folder, "greeting hello\n".to_owned()))
    }

    fn partial(&self) -> Vec<Selection> {
        vec![Selection::of(["note 0", "note 1"]), Selection::of(["long"])]
    }

    async fn split(&self, selection: &Selection) -> (String, String) {
        let all = self.fingerprint().await;
        let is_selected = |line: &&str| {
            let name = line
                .rsplit_once(" see")
                .or_else(|| line.split_once(" now"))
                .or_else(|| line.rsplit_once(' '));
            selected(selection, name.unwrap_or_default().0.as_bytes())
        };
        let (chosen, rest): (Vec<_>, Vec<_>) = all.lines().partition(is_selected);
        (chosen.join("\n"), rest.join("\n"))
    }

    fn referrer(&self) -> Vec<ReferrerSample> {
        let finds = (1..10).map(|n| Reference::to(format!("note {n}"))).collect();
        vec![ReferrerSample { keys: json!("see"), finds }]
    }

    fn referent(&self) -> Vec<ReferentSample> {
        let first = Reference { digest: Some(digest(b"see: note 1\n")), ..Reference::to("note 0") };
        let there = vec![first, Reference::to("note 1"), Reference::to("long")];
        let missing = vec![Reference::to("note 9"), Reference::to("")];
        vec![ReferentSample { within: None, there, missing }]
    }
}
