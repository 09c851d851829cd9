//! Keys that a database holds, and rows that others hold keys of.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use std::time::Instant;

use dumprestore_driver::{CutMode, Digest, Error, ErrorKind, Reference, Severity};
use dumprestore_sqlite::SqliteConfig;
use dumprestore_testkit::{Dumping, Seed, Step};
use proptest::prelude::*;

mod support;
use support::Journal;
use support::runs::{Place, edge, references};

async fn pinned(schema: &str) -> (Place, Dumping) {
    let place = Place::new();
    let conn = support::connect(&place.path);
    Journal::Wal.set(&conn);
    conn.execute_batch(schema).unwrap();
    let dumping = place.pinned(CutMode::Open).await;
    (place, dumping)
}

fn keys(dumping: &Dumping, query: &str) -> Result<Vec<Vec<u8>>, Error> {
    let found = dumping.references(&edge(query))?;
    Ok(found.into_iter().map(|reference| reference.key.as_bytes().to_vec()).collect())
}

/// Those of `asked` that do not resolve.
fn unresolved(dumping: &mut Dumping, within: &str, asked: &[&str]) -> Vec<String> {
    let answers = dumping.resolve(Some(within), &references(asked)).unwrap();
    answers.into_iter().map(|answer| answer.reference.key.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_integers_texts_and_bytes_and_null_is_none() {
    let (_place, dumping) = pinned(
        "CREATE TABLE t (k);
         INSERT INTO t VALUES (7), (-9223372036854775808), ('a/b.png'), ('gr\u{fc}n'), (x'00ff'), (NULL), (''), ('07');",
    )
    .await;
    let expected: Vec<&[u8]> =
        vec![b"", b"\x00\xff", b"-9223372036854775808", b"07", b"7", b"a/b.png", "gr\u{fc}n".as_bytes()];
    assert_eq!(keys(&dumping, "SELECT k FROM t").unwrap(), expected);
    let error = keys(&dumping, "SELECT 1.5").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dangling);
    assert!(error.to_string().contains("1.5") && error.hint().is_some(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_hexadecimal_text_or_bytes_or_null() {
    let (_place, dumping) = pinned("CREATE TABLE t (x)").await;
    let digest = Some(Digest::new([0xab; 32]));
    for (query, expected) in [
        (format!("SELECT 'k', '{}'", "ab".repeat(32)), digest),
        (format!("SELECT 'k', '{}'", "AB".repeat(32)), digest),
        (format!("SELECT 'k', x'{}'", "ab".repeat(32)), digest),
        ("SELECT 'k', NULL".to_owned(), None),
        ("SELECT 'k', ''".to_owned(), None),
        ("SELECT 'k', x''".to_owned(), None),
    ] {
        assert_eq!(dumping.references(&edge(&query)).unwrap()[0].digest, expected, "{query}");
    }
    // An MD5 has 32 characters: taken for 32 bytes, it would be a digest of nothing.
    for bad in ["'0123456789abcdef0123456789abcdef'", "7", "x'00'", "'zz'"] {
        let error = dumping.references(&edge(&format!("SELECT 'the key', {bad}"))).unwrap_err();
        // A bad row is no mistake in the configuration.
        assert_eq!(error.kind(), ErrorKind::Dangling);
        assert!(error.to_string().contains("the key") && error.hint().is_some(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_of_keys_is_one_select_and_can_do_nothing_else() {
    let (place, dumping) = pinned("CREATE TABLE t (x); INSERT INTO t VALUES (1)").await;
    let before = support::fingerprint(&place.path);
    for query in [
        "DELETE FROM t RETURNING x",
        "INSERT INTO t VALUES (2)",
        "DROP TABLE t",
        "SELECT x FROM t; DELETE FROM t",
        "PRAGMA user_version = 9",
        "PRAGMA journal_mode = DELETE",
        "ATTACH 'x.db' AS y",
        "VACUUM",
        "COMMIT",
        "CREATE TEMP TABLE y (z)",
        "WITH n AS (SELECT 1) UPDATE t SET x = 5 RETURNING x",
        "SELECT x, x, x FROM t",
        "SELECT nothing FROM t",
        "SELECT x FROM nothing",
        "SELECT ?1",
        "nonsense",
        "-- nothing",
    ] {
        let error = keys(&dumping, query).expect_err(query);
        assert_eq!(error.kind(), ErrorKind::Config, "{query}: {error}");
    }
    assert_eq!(
        keys(&dumping, "WITH n AS (SELECT x FROM t) SELECT x FROM n UNION SELECT max(2, 3);").unwrap().len(),
        2
    );
    assert_eq!(support::fingerprint(&place.path), before);
    assert_eq!(place.names().iter().filter(|name| *name == "x.db").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_can_be_read_from_virtual_tables() {
    let (_place, mut dumping) = pinned(
        "CREATE VIRTUAL TABLE words USING fts5 (body); INSERT INTO words VALUES ('one two'), ('three');
         CREATE VIRTUAL TABLE boxes USING rtree (id, x0, x1); INSERT INTO boxes VALUES (7, 0, 1), (8, 5, 6);",
    )
    .await;
    assert_eq!(keys(&dumping, "SELECT body FROM words WHERE words MATCH 'two'").unwrap(), [b"one two"]);
    assert_eq!(keys(&dumping, "SELECT CAST(id AS INTEGER) FROM boxes WHERE x0 > 3").unwrap(), [b"8"]);
    assert_eq!(unresolved(&mut dumping, "words.body", &["three", "four"]), ["four"]);
    assert_eq!(unresolved(&mut dumping, "boxes.id", &["7", "9"]), ["9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_found_by_the_column_s_own_rules() {
    let (_place, mut dumping) = pinned(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, plain, txt TEXT, uuid BLOB, num NUMERIC, nc TEXT COLLATE NOCASE);
         INSERT INTO t VALUES (12, 12, 'a', x'610062', 5, 'Ab'), (13, '13', '14', 'text', '6', ''), (14, x'3135', NULL, NULL, 7.5, NULL);
         CREATE TABLE wr (k TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO wr VALUES ('x.y');
         CREATE TABLE \"odd.name\" (\"co.l\" INTEGER); INSERT INTO \"odd.name\" VALUES (1);
         CREATE VIEW v AS SELECT id AS vid FROM t;
         CREATE TABLE gen (a INTEGER, b INTEGER AS (a + 1)); INSERT INTO gen VALUES (1);",
    )
    .await;
    let none = Vec::<String>::new();
    assert_eq!(
        unresolved(&mut dumping, "t.id", &["12", "13", "15", "", "x", "12.5"]),
        ["15", "", "x", "12.5"]
    );
    assert_eq!(unresolved(&mut dumping, "T.ID", &["12"]), none);
    assert_eq!(unresolved(&mut dumping, "t.rowid", &["12", "99"]), ["99"]);
    assert_eq!(unresolved(&mut dumping, "t.plain", &["12", "13", "15", "16"]), ["16"]);
    assert_eq!(unresolved(&mut dumping, "t.txt", &["a", "14", "A"]), ["A"]);
    assert_eq!(unresolved(&mut dumping, "t.uuid", &["a\0b", "text", "ab"]), ["ab"]);
    assert_eq!(unresolved(&mut dumping, "t.num", &["5", "6", "7.5", "8"]), ["8"]);
    assert_eq!(unresolved(&mut dumping, "t.nc", &["aB", "", "b"]), ["b"]);
    assert_eq!(unresolved(&mut dumping, "wr.k", &["x.y", "x"]), ["x"]);
    assert_eq!(unresolved(&mut dumping, "odd.name.co.l", &["1", "2"]), ["2"]);
    assert_eq!(unresolved(&mut dumping, "v.vid", &["12", "2"]), ["2"]);
    assert_eq!(unresolved(&mut dumping, "gen.b", &["2", "1"]), ["1"]);
    assert_eq!(unresolved(&mut dumping, "t.id", &[]), none);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_not_there_is_an_error_with_a_suggestion() {
    let (_place, mut dumping) = pinned("CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)").await;
    for (within, hint) in [
        ("custmer.id", "did you mean `customer.id`?"),
        ("customer.nam", "did you mean `customer.name`?"),
        ("customer.zzz", "its columns are"),
        ("\"; DROP TABLE customer; --.id", "see the tables"),
    ] {
        let error = dumping.resolve(Some(within), &references(&["1"])).expect_err(within);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.hint().unwrap().starts_with(hint), "{within}: {error:?}");
    }
    let digest = Reference { digest: Some(Digest::new([1; 32])), ..Reference::to("1") };
    assert!(dumping.resolve(Some("customer.id"), &[digest]).unwrap_err().to_string().contains("sha256"));
}

#[test]
fn what_can_not_be_keys_or_a_column_is_refused_offline() {
    let driver = support::runs::driver(SqliteConfig::new("/nowhere/shop.db"));
    for keys in [serde_json::json!(""), serde_json::json!("  "), serde_json::json!({"pattern": "x"})] {
        assert_eq!(driver.check_keys(&keys).unwrap_err().kind(), ErrorKind::Config);
    }
    for within in [None, Some(""), Some("customer"), Some(".id"), Some("customer.")] {
        assert_eq!(driver.check_within(within).unwrap_err().kind(), ErrorKind::Config, "{within:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_declared_is_tried_out_when_the_database_is_inspected() {
    let place = Place::new();
    support::seed(&place.path, Journal::Wal, Seed::Ordinary);
    place.driver.check_keys(&"SELECT image FROM product".into()).unwrap();
    place.driver.check_within(Some("customer.id")).unwrap();
    assert!(place.driver.inspect().await.unwrap().problems.is_empty());
    place.driver.check_keys(&"SELECT img FROM product".into()).unwrap();
    place.driver.check_within(Some("customers.id")).unwrap();
    let problems = place.driver.inspect().await.unwrap().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.severity == Severity::NoCertificate), "{problems:?}");
    assert!(problems[0].message.contains("img"), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_dumped_neither_refers_nor_is_referred_to() {
    let place = Place::with(|path| {
        let mut config = SqliteConfig::new(path);
        config.exclude_data = vec!["product".into()];
        config
    });
    support::seed(&place.path, Journal::Wal, Seed::Ordinary);
    let mut dumping = place.pinned(CutMode::Open).await;
    assert!(keys(&dumping, "SELECT image FROM product").unwrap_err().to_string().contains("product"));
    assert!(keys(&dumping, "SELECT sku FROM owned").unwrap_err().to_string().contains("product"));
    assert!(dumping.resolve(Some("product.sku"), &references(&["sku-1"])).is_err());
    assert_eq!(unresolved(&mut dumping, "customer.id", &["1", "0"]), ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_keys_take_about_as_long_with_an_index_as_without() {
    let (_place, mut dumping) = pinned(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, bare TEXT, indexed TEXT);
         WITH RECURSIVE n (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 200000)
         INSERT INTO t SELECT v, 'key ' || v, 'key ' || v FROM n;
         CREATE INDEX t_indexed ON t (indexed);",
    )
    .await;
    for (within, prefix) in [("t.id", ""), ("t.bare", "key "), ("t.indexed", "key ")] {
        let asked: Vec<Reference> =
            (0..100_000).map(|id| Reference::to(format!("{prefix}{}", id * 2))).collect();
        let since = Instant::now();
        let missing = dumping.resolve(Some(within), &asked).unwrap();
        println!("{within}: {} ms", since.elapsed().as_millis());
        assert_eq!(missing.len(), 1, "{within}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_staged_database_is_read_without_the_live_one() {
    let place = Place::new();
    support::seed(&place.path, Journal::Wal, Seed::Ordinary);
    let dumped = place.dump().await;
    support::seed(&place.path, Journal::Wal, Seed::Empty);
    let mut restoring = place.staged(&dumped, Step::Prepare).await;
    assert_eq!(restoring.references(&edge("SELECT image FROM product")).unwrap().len(), 100);
    assert_eq!(restoring.resolve(Some("customer.id"), &references(&["1", "0"])).unwrap().len(), 1);
    restoring.staging().rollback().await.unwrap();
    assert_eq!(place.names(), ["shop.db"]);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever text, bytes or integer a referrer holds: as a key it leads back to the row that holds the same.
    #[test]
    fn a_key_leads_back_to_its_row(
        texts in prop::collection::vec(any::<String>(), 1..20),
        blobs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20),
        numbers in prop::collection::vec(any::<i64>(), 1..20),
    ) {
        runtime().block_on(async {
            let (place, dumping) = pinned(
                "CREATE TABLE t (txt TEXT, bytes BLOB, number INTEGER, plain);
                 CREATE INDEX t_txt ON t (txt);",
            ).await;
            drop(dumping);
            let conn = support::connect(&place.path);
            for text in &texts {
                conn.execute("INSERT INTO t (txt, plain) VALUES (?1, ?1)", [text]).unwrap();
            }
            for blob in &blobs {
                conn.execute("INSERT INTO t (bytes, plain) VALUES (?1, ?1)", [blob]).unwrap();
            }
            for number in &numbers {
                conn.execute("INSERT INTO t (number, plain) VALUES (?1, ?1)", [number]).unwrap();
            }
            let mut dumping = place.pinned(CutMode::Open).await;
            for column in ["txt", "bytes", "number", "plain"] {
                let found = dumping.references(&edge(&format!("SELECT {column} FROM t"))).unwrap();
                assert!(!found.is_empty());
                let within = format!("t.{column}");
                assert!(dumping.resolve(Some(&within), &found).unwrap().is_empty(), "{column}: {found:?}");
                let mut missing = Reference::to("no such key");
                missing.digest = None;
                assert_eq!(dumping.resolve(Some(&within), &[missing]).unwrap().len(), 1);
            }
        });
    }
}
