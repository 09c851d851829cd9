//! The promises of the contract, kept by this driver: the folder itself swapped, and its children.

#![allow(clippy::unwrap_used, reason = "what a test can't go on without ends it")]

mod folder;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dumprestore_driver::{Digest as Sha, Reference, async_trait};
use dumprestore_filesystem::FilesystemConfig;
use dumprestore_testkit::{Fixture, ReferentSample, Seed};
use folder::{Builder, fingerprint, noise};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

struct Uploads {
    root: PathBuf,
    swap: &'static str,
    turns: AtomicU64,
}

impl Uploads {
    fn new(folder: &Path, swap: &'static str) -> Self {
        Self { root: folder.join("uploads"), swap, turns: AtomicU64::new(0) }
    }

    fn clear(&self) {
        // Not the folder itself: it may be swapped child by child.
        fs::create_dir_all(&self.root).unwrap();
        for entry in fs::read_dir(&self.root).unwrap() {
            let path = entry.unwrap().path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        Builder(&self.root).mode("", 0o755);
    }

    fn fill(&self, seed: Seed) {
        self.clear();
        let build = Builder(&self.root);
        match seed {
            Seed::Empty => {}
            Seed::Ordinary => ordinary(&build),
            Seed::Hostile => hostile(&build),
            Seed::Large => (0..40).for_each(|n| {
                build.file(format!("bulk/{}/{n}", n % 7), noise(n, 100_000 + n as usize * 997));
            }),
        }
        build.settle();
        self.turns.store(0, Ordering::SeqCst);
    }
}

fn ordinary(build: &Builder<'_>) {
    build.file("product/1.jpg", noise(1, 9_000)).file("product/2.jpg", "two").file("empty", "");
    build.folder("nothing/in/here").file(".hidden", "dot").link("newest", "product/2.jpg");
    build.file("program", "#!/bin/sh\n").mode("program", 0o4755).mode("product", 0o2775);
    build.hard_link("product/one-more.jpg", "product/1.jpg");
    build.xattr("product/2.jpg", "user.origin", b"a shop").xattr("product", "user.note", b"");
}

fn hostile(build: &Builder<'_>) {
    // What nobody may read, only root can dump.
    let closed = if rustix::process::geteuid().is_root() { 0o000 } else { 0o500 };
    build.file("line\nbreak", "n").file("tab\tand \"quotes\" and \\", "q").file("-rf", "").file("%41%", "p");
    build.file(OsStr::from_bytes(b"latin\xe9/\xff\xfe"), "bytes").file("a".repeat(255), "long");
    build.file("Case", "1").file("case", "2").file("CASE", "3").file("a b/ c ", "blanks").file("...", "dots");
    build.file("files/tree.jsonl", "mine").file("media/x", "1").file("media2/x", "2").file("media-2", "3");
    build.link("dangling", "nowhere").link("out", "/etc").link("up", "../..").link("me", "me");
    build
        .link("to-media", "media")
        .folder("locked")
        .mode("locked", closed)
        .file("secret", "s")
        .mode("secret", closed);
    let deep = vec!["a folder with a name of some length"; 90].join("/");
    build.folder("e").file(format!("d/{deep}/leaf"), "deep");
}

#[async_trait]
impl Fixture for Uploads {
    type Config = FilesystemConfig;

    async fn new(folder: &Path) -> Self {
        Self::new(folder, "folder")
    }

    fn options(&self) -> Value {
        json!({ "path": "uploads", "swap": self.swap })
    }

    async fn seed(&self, seed: Seed) {
        self.fill(seed);
    }

    async fn mutate(&self) {
        let turn = self.turns.fetch_add(1, Ordering::SeqCst);
        let build = Builder(&self.root);
        build.file(format!("new/{turn}"), format!("{turn}"));
        match turn {
            // Overwritten in place, replaced by another file, deleted.
            0 => build.file("product/1.jpg", noise(77, 9_000)),
            1 => {
                build.file("product/new", "2!");
                fs::rename(build.at("product/new"), build.at("product/2.jpg")).unwrap();
                &build
            }
            _ => {
                let _ = fs::remove_file(build.at("product/1.jpg"));
                &build
            }
        };
    }

    async fn fingerprint(&self) -> String {
        fingerprint(&self.root)
    }

    async fn remove(&self) -> bool {
        fs::remove_dir_all(&self.root).unwrap();
        true
    }

    fn referent(&self) -> Vec<ReferentSample> {
        let sha = |content: &[u8]| Some(Sha::new(Sha256::digest(content).into()));
        let with = |key: &str, content: &[u8]| Reference { digest: sha(content), ..Reference::to(key) };
        vec![ReferentSample {
            within: None,
            there: vec![
                Reference::to("product/1.jpg"),
                Reference::to("./product//2.jpg"),
                with("product/1.jpg", &noise(1, 9_000)),
                with("product/one-more.jpg", &noise(1, 9_000)),
                Reference::to("empty"),
            ],
            missing: vec![
                Reference::to("product/3.jpg"),
                Reference::to("product"),
                Reference::to("newest"),
                Reference::to("../uploads/empty"),
                Reference::to("/etc/passwd"),
                with("product/2.jpg", b"not two"),
            ],
        }]
    }
}

mod whole {
    use super::Uploads;
    dumprestore_testkit::conformance!(Uploads);
}

mod children {
    use super::*;

    struct Children(Uploads);

    #[async_trait]
    impl Fixture for Children {
        type Config = FilesystemConfig;

        async fn new(folder: &Path) -> Self {
            Self(Uploads::new(folder, "children"))
        }

        fn options(&self) -> Value {
            self.0.options()
        }

        async fn seed(&self, seed: Seed) {
            self.0.seed(seed).await;
        }

        async fn mutate(&self) {
            self.0.mutate().await;
        }

        async fn fingerprint(&self) -> String {
            // What is kept of an earlier state lies in the folder, and is not part of its content.
            let all = fingerprint(&self.0.root);
            all.lines().filter(|line| !line.starts_with("\".dumprestore-")).collect::<Vec<_>>().join("\n")
        }

        async fn beside(&self, folder: &Path) -> std::collections::BTreeSet<String> {
            let mut names = dumprestore_testkit::entries(folder);
            if self.0.root.is_dir() {
                let within = dumprestore_testkit::entries(&self.0.root);
                names.extend(within.into_iter().filter(|name| name.starts_with(".dumprestore-")));
            }
            names
        }

        async fn remove(&self) -> bool {
            self.0.remove().await
        }

        fn referent(&self) -> Vec<ReferentSample> {
            self.0.referent()
        }
    }

    dumprestore_testkit::conformance!(Children);
}
