//! Whatever is written into a URL or an option file is what is used; and what a session does with real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod loading;
mod logins;
mod option_files;
mod sessions;
mod tls;
mod urls;

use std::path::Path;

use dumprestore_driver::{BuildContext, NodePath, Result};
use dumprestore_testkit::MysqlServer;

use crate::config::{MysqlConfig, Setup};

use super::Session;

/// A process without an environment, and a system without option files.
fn nobody() -> Vec<(String, String)> {
    [("HOME", "/nowhere"), ("DUMPRESTORE_TEST_ETC", "/nowhere")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

fn context() -> BuildContext {
    BuildContext::new(NodePath::new("db").unwrap(), "/base")
}

fn try_setup(config: MysqlConfig) -> Result<Setup> {
    config.with_variables(nobody()).setup(&context())
}

fn setup(url: &str) -> Setup {
    try_setup(MysqlConfig::new(url)).unwrap()
}

/// A session of a database, over TCP, as root.
async fn session(server: &MysqlServer, database: &str) -> Session {
    Session::open(&setup(&server.url(database)), "test").await.unwrap()
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
