//! A folder and a driver for it, for tests.

#![allow(unreachable_pub, dead_code, unused_imports, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

mod content;
mod memory;
mod process;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{
    BuildContext, Driver, DriverConfig, Extras, NodePath, OldState, OpenContext, Result, StageContext,
};
use dumprestore_filesystem::FilesystemConfig;
use serde_json::{Value, json};

pub use content::{Builder, fingerprint, noise};
pub use memory::{Archive, Dump, Restore, holding};
pub use process::{StopAtEnd, as_ordinary_user, in_child, rest, shell, while_busy, with_own_mounts};

/// A folder with a driver for it, and a folder around it.
pub struct Case {
    pub around: tempfile::TempDir,
    pub root: PathBuf,
    runs: std::sync::atomic::AtomicU32,
}

impl Default for Case {
    fn default() -> Self {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().canonicalize().unwrap().join("uploads");
        fs::create_dir(&root).unwrap();
        Self { around, root, runs: Default::default() }
    }
}

impl Case {
    pub fn build(&self) -> Builder<'_> {
        Builder(&self.root)
    }

    pub fn driver(&self, options: Value) -> Arc<dyn Driver> {
        let mut all = json!({ "path": self.root });
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let config: FilesystemConfig = serde_json::from_value(all).unwrap();
        config.build(&BuildContext::new(NodePath::new("node").unwrap(), "/")).unwrap()
    }

    pub fn run(&self) -> String {
        let number = self.runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        format!("20260101t000000z-{number:04}")
    }

    pub async fn open(&self, options: Value) -> Dump {
        self.try_open(&*self.driver(options)).await.unwrap()
    }

    pub async fn try_open(&self, driver: &dyn Driver) -> Result<Dump> {
        let source = driver.open(OpenContext::new(self.run(), self.around.path())).await?;
        Ok(Dump::of(source))
    }

    /// A whole dump, as quiet as the folder.
    pub async fn dump(&self, options: Value) -> Arc<Archive> {
        let mut dump = self.open(options).await;
        dump.pass().await;
        dump.pin().await;
        Arc::new(dump.seal().await)
    }

    pub fn fingerprint(&self) -> String {
        fingerprint(&self.root)
    }

    /// The same without the line of one path.
    pub fn fingerprint_but(&self, path: &str) -> String {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions();
        let left_out = self.root.join(path);
        let was = mode(&left_out);
        fs::set_permissions(&left_out, fs::Permissions::from_mode(0o400)).unwrap();
        let all = self.fingerprint();
        fs::set_permissions(&left_out, was).unwrap();
        let start = format!("{path:?} ");
        all.lines().filter(|line| !line.starts_with(&start)).collect::<Vec<_>>().join("\n")
    }

    /// What is beside the folder.
    pub fn beside(&self) -> Vec<String> {
        let names = fs::read_dir(self.around.path()).unwrap();
        let mut names: Vec<_> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub async fn stage(&self, archive: &Arc<Archive>, options: Value, extras: Extras) -> Result<Restore> {
        let cx = StageContext::new(self.run()).with_extras(extras);
        let driver = self.driver(options);
        let staging = driver.stage(archive.clone(), cx).await?;
        Ok(Restore::of(staging, archive.clone()))
    }

    /// A whole restore.
    pub async fn restore(&self, archive: &Arc<Archive>, options: Value, extras: Extras) -> Result<()> {
        let mut restore = self.stage(archive, options, extras).await?;
        restore.load().await?;
        restore.staging.prepare().await?;
        restore.staging.commit().await?;
        restore.staging.finish(OldState::Drop).await.map(drop)
    }
}

/// An archive of a folder with that content.
pub async fn archive_of(fill: impl Fn(&Case)) -> Arc<Archive> {
    let case = Case::default();
    fill(&case);
    case.build().settle();
    case.dump(json!({})).await
}

/// Both ways to swap.
pub fn ways() -> [Value; 2] {
    [json!({ "swap": "folder" }), json!({ "swap": "children" })]
}
