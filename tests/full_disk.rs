//! A folder, a PostgreSQL database that is restored in place, and a disk that is full for the journal from some moment
//! after the first commit on: afterwards all is old or all is new.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests: what they can't go on without ends them"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore::driver::BuildContext;
use dumprestore::{
    BackupSet, Destination, Driver, DriverConfig, DumpOptions, ErrorKind, Event, NodeBuilder, NodePath,
    OpenArchive, RestoreFrom, RestoreOptions,
};
use dumprestore_filesystem::FilesystemConfig;
use dumprestore_postgres::PostgresConfig;
use dumprestore_testkit::{PostgresServer, PostgresVersion};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// What the kernel sends to whoever writes beyond the limit.
const SIGXFSZ: i32 = 25;

/// How far files can grow, for the whole process: this file has one test only.
fn limit(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

struct Scene {
    folder: tempfile::TempDir,
    server: PostgresServer,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            folder: tempfile::tempdir().unwrap(),
            server: PostgresServer::start(PostgresVersion::V15),
        };
        scene.server.batch("postgres", "CREATE DATABASE shop");
        scene.server.batch("shop", "CREATE TABLE product (name text)");
        std::fs::create_dir(scene.path("uploads")).unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn set(&self) -> BackupSet {
        let db = json!({ "url": self.server.socket_url("shop"), "pg_dump": self.server.programs().path("pg_dump").unwrap() });
        let builder = BackupSet::builder("shop").base(self.folder.path());
        builder
            .node(NodeBuilder::new("db").driver(driver::<PostgresConfig>(self.folder.path(), db)))
            .node(
                NodeBuilder::new("uploads")
                    .driver(driver::<FilesystemConfig>(self.folder.path(), json!({ "path": "uploads" }))),
            )
            .build()
            .unwrap()
    }

    fn fill(&self, state: &str) {
        self.server.batch("shop", &format!("TRUNCATE product; INSERT INTO product VALUES ('{state}')"));
        std::fs::write(self.path("uploads/file"), state).unwrap();
    }

    /// What the database holds, and the folder.
    fn state(&self) -> (String, String) {
        let rows = self.server.rows("shop", "SELECT name FROM product");
        (rows[0][0].clone().unwrap(), std::fs::read_to_string(self.path("uploads/file")).unwrap())
    }

    /// Restores with room for so many bytes more in the journal after the first commit.
    async fn restore(&self, room: u64) -> dumprestore::Result<()> {
        let from = RestoreFrom::Archive(OpenArchive::open(&self.path("shop.zip")).unwrap());
        let journal = self.path(".dumprestore/shop.journal");
        let mut options = RestoreOptions::default();
        options.in_place = Some(vec!["db".to_owned()]);
        options.observer = Arc::new(move |event: &Event| {
            if matches!(event, Event::Step { node, step: "committed" } if node.as_str() == "uploads") {
                limit(Some(std::fs::metadata(&journal).unwrap().len() + room));
            }
        });
        let restored = dumprestore::restore(&self.set(), &from, &options).await;
        limit(None);
        restored.map(drop)
    }
}

fn driver<C: DriverConfig>(base: &Path, options: serde_json::Value) -> Arc<dyn Driver> {
    let config: C = serde_json::from_value(options).unwrap();
    config.build(&BuildContext::new(NodePath::new("node").unwrap(), base)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_full_after_a_commit_leaves_all_old_or_all_new() {
    let _ignored = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
    let scene = Scene::new();
    scene.fill("good");
    let archive = Destination::new_file(scene.path("shop.zip"));
    dumprestore::dump(&scene.set(), archive, DumpOptions::default()).await.unwrap();
    let (mut old, mut new, mut whole) = (0, 0, 0);
    for room in (0..).step_by(60) {
        scene.fill("bad");
        let ended = scene.restore(room).await;
        let recovered = dumprestore::recover(&scene.set(), Arc::new(())).await;
        let when = format!("{room} bytes: {ended:?}, then {recovered:?}");
        assert!(recovered.is_ok(), "{when}");
        match scene.state() {
            (db, files) if db == "bad" && files == "bad" => {
                assert!(ended.is_err(), "{when}");
                old += 1;
            }
            (db, files) if db == "good" && files == "good" => {
                let stuck = matches!(&ended, Err(error) if error.kind() == ErrorKind::Stuck);
                assert!(ended.is_ok() || stuck, "{when}");
                new += 1;
            }
            mix => unreachable!("a mix: {mix:?}: {when}"),
        }
        whole += u32::from(ended.is_ok() && recovered.is_ok_and(|recovered| recovered.is_none()));
        if whole > 0 {
            break;
        }
    }
    println!("{old} times old, {new} times new");
    assert!(old > 0 && new > 1, "{old} times old, {new} times new: the limit missed the commits");
}
