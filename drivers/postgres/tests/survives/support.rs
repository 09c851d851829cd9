//! Dumps and restores by the driver, and the content of a database as text.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dumprestore_driver::{
    BuildContext, CutMode, Driver, DriverConfig, Error, LedgerEntry, NodePath, OldState, OpenContext,
    Placement, Result, StageContext,
};
use dumprestore_postgres::PostgresConfig;
use dumprestore_testkit::{Dumping, Faulty, PostgresServer, PostgresVersion, Restoring, Step, StoredNode};

/// Options of a database of that server. Its definitions are written by the newest `pg_dump`, where there is none of its
/// own.
pub fn config(server: &PostgresServer, database: &str) -> PostgresConfig {
    let own = server.programs().path("pg_dump");
    let newest = || PostgresVersion::V18.programs().path("pg_dump").unwrap();
    let mut config = PostgresConfig::new(server.url(database));
    config.pg_dump = Some(own.unwrap_or_else(newest));
    config
}

pub fn driver(config: PostgresConfig) -> Arc<dyn Driver> {
    config.build(&BuildContext::new(NodePath::new("db").unwrap(), "/")).unwrap()
}

pub async fn try_dump(config: PostgresConfig, folder: &Path) -> Result<StoredNode> {
    let cx = OpenContext::new("run", folder);
    let parts = folder.join("parts");
    let mut dumping = Dumping::open(&*driver(config), cx, parts, Arc::<Faulty>::default()).await?;
    dumping.pin(CutMode::Open).await?;
    let streamed = dumping.stream(async || {}).await;
    let (node, released) = dumping.release().await;
    streamed.and(released).map(|()| node)
}

pub async fn dump(config: PostgresConfig, folder: &Path) -> Arc<StoredNode> {
    Arc::new(try_dump(config, folder).await.unwrap_or_else(|error| panic!("{}", told(&error))))
}

fn context() -> StageContext {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    StageContext::new(format!("20260101T000000Z-{:08x}", NUMBER.fetch_add(1, Ordering::Relaxed)))
}

/// What the plan says.
pub async fn plan(archived: &Arc<StoredNode>, config: PostgresConfig) -> Result<()> {
    driver(config).changes(archived.clone(), &context()).await.map(drop)
}

/// What it notes.
pub async fn notes(archived: &Arc<StoredNode>, config: PostgresConfig) -> Vec<String> {
    driver(config).changes(archived.clone(), &context()).await.unwrap().notes
}

/// Gives what the restore has told.
pub async fn try_restore(archived: &Arc<StoredNode>, config: PostgresConfig) -> Result<Vec<LedgerEntry>> {
    restore_as(archived, config, context()).await
}

/// The same, without a database beside it.
pub async fn try_restore_in_place(
    archived: &Arc<StoredNode>,
    config: PostgresConfig,
) -> Result<Vec<LedgerEntry>> {
    restore_as(archived, config, context().with_placement(Placement::InPlace)).await
}

async fn restore_as(
    archived: &Arc<StoredNode>,
    config: PostgresConfig,
    cx: StageContext,
) -> Result<Vec<LedgerEntry>> {
    let driver = driver(config);
    driver.changes(archived.clone(), &cx).await?;
    let mut restoring = Restoring::stage(&*driver, archived.clone(), cx, Arc::<Faulty>::default()).await?;
    restoring.go(Step::Finish, OldState::Drop).await?;
    Ok(restoring.staging().ledger())
}

/// Restores into a database that is not there yet.
pub async fn restore(archived: &Arc<StoredNode>, server: &PostgresServer, database: &str) {
    let restored = try_restore(archived, config(server, database)).await;
    let told = restored.unwrap_or_else(|error| panic!("{}", told(&error)));
    assert!(told.iter().all(|entry| !entry.degrades), "{told:?}");
}

/// With all that an error has to say.
pub fn told(error: &Error) -> String {
    let context: Vec<_> = error.context().iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!("{error} ({}), because {cause:?}; {:?}", context.join(", "), error.hint())
}

/// Everything but roles, as `pg_dump` tells it, with the database's name taken out.
pub fn content(server: &PostgresServer, database: &str) -> String {
    let output = PostgresVersion::V18
        .programs()
        .command("pg_dump")
        .args(["--create", "--no-sync", "--host"])
        .arg(server.folder())
        .args(["--port", &server.port().to_string(), "--username", "postgres", "--dbname", database])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    normal(
        &String::from_utf8_lossy(&output.stdout)
            .replace(&format!("{database} "), "x ")
            .replace(&format!("{database};"), "x;"),
    )
}

/// Definitions in their order, then the rows of each table, sorted: which partition has a row may depend on numbers
/// that types have, and in which order rows are is nobody's business.
fn normal(dump: &str) -> String {
    let mut lines = Vec::new();
    let mut rows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut table = None;
    for line in dump.lines() {
        match table {
            Some(_) if line == "\\." => table = None,
            Some(table) => rows.entry(table).or_default().push(line),
            None if line.starts_with("COPY ") && line.ends_with("FROM stdin;") => table = Some(line),
            None if line.is_empty() || line.starts_with("-- ") || line == "--" || line.starts_with('\\') => {}
            None => lines.push(line),
        }
    }
    for (table, mut rows) in rows {
        rows.sort_unstable();
        lines.push(table);
        lines.append(&mut rows);
    }
    lines.join("\n")
}

/// Fails with the first lines that differ.
pub fn same(found: &str, expected: &str) {
    let differ: Vec<_> = similar(found, expected);
    assert!(found == expected, "{}", differ.join("\n"));
}

/// Lines that only one of them has, the first of them.
fn similar(found: &str, expected: &str) -> Vec<String> {
    let mut count: BTreeMap<&str, i64> = BTreeMap::new();
    found.lines().for_each(|line| *count.entry(line).or_default() += 1);
    expected.lines().for_each(|line| *count.entry(line).or_default() -= 1);
    let short = |line: &str| line.chars().take(300).collect::<String>();
    let told = |text: &str, sign: i64, mark: &str| {
        let only = text.lines().filter(|line| count[line] * sign > 0);
        only.take(20).map(|line| format!("{mark} {}", short(line))).collect::<Vec<_>>()
    };
    [told(expected, -1, "lost:"), told(found, 1, "new: ")].concat()
}
