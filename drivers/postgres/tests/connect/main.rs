//! Connections, as users configure them, to real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod client;
mod environment;
mod looks;
mod passwords;
mod refusals;
mod strings;
mod tls;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use dumprestore_driver::{BuildContext, DriverConfig, Inspection, NodePath, Problem};
use dumprestore_postgres::PostgresConfig;
use dumprestore_testkit::{PostgresServer, PostgresVersion, TempDir};
use serde_json::{Value, json};

/// A password with every character that means something to anybody, and its form in a URL.
const PASSWORD: &str = r#"p$%'"@:/\ é&?#=,[];!"#;
const IN_URL: &str = "p%24%25%27%22%40%3A%2F%5C%20%C3%A9%26%3F%23%3D%2C%5B%5D%3B%21";

/// A server for all of these tests, with TLS, that lets nobody in without a password but by its socket.
struct Shared {
    server: PostgresServer,
    database: String,
}

static SHARED: LazyLock<&Shared> = LazyLock::new(|| {
    let options = dumprestore_testkit::PostgresOptions::new(PostgresVersion::V15).tls().admissions(&[
        "local all open trust",
        "local all all scram-sha-256",
        "hostssl all certified all cert",
        "hostssl all encrypted all scram-sha-256",
        "hostnossl all plain all scram-sha-256",
        "host all old all md5",
        "host all clear all password",
        "host all hostile,shy,limited,owner all scram-sha-256",
    ]);
    let server = options.start();
    let database = server.create_database();
    let mut sql =
        format!("SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD {};", quoted(PASSWORD));
    sql.push_str("SET password_encryption = 'scram-sha-256';");
    for role in ["open", "certified", "encrypted", "plain", "clear", "hostile", "shy", "limited", "owner"] {
        sql.push_str(&format!("CREATE ROLE {role} LOGIN PASSWORD {};", quoted(PASSWORD)));
    }
    server.batch("postgres", &sql);
    // A static is never dropped; the server's keeper notices the end of this process.
    Box::leak(Box::new(Shared { server, database }))
});

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Shared {
    /// `HOST:PORT/DATABASE`.
    fn place(&self) -> String {
        format!("127.0.0.1:{}/{}", self.server.port(), self.database)
    }
}

/// A user's surroundings: a home of its own, and variables.
struct User {
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl User {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let variables = vec![
            ("HOME".to_owned(), home.path().display().to_string()),
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
        ];
        Self { home, variables }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Puts a file into the home.
    fn file(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// What a node with these options sees.
    async fn look_at(&self, options: Value) -> Inspection {
        self.build(options).unwrap().inspect().await.unwrap()
    }

    /// What a node with that URL sees.
    async fn look(&self, url: impl AsRef<str>) -> Inspection {
        self.look_at(json!({ "url": url.as_ref() })).await
    }

    fn build(
        &self,
        options: Value,
    ) -> dumprestore_driver::Result<std::sync::Arc<dyn dumprestore_driver::Driver>> {
        let config: PostgresConfig = serde_json::from_value(options).unwrap();
        let cx = BuildContext::new(NodePath::new("db").unwrap(), self.home.path());
        config.with_variables(self.variables.clone()).build(&cx)
    }

    /// The complaint of `build`.
    fn refusal(&self, options: Value) -> dumprestore_driver::Error {
        match self.build(options) {
            Ok(driver) => panic!("it was built, for {}", driver.target()),
            Err(error) => error,
        }
    }
}

/// The login that was let in.
fn login(inspection: &Inspection) -> &str {
    assert!(inspection.facts.contains_key("login"), "{:#?}", inspection.problems);
    &inspection.facts["login"]
}

fn is_encrypted(inspection: &Inspection) -> bool {
    login(inspection);
    inspection.facts["encrypted"] == "true"
}

/// The one problem that kept it from looking.
fn problem(inspection: &Inspection) -> &Problem {
    assert!(!inspection.facts.contains_key("login"), "it was let in: {:?}", inspection.facts);
    &inspection.problems[0]
}

fn has_problem(inspection: &Inspection, words: &str) -> bool {
    inspection.problems.iter().any(|problem| problem.message.contains(words))
}

fn as_text(path: &Path) -> String {
    path.display().to_string()
}
