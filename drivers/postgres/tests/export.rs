//! A dump as one SQL script, run by `psql`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use std::fs::{File, Permissions};
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, BuildContext, Content, CutMode, DriverConfig, ErrorKind, NodePath, OpenContext, Selection,
};
use dumprestore_postgres::PostgresConfig;
use dumprestore_testkit::{Damage, Dumping, Faulty, PostgresVersion, Seed, StoredNode};
use tempfile::TempDir;

mod restore_support;
use restore_support::Database;

const PASSWORD: &str = "n0t-to-be-seen-51c0";

/// Texts that `psql` might take for something of its own.
const TRAPS: &str = r#"
    CREATE TABLE s.traps ("USER" int, a int[], b text DEFAULT E'\\! touch x', CHECK (a[1:"USER"] IS NOT NULL));
    INSERT INTO s.traps VALUES (1, '{1,2}', E'\\.'), (2, '{3}', E'\\.\n\\! touch x\n:USER'), (3, '{}', '\N'), (4, '{}', NULL);
    CREATE VIEW s."v :USER
\! touch x" AS SELECT a[1:"USER"] AS "\x", '\' || E'\n\\q' AS ":'HOST'" FROM s.traps;
    COMMENT ON TABLE s.traps IS E'one\n\\! touch x\n-- :USER';
    CREATE FUNCTION s.standard(n int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT n; SELECT n + 1; END;
    CREATE FUNCTION s.dollars() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN RETURN $$;\! '$$ || $body$ \q $body$; END $f$;
    CREATE FUNCTION s.rows_of_t() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM t); END';
    SET search_path = s, public;
    SET DateStyle = 'German';
    CREATE MATERIALIZED VIEW s.by_path AS SELECT s.rows_of_t() AS n, '2024-02-01'::date::text AS styled;
    CREATE TABLE s.a_child (id int) PARTITION BY LIST (id);
    CREATE TABLE s.a_child_1 PARTITION OF s.a_child DEFAULT;
    CREATE TABLE s.parent (id int PRIMARY KEY);
    ALTER TABLE s.a_child ADD FOREIGN KEY (id) REFERENCES s.parent;
    INSERT INTO s.parent VALUES (1), (2);
    INSERT INTO s.a_child VALUES (2);
    SELECT lo_from_bytea(77, decode(repeat('00ff5c27', 700000), 'hex'));
    COMMENT ON LARGE OBJECT 77 IS 'it''s \ large';
    DO $$ BEGIN
        EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), E'100 %I \\ ''\n-- $body$');
        EXECUTE format('ALTER DATABASE %I SET DateStyle = %L', current_database(), 'German');
        EXECUTE format('ALTER DATABASE %I SET work_mem = %L', current_database(), '7MB');
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO pg_monitor WITH GRANT OPTION', current_database());
    END $$;"#;

async fn dumped(database: &Database, folder: &Path) -> StoredNode {
    let driver = PostgresConfig::new(database.url(PASSWORD))
        .with_variables([("PATH".to_owned(), std::env::var("PATH").unwrap())])
        .build(&BuildContext::new(NodePath::new("db").unwrap(), "/"))
        .unwrap();
    let cx = OpenContext::new("run", folder);
    let parts = folder.join("parts");
    let mut dumping = Dumping::open(&*driver, cx, parts, Arc::<Faulty>::default()).await.unwrap();
    dumping.pin(CutMode::Open).await.unwrap();
    dumping.stream(async || {}).await.unwrap();
    let (node, released) = dumping.release().await;
    released.unwrap();
    node
}

fn script(archived: &dyn ArchivedNode, content: Content, file: &Path) -> String {
    script_of(archived, &Selection::default().with_content(content), file)
}

fn script_of(archived: &dyn ArchivedNode, selection: &Selection, file: &Path) -> String {
    let mut out = BufWriter::new(File::create(file).unwrap());
    PostgresConfig::export_sql(archived, selection, &mut out).unwrap();
    drop(out);
    String::from_utf8(std::fs::read(file).unwrap()).unwrap()
}

