//! The promises of the contract, kept by this driver: in buckets of a real server, with versions and without, and in a
//! folder.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

mod place;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dumprestore_driver::{Reference, Selection, async_trait};
use dumprestore_media::MediaConfig;
use dumprestore_testkit::{Fixture, ReferentSample, S3Kind, Seed};
use place::{Place, noise, sha256, to};
use serde_json::{Value, json};

/// The objects of a seed: key, content, headers.
type Objects = Vec<(String, Vec<u8>, Vec<(&'static str, &'static str)>)>;

fn objects(seed: Seed) -> Objects {
    match seed {
        Seed::Empty => Vec::new(),
        Seed::Ordinary => ordinary(),
        Seed::Hostile => hostile(),
        Seed::Large => large(),
    }
}

fn ordinary() -> Objects {
    let image = vec![
        ("content-type", "image/jpeg"),
        ("cache-control", "public, max-age=31536000"),
        ("x-amz-meta-by", "a shop"),
    ];
    let packed = vec![
        ("content-type", "text/css"),
        ("content-encoding", "gzip"),
        ("content-disposition", "attachment; filename=\"a b.css\""),
    ];
    vec![
        ("product/1.jpg".into(), noise(1, 9_000), image.clone()),
        ("product/2.jpg".into(), b"two".to_vec(), image),
        ("product/10.jpg".into(), b"ten".to_vec(), vec![]),
        ("style.css".into(), noise(3, 500), packed),
        ("empty".into(), vec![], vec![]),
        (".hidden".into(), b"dot".to_vec(), vec![]),
    ]
}

fn hostile() -> Objects {
    let long = "l".repeat(1024 - place::PREFIX.len() - 1 - 3) + "/ü";
    let keys = [
        "a b/ c ",
        " leading",
        "%41%2F",
        "a+b&c=d?e#f",
        "<tag attr=\"x\">'&amp;",
        "back\\slash",
        "a//b",
        "a///b",
        "two/",
        "two/three",
        "two",
        "objects/x",
        "objects.jsonl",
        "ünï/çødé/名前",
        "🎨",
        "...",
        "-rf",
        "*?[x]",
        "Case",
        "case",
        "tab\there",
        "media",
        "media2/x",
        ".dumprestore-not-ours",
        "dumprestore/x",
    ];
    let named = keys.iter().map(|key| ((*key).to_owned(), key.as_bytes().to_vec(), vec![]));
    named.chain([(long, b"long".to_vec(), vec![])]).collect()
}

fn large() -> Objects {
    (0..14).map(|n| (format!("bulk/{}/{n}", n % 5), noise(n, 90_000 + n as usize * 9_973), vec![])).collect()
}

/// `PRODUCT` is overwritten first, then deleted.
const PRODUCT: &str = "product/1.jpg";

fn referent() -> Vec<ReferentSample> {
    let there = vec![to(PRODUCT, noise(1, 9_000)), to("product/2.jpg", "two"), to("empty", "")];
    let missing = [
        "product/3.jpg",
        "product",
        "product/",
        "/product/2.jpg",
        "product//2.jpg",
        "",
        ".dumprestore/x",
        "../x",
    ];
    vec![ReferentSample { within: None, there, missing: missing.map(Reference::to).to_vec() }]
}

fn partial() -> Vec<Selection> {
    vec![Selection::of(["product"]), Selection::of(["product/1*", "style.css"])]
}

/// The lines of what is selected, and the others.
fn split(selection: &Selection, fingerprint: &str) -> (String, String) {
    let begins =
        |line: &str, thing: &String| line.trim_start_matches('"').starts_with(thing.trim_end_matches('*'));
    let is_meant = |line: &&str| selection.things.iter().any(|thing| begins(line, thing));
    let (meant, rest): (Vec<&str>, Vec<&str>) = fingerprint.lines().partition(is_meant);
    (meant.join("\n"), rest.join("\n"))
}

struct Bucket {
    place: Place,
    turns: AtomicU64,
}

impl Bucket {
    fn new(place: Place) -> Self {
        Self { place, turns: AtomicU64::new(0) }
    }

    fn seed(&self, seed: Seed) {
        self.place.clear();
        for (key, content, headers) in objects(seed) {
            self.place.put_with(&key, content, &headers);
        }
        self.turns.store(0, Ordering::SeqCst);
    }

    fn mutate(&self) {
        let turn = self.turns.fetch_add(1, Ordering::SeqCst);
        self.place.put(&format!("new/{turn}"), format!("{turn}"));
        match turn {
            0 => self.place.put(PRODUCT, noise(77, 9_000)),
            1 => self.place.put_with("product/2.jpg", "two", &[("content-type", "image/png")]),
            _ => self.place.delete(PRODUCT),
        };
    }
}

const SECRET: &str = "n0t-to-be-seen/by+anybody=4711";

