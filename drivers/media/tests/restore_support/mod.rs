//! Stores, and restores into them.

#![allow(unreachable_pub, dead_code, reason = "each test file uses some of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test can't go on without ends it"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dumprestore_driver::{
    BuildContext, Changes, CutMode, Driver, DriverConfig, NodePath, OldState, OpenContext, Result,
    StageContext, Staging, Token,
};
use dumprestore_media::MediaConfig;
use dumprestore_testkit::{
    Dumping, Faulty, Restoring, S3Bucket, S3Kind, S3Server, Step, StoredNode, TempDir,
};
use serde_json::{Value, json};

/// A bucket of its own, with a driver of a prefix in it.
pub struct Case {
    pub bucket: S3Bucket,
    server: &'static S3Server,
    pub folder: TempDir,
    options: Value,
    runs: AtomicU32,
}

/// The node's prefix in its bucket.
pub const PREFIX: &str = "media/";

impl Case {
    pub fn new(kind: S3Kind) -> Self {
        let server = S3Server::shared(kind);
        Self::of(server, server.create_bucket())
    }

    pub fn versioned(kind: S3Kind) -> Self {
        let server = S3Server::shared(kind);
        Self::of(server, server.create_versioned_bucket())
    }

    fn of(server: &'static S3Server, bucket: S3Bucket) -> Self {
        let folder = TempDir::with_prefix("dumprestore-").unwrap();
        Self { bucket, server, folder, options: json!({}), runs: AtomicU32::default() }
    }

    /// The same with more options.
    pub fn with(mut self, options: Value) -> Self {
        self.options = options;
        self
    }

    pub fn put(&self, key: &str, content: &str) {
        self.bucket.put(&format!("{PREFIX}{key}"), content);
    }

    pub fn put_with(&self, key: &str, content: &str, headers: &[(&str, &str)]) {
        self.bucket.put_with(&format!("{PREFIX}{key}"), content, headers);
    }

    pub fn get(&self, key: &str) -> Option<String> {
        self.bucket
            .get(&format!("{PREFIX}{key}"))
            .map(|content| String::from_utf8_lossy(&content).into_owned())
    }

    pub fn header(&self, key: &str, name: &str) -> Option<String> {
        let found = self.bucket.head(&format!("{PREFIX}{key}"))?;
        found.header(name).map(str::to_owned)
    }

    pub fn delete(&self, key: &str) {
        self.bucket.delete(&format!("{PREFIX}{key}"));
    }

    /// All objects of the node, with what belongs to them.
    pub fn content(&self) -> Vec<String> {
        let keys = self.bucket.keys(PREFIX);
        let own = keys
            .iter()
            .map(|key| key[PREFIX.len()..].to_owned())
            .filter(|key| !key.starts_with(".dumprestore/"));
        own.map(|key| {
            let content = self.get(&key).unwrap();
            let headers = ["content-type", "cache-control", "content-disposition", "x-amz-meta-by"];
            let headers: Vec<_> = headers.iter().map(|name| self.header(&key, name)).collect();
            let shown = if content.len() > 100 { format!("{} bytes", content.len()) } else { content };
            format!("{key:?} {shown:?} {headers:?}")
        })
        .collect()
    }

    /// What restores have left: objects, versions of them, and uploads.
    pub fn left(&self) -> Vec<String> {
        let ours = format!("{PREFIX}.dumprestore/");
        let mut left = self.bucket.keys(&ours);
        left.extend(
            self.bucket.versions(&ours).into_iter().map(|version| format!("version of {}", version.key)),
        );
        left.extend(self.bucket.uploads("").into_iter().map(|upload| format!("upload of {}", upload.key)));
        left
    }

    pub fn options(&self) -> Value {
        let mut options = json!({
            "url": self.bucket.url(PREFIX.trim_end_matches('/')),
            "endpoint": self.server.endpoint(),
            "region": self.server.region(),
            "access_key_id": self.server.access_key(),
            "secret_access_key": self.server.secret_key(),
        });
        options.as_object_mut().unwrap().extend(self.options.as_object().unwrap().clone());
        options
    }

    pub fn driver(&self) -> Arc<dyn Driver> {
        driver(self.options())
    }

    pub fn run(&self) -> String {
        format!("20260101t000000z-{:04}", self.runs.fetch_add(1, Ordering::Relaxed))
    }

    pub fn cx(&self) -> StageContext {
        StageContext::new(self.run())
    }

    fn fresh(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{name}-{}", self.runs.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&path).unwrap();
        path
    }

    pub async fn dump(&self) -> Arc<StoredNode> {
        dump(&*self.driver(), &self.fresh("archive"), &self.fresh("scratch")).await
    }

    pub async fn changes(&self, archived: &Arc<StoredNode>) -> Result<Changes> {
        self.driver().changes(archived.clone(), &self.cx()).await
    }

    /// A restore up to that step.
    pub async fn restored(&self, archived: &Arc<StoredNode>, last: Step) -> Restoring {
        self.restored_with(archived, last, self.cx()).await.unwrap()
    }

    pub async fn restored_with(
        &self,
        archived: &Arc<StoredNode>,
        last: Step,
        cx: StageContext,
    ) -> Result<Restoring> {
        let mut restoring = self.stage(archived, cx).await?;
        restoring.go(last, OldState::Drop).await?;
        Ok(restoring)
    }

    pub async fn stage(&self, archived: &Arc<StoredNode>, cx: StageContext) -> Result<Restoring> {
        Restoring::stage(&*self.driver(), archived.clone(), cx, Arc::new(Faulty::never())).await
    }

    pub async fn resume(&self, token: &Token) -> Box<dyn Staging> {
        self.driver().resume(token, StageContext::new("another")).await.unwrap()
    }
}

pub fn driver(options: Value) -> Arc<dyn Driver> {
    let config: MediaConfig = serde_json::from_value(options).unwrap();
    config.build(&BuildContext::new(NodePath::new("node").unwrap(), "/")).unwrap()
}

/// A whole dump.
pub async fn dump(
    driver: &dyn Driver,
    folder: &std::path::Path,
    scratch: &std::path::Path,
) -> Arc<StoredNode> {
    let cx = OpenContext::new("20260101t000000z-dump", scratch);
    let mut dumping = Dumping::open(driver, cx, folder.to_owned(), Arc::new(Faulty::never())).await.unwrap();
    dumping.capture().await.unwrap();
    dumping.pin(CutMode::Open).await.unwrap();
    dumping.stream(async || {}).await.unwrap();
    let (node, released) = dumping.release().await;
    released.unwrap();
    Arc::new(node)
}