/// Makes the database as the head of the script says.
fn make(database: &Database, origin: &Database, script: &str) {
    let statement = script.lines().find_map(|line| line.strip_prefix("-- CREATE DATABASE ")).unwrap();
    let options = statement.strip_prefix(&origin.quoted()).unwrap();
    database.server.batch("postgres", &format!("CREATE DATABASE {}{options}", database.quoted()));
}

fn psql(database: &Database, arguments: &[&str], options: &str, file: &Path) {
    let output = run(database, arguments, options, file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// As who knows nothing of `ON_ERROR_STOP` would.
fn run(database: &Database, arguments: &[&str], options: &str, file: &Path) -> Output {
    let name = database.name.replace('\\', "\\\\").replace('\'', "\\'");
    PostgresVersion::V15
        .programs()
        .command("psql")
        .args(["-X", "-q", "-U", "postgres", "-h"])
        .arg(database.server.folder())
        .args(["-p", &database.server.port().to_string(), "-d", &format!("dbname='{name}'"), "-f", "-"])
        .args(arguments)
        .env("PGOPTIONS", options)
        .stdin(Stdio::from(File::open(file).unwrap()))
        .output()
        .unwrap()
}

async fn comes_back_the_same(origin: &Database, arguments: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let archived = dumped(origin, folder.path()).await;
    let file = folder.path().join("all.sql");
    let text = script(&archived, Content::All, &file);
    assert!(!text.contains(PASSWORD));
    let copy = Database::new();
    make(&copy, origin, &text);
    psql(&copy, arguments, "", &file);
    same(&content(&copy), &content(origin));
}

/// Also as definitions first, and then rows.
async fn comes_back_the_same_by_halves(origin: &Database, options: &str) {
    comes_back_the_same(origin, &["-1"]).await;
    let folder = tempfile::tempdir().unwrap();
    let archived = dumped(origin, folder.path()).await;
    let file = folder.path().join("half.sql");
    let halves = Database::new();
    make(&halves, origin, &script(&archived, Content::SchemaOnly, &file));
    psql(&halves, &["-1"], "", &file);
    script(&archived, Content::DataOnly, &file);
    psql(&halves, &["-1"], options, &file);
    same(&content(&halves), &content(origin));
}

/// Also what `pg_dump` does not tell: the rows of materialized views.
fn content(database: &Database) -> String {
    let rows = database.server.rows(
        &database.name,
        "SELECT c.oid::regclass, query_to_xml(format('SELECT * FROM %s', c.oid::regclass), true, false, '')
         FROM pg_class c WHERE relkind = 'm' AND relispopulated ORDER BY c.relname",
    );
    format!("{}\n{rows:?}", database.fingerprint())
}

/// Shows where they differ.
fn same(found: &str, expected: &str) {
    let differ = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(found == expected, "{differ:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_makes_every_kind_of_thing_again() {
    let database = Database::new();
    database.seed(Seed::Empty);
    let role = format!("export_{}", std::process::id());
    let every_kind = include_str!("dump/every_kind.sql").replace("SOMEBODY", &role);
    // A configuration table that no extension makes can't be made by `CREATE EXTENSION` either.
    let (before, after) = every_kind.split_once("CREATE TABLE s.config").unwrap();
    let (_, after) = after.split_once("WHERE extname = 'hstore';").unwrap();
    database.batch(&format!("{before}{after}{TRAPS}"));
    comes_back_the_same_by_halves(&database, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_makes_an_ordinary_database_again() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    // One of its triggers adds rows.
    comes_back_the_same_by_halves(&database, "-c session_replication_role=replica").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_makes_hostile_names_and_values_again() {
    let database = Database::new();
    database.seed(Seed::Hostile);
    comes_back_the_same(&database, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn some_tables_are_written_with_all_that_belongs_to_them() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let folder = tempfile::tempdir().unwrap();
    let archived = dumped(&database, folder.path()).await;
    let file = folder.path().join("some.sql");
    let copy = Database::new();
    make(&copy, &database, &script(&archived, Content::All, &file));
    psql(&copy, &[], "", &file);
    copy.batch("DROP TABLE shop.log; DROP TABLE shop.product CASCADE; UPDATE shop.spread SET v = 'kept'");
    let text = script_of(&archived, &Selection::of(["shop.log", "prod*"]), &file);
    assert!(!text.contains("shop\".\"spread") && !text.contains("DATABASE \""), "{text}");
    psql(&copy, &["-1"], "", &file);
    copy.batch(
        "CREATE VIEW shop.owned AS SELECT name, sku FROM shop.customer JOIN shop.product ON owner = customer.id;
         REVOKE ALL ON shop.owned FROM pg_monitor; UPDATE shop.spread SET v = 'v' || k",
    );
    same(&content(&copy), &content(&database));

    for thing in ["shop.logs", "shop.owned", "["] {
        let error =
            PostgresConfig::export_sql(&archived, &Selection::of([thing]), &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
}

/// A file that is not there, and which the user of `psql` can make.
fn touchable(folder: &TempDir) -> PathBuf {
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    folder.path().join("touched")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_in_a_row_runs_no_program_where_a_copy_fails() {
    let folder = tempfile::tempdir().unwrap();
    let touched = touchable(&folder);
    let database = Database::new();
    database.seed(Seed::Empty);
    let value = format!("hi\t `touch {}`", touched.display());
    database.batch(&format!("CREATE TABLE public.t (a text); INSERT INTO t VALUES ('{value}')"));
    let archived = dumped(&database, folder.path()).await;
    let file = folder.path().join("rows.sql");
    script(&archived, Content::DataOnly, &file);
    database.batch("ALTER TABLE t RENAME a TO b");
    let output = run(&database, &[], "", &file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("column \"a\""), "{said}");
    assert!(!touched.exists(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_changes_the_session_meanwhile_runs_no_program() {
    for (setting, value, comment) in
        [("standard_conforming_strings", "off", "a\\"), ("client_encoding", "SJIS", "\u{3042}")]
    {
        let folder = tempfile::tempdir().unwrap();
        let touched = touchable(&folder);
        let database = Database::new();
        database.seed(Seed::Empty);
        // Comments of indexes come after the rows.
        database.batch(&format!(
            "CREATE FUNCTION public.changes(a text) RETURNS bool LANGUAGE plpgsql AS $$
             BEGIN PERFORM set_config('{setting}', '{value}', false); RETURN true; END $$;
             CREATE TABLE public.t (a text CHECK (public.changes(a)));
             CREATE INDEX i1 ON t (a);
             CREATE INDEX i2 ON t (a);
             COMMENT ON INDEX i1 IS '{comment}';
             COMMENT ON INDEX i2 IS E'\n\\\\! touch {}\n';
             INSERT INTO t VALUES ('x');",
            touched.display()
        ));
        let archived = dumped(&database, folder.path()).await;
        let file = folder.path().join("all.sql");
        let copy = Database::new();
        make(&copy, &database, &script(&archived, Content::All, &file));
        let output = run(&copy, &[], "", &file);
        assert!(!touched.exists(), "{setting}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
        same(&content(&copy), &content(&database));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_foreign_archive_becomes_no_script() {
    let database = Database::new();
    database.seed(Seed::Ordinary);
    let folder = tempfile::tempdir().unwrap();
    let archived = dumped(&database, folder.path()).await;
    let export = |archived: &StoredNode| {
        PostgresConfig::export_sql(archived, &Selection::default(), &mut Vec::new()).unwrap_err()
    };
    for part in archived.names() {
        for damage in [Damage::AtTheEnd, Damage::Halfway] {
            let error = export(&archived.with_damage(part.clone(), damage));
            assert_eq!(error.kind(), ErrorKind::Archive, "{part}: {error}");
        }
    }
    assert_eq!(export(&archived.with_format(99)).kind(), ErrorKind::Unsupported);
}
