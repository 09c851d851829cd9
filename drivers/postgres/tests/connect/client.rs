//! `pg_dump`: what it is told, and what becomes of it.

use std::path::Path;
use std::time::SystemTime;

use dumprestore_driver::{CutContext, CutMode, OpenContext, Result, Source};
use dumprestore_testkit::{PostgresVersion, soon};
use serde_json::{Value, json};

use crate::{IN_URL, PASSWORD, SHARED, User};

fn own_database() -> String {
    let database = SHARED.server.create_database();
    SHARED.server.batch("postgres", &format!("ALTER DATABASE {database} OWNER TO hostile"));
    SHARED.server.batch(&database, "CREATE TABLE t AS SELECT 1 AS n; ALTER TABLE t OWNER TO hostile");
    database
}

fn options(user: &User, database: &str, parameters: &str) -> Value {
    json!({
        "url": format!("postgres://hostile:{IN_URL}@localhost:{}/{database}?{parameters}", SHARED.server.port()),
        "pg_dump": user.home.path().join("pg_dump"),
    })
}

/// Pins the database, and has its definitions written.
async fn begin(user: &User, options: Value) -> Result<Box<dyn Source>> {
    let driver = user.build(options)?;
    let mut source = driver.open(OpenContext::new("run", user.home.path())).await?;
    source.pin(&CutContext::new(SystemTime::now(), CutMode::Open)).await?;
    match source.parts().await {
        Ok(_) => Ok(source),
        Err(error) => {
            source.release().await?;
            Err(error)
        }
    }
}

fn real() -> String {
    PostgresVersion::V15.programs().path("pg_dump").unwrap().display().to_string()
}

/// A script that says that it is `pg_dump`, and then does `what`.
fn script(user: &User, what: &str) {
    let script =
        format!("#!/bin/sh\nif [ \"$1\" = --version ]; then exec {} --version; fi\n{what}\n", real());
    user.file("pg_dump", &script, 0o755);
}

#[tokio::test]
async fn it_learns_how_to_connect_and_the_password_from_its_environment_only() {
    let user = User::new().with("PGHOST", "nowhere.invalid").with("PGPASSWORD", "wrong");
    let said = user.home.path().join("said");
    let database = own_database();
    let what = format!("echo \"$@\" >{0}; env >>{0}; exec {1} \"$@\"", said.display(), real());
    script(&user, &what);
    let root = SHARED.server.authority().file();
    let parameters = format!("sslmode=verify-full&sslrootcert={}", root.display());
    let mut source = begin(&user, options(&user, &database, &parameters)).await.unwrap();
    source.release().await.unwrap();
    let said = std::fs::read_to_string(said).unwrap();
    let (arguments, environment) = said.split_once('\n').unwrap();
    assert!(!arguments.contains(PASSWORD) && !arguments.contains("localhost"), "{arguments}");
    // What stands in our own environment leads somewhere else.
    assert!(!environment.contains("nowhere.invalid") && !environment.contains("PGPASSWORD=wrong"));
}

#[tokio::test]
async fn it_is_killed_when_the_dump_is_given_up() {
    let user = User::new();
    let database = own_database();
    let pid = user.home.path().join("pid");
    script(&user, &format!("echo $$ >{}; exec sleep 600", pid.display()));
    let options = options(&user, &database, "");
    let given_up = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        tokio::select! {
            _ = begin(&user, options) => panic!("it ended"),
            () = async { while !has_line(&pid) { tokio::time::sleep(std::time::Duration::from_millis(5)).await } } => {}
        }
    });
    given_up.await.unwrap();
    let pid = std::fs::read_to_string(pid).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    tokio::task::spawn_blocking(move || {
        soon("the end of `pg_dump`", || !process.join("exe").exists());
    })
    .await
    .unwrap();
}

fn has_line(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n'))
}

#[tokio::test]
async fn what_it_says_when_it_fails_is_told_and_bounded() {
    let user = User::new();
    script(&user, "i=0; while [ $i -lt 20000 ]; do echo \"line $i\" >&2; i=$((i+1)); done; exit 3");
    let Err(error) = begin(&user, options(&user, &own_database(), "")).await else {
        panic!("it did not fail")
    };
    let told = error.to_string();
    assert!(told.contains("`pg_dump` failed") && told.contains("line 19999"), "{told}");
    assert!(told.contains("exit status: 3") && told.len() < 12_000, "{}", told.len());
}

#[tokio::test]
async fn one_that_ends_early_without_a_word_fails_the_dump() {
    let user = User::new();
    let database = own_database();
    script(&user, "exit 0");
    assert!(begin(&user, options(&user, &database, "")).await.is_err());
    script(&user, &format!("{} \"$@\" | head -c 400", real()));
    assert!(begin(&user, options(&user, &database, "")).await.is_err());
    script(&user, &format!("{} \"$@\"; exit 1", real()));
    let Err(error) = begin(&user, options(&user, &database, "")).await else { panic!("it did not fail") };
    assert!(error.to_string().contains("exit status: 1"), "{error}");
}
