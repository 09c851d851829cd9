//! Dumps, and restores into the live database.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test file uses its share; what a test can't go on without ends it"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dumprestore_driver::{
    ArchivedNode, BuildContext, Changes, CutMode, Driver, DriverConfig, Error, Extras, LedgerEntry, NodePath,
    OldState, OpenContext, Placement, Result, Selection, StageContext, Staging, Token,
};
use dumprestore_postgres::PostgresConfig;
use dumprestore_testkit::{Dumping, PostgresServer, Restoring, Step, StoredNode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A database of a server, a login for it, and its dump.
pub struct Place<'a> {
    pub server: &'a PostgresServer,
    pub database: String,
    pub login: String,
    pub more: Value,
    folder: TempDir,
}

pub fn run() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("20260101t000000z-{:05}-{:04}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

impl<'a> Place<'a> {
    /// A database that holds what these statements make.
    pub fn new(server: &'a PostgresServer, sql: &str) -> Self {
        let database = server.create_database();
        server.batch(&database, sql);
        let folder = TempDir::with_prefix("dumprestore-").unwrap();
        Self { server, database, login: "postgres".to_owned(), more: json!({}), folder }
    }

    /// The same, as another login, to which the database is given.
    pub fn owned_by(mut self, login: &str) -> Self {
        self.server.batch("postgres", &format!("ALTER DATABASE {} OWNER TO {login}", self.database));
        login.clone_into(&mut self.login);
        self
    }

    pub fn driver(&self) -> Arc<dyn Driver> {
        let url = format!("postgres://{}:x@127.0.0.1:{}/{}", self.login, self.server.port(), self.database);
        let mut options = json!({ "url": url, "lock_timeout": 3 });
        options.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        let config: PostgresConfig = serde_json::from_value(options).unwrap();
        config.build(&BuildContext::new(NodePath::new("db").unwrap(), "/")).unwrap()
    }

    pub async fn dump(&self) -> Arc<StoredNode> {
        let parts = self.folder.path().join(run());
        let cx = OpenContext::new(run(), self.folder.path());
        let mut dumping = Dumping::open(&*self.driver(), cx, parts, Arc::default()).await.unwrap();
        dumping.pin(CutMode::Open).await.unwrap();
        dumping.stream(async || {}).await.unwrap();
        let (node, released) = dumping.release().await;
        released.unwrap();
        Arc::new(node)
    }

    pub fn batch(&self, sql: &str) {
        self.server.batch(&self.database, sql);
    }

    pub fn value(&self, sql: &str) -> String {
        self.server.value(&self.database, sql)
    }

    pub async fn changes(&self, archived: &Arc<StoredNode>, selection: &Selection) -> Result<Changes> {
        self.driver().changes(archived.clone(), &cx(selection)).await
    }

    pub async fn stage(&self, archived: &Arc<StoredNode>, selection: &Selection) -> Restoring {
        self.stage_in(archived, cx(selection)).await
    }

    pub async fn stage_in(&self, archived: &Arc<StoredNode>, cx: StageContext) -> Restoring {
        Restoring::stage(&*self.driver(), archived.clone(), cx, Arc::default()).await.unwrap()
    }

    /// Plans and restores, and gives the ledger.
    pub async fn restore(
        &self,
        archived: &Arc<StoredNode>,
        selection: &Selection,
    ) -> Result<Vec<LedgerEntry>> {
        self.changes(archived, selection).await?;
        let mut restoring = self.stage(archived, selection).await;
        match restoring.go(Step::Finish, OldState::Drop).await {
            Ok(_) => Ok(restoring.staging().ledger()),
            Err(error) => {
                restoring.staging().rollback().await.unwrap();
                Err(error)
            }
        }
    }

    /// The error of a restore, which changes nothing.
    pub async fn fails(&self, archived: &Arc<StoredNode>, selection: &Selection) -> Error {
        let mut restoring = self.stage(archived, selection).await;
        let error = restoring.go(Step::Finish, OldState::Drop).await.expect_err("it can't work");
        restoring.staging().rollback().await.unwrap();
        error
    }

    pub async fn resume(&self, token: &Token) -> Box<dyn Staging> {
        self.driver().resume(token, StageContext::new(run())).await.unwrap()
    }

    /// All definitions and rows, as `pg_dump` tells them.
    pub fn content(&self) -> String {
        let output = self
            .server
            .programs()
            .command("pg_dump")
            .args(["--inserts", "--host"])
            .arg(self.server.folder())
            .args(["--port", &self.server.port().to_string(), "--username", "postgres", &self.database])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = |line: &&str| !line.starts_with("--") && !line.starts_with('\\') && !line.is_empty();
        text.lines().filter(told).collect::<Vec<_>>().join("\n")
    }
}

pub fn cx(selection: &Selection) -> StageContext {
    StageContext::new(run())
        .with_placement(Placement::InPlace)
        .with_selection(selection.clone())
        .with_extras(Extras::Remove)
}

/// The whole node, in place.
pub fn whole() -> Selection {
    Selection::default()
}

/// What an archive has of parts.
pub fn parts(archived: &StoredNode) -> usize {
    archived.parts().count()
}