macro_rules! in_bucket {
    ($name:ident, $place:expr, $secret:expr) => {
        struct $name(Bucket);

        #[async_trait]
        impl Fixture for $name {
            type Config = MediaConfig;

            async fn new(_: &Path) -> Self {
                Self(Bucket::new($place))
            }

            fn options(&self) -> Value {
                let secret: Option<&str> = $secret;
                let mut options = self.0.place.options();
                if let Some(secret) = secret {
                    options["secret_access_key"] = json!(secret);
                }
                options
            }

            fn is_slow(&self) -> bool {
                true
            }

            async fn seed(&self, seed: Seed) {
                self.0.seed(seed);
            }

            async fn mutate(&self) {
                self.0.mutate();
            }

            async fn fingerprint(&self) -> String {
                self.0.place.fingerprint()
            }

            async fn beside(&self, _: &Path) -> BTreeSet<String> {
                self.0.place.beside().into_iter().collect()
            }

            fn secrets(&self) -> Vec<String> {
                let secret: Option<&str> = $secret;
                secret.map(str::to_owned).into_iter().collect()
            }

            fn referent(&self) -> Vec<ReferentSample> {
                referent()
            }

            fn partial(&self) -> Vec<Selection> {
                partial()
            }

            async fn split(&self, selection: &Selection) -> (String, String) {
                split(selection, &self.fingerprint().await)
            }
        }
    };
}

// This server lets anybody in, so that a secret can be one that is nowhere else.
in_bucket!(Plain, Place::new(S3Kind::Moto), Some(SECRET));
// This one tells times finely: within the second of a cut, a bucket that does not is dumped with what was just deleted.
// Its own secret may be seen where it is started.
in_bucket!(Versioned, Place::versioned(S3Kind::Ceph), None);

mod without_versions {
    dumprestore_testkit::conformance!(super::Plain);
}

mod with_versions {
    dumprestore_testkit::conformance!(super::Versioned);
}

struct Folder {
    root: PathBuf,
    turns: AtomicU64,
}

impl Folder {
    fn put(&self, key: &str, content: impl AsRef<[u8]>) {
        let path = self.root.join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn files(&self) -> Vec<String> {
        fn walk(at: &Path, below: &str, found: &mut Vec<String>) {
            for entry in fs::read_dir(at).unwrap().map(Result::unwrap) {
                let key = format!("{below}{}", entry.file_name().to_str().unwrap());
                match entry.file_type().unwrap().is_dir() {
                    true => walk(&entry.path(), &format!("{key}/"), found),
                    false => found.push(key),
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.root, "", &mut found);
        found.sort();
        found
    }
}

#[async_trait]
impl Fixture for Folder {
    type Config = MediaConfig;

    async fn new(folder: &Path) -> Self {
        let root = folder.join("store");
        fs::create_dir(&root).unwrap();
        Self { root, turns: AtomicU64::new(0) }
    }

    fn options(&self) -> Value {
        json!({ "url": format!("fs://{}", self.root.display()) })
    }

    async fn seed(&self, seed: Seed) {
        for entry in fs::read_dir(&self.root).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => fs::remove_dir_all(entry.path()).unwrap(),
                false => fs::remove_file(entry.path()).unwrap(),
            }
        }
        fs::create_dir_all(self.root.join(".dumprestore-partial")).unwrap();
        // What a folder can't have: names of folders that are objects as well, empty names, very long names.
        let fits = |key: &str| {
            let parts: Vec<&str> = key.split('/').collect();
            !parts.contains(&"") && parts.iter().all(|part| part.len() < 256 && part.trim() == *part)
        };
        let objects: Vec<_> =
            objects(seed).into_iter().filter(|(key, ..)| fits(key) && key != "two").collect();
        for (key, content, _) in objects {
            self.put(&key, content);
        }
        self.turns.store(0, Ordering::SeqCst);
    }

    async fn mutate(&self) {
        let turn = self.turns.fetch_add(1, Ordering::SeqCst);
        self.put(&format!("new/{turn}"), format!("{turn}"));
        match turn {
            0 => self.put(PRODUCT, noise(77, 9_000)),
            1 => self.put("product/2.jpg", "2!"),
            _ => drop(fs::remove_file(self.root.join(PRODUCT))),
        }
    }

    async fn fingerprint(&self) -> String {
        let ours =
            |key: &String| key.starts_with(".dumprestore/") || key.starts_with(".dumprestore-partial/");
        let files = self.files().into_iter().filter(|key| !ours(key));
        files.map(|key| format!("{key:?} {}\n", sha256(&fs::read(self.root.join(&key)).unwrap()))).collect()
    }

    async fn beside(&self, _: &Path) -> BTreeSet<String> {
        self.files().into_iter().filter(|key| key.starts_with(".dumprestore/")).collect()
    }

    fn referent(&self) -> Vec<ReferentSample> {
        referent()
    }

    fn partial(&self) -> Vec<Selection> {
        partial()
    }

    async fn split(&self, selection: &Selection) -> (String, String) {
        split(selection, &self.fingerprint().await)
    }
}

mod in_a_folder {
    dumprestore_testkit::conformance!(super::Folder);
}
