//! Keys on real servers.

#![allow(clippy::unwrap_used, clippy::panic)]

use dumprestore_driver::{BuildContext, ErrorKind, KeySink, NodePath, Reference, Result, Unresolved};
use dumprestore_testkit::{MysqlServer, MysqlVersion};

use super::{Column, check, read_keys};
use crate::config::MysqlConfig;
use crate::connect::{Charset, Session};

async fn session(server: &MysqlServer, database: &str) -> Session {
    let cx = BuildContext::new(NodePath::new("db").unwrap(), "/base");
    let variables = [("HOME", "/nowhere"), ("DUMPRESTORE_TEST_ETC", "/nowhere")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let setup = MysqlConfig::new(server.url(database)).with_variables(variables).setup(&cx).unwrap();
    let mut session = Session::open(&setup, "test").await.unwrap();
    // As a lane of a dump is.
    session.results_in(Charset::AsStored).await.unwrap();
    session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await.unwrap();
    session
}

/// A database of its own on each server, which goes afterwards.
async fn on_all(sql: &str, test: impl AsyncFn(&str, &mut Session)) {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        server.batch(&database, sql);
        let mut session = session(server, &database).await;
        test(&database, &mut session).await;
        session.close().await;
        server.drop_database(&database);
    }
}

async fn missing(session: &mut Session, database: &str, within: &str, keys: &[&[u8]]) -> Vec<String> {
    let column = Column::find(session, database, Some(within)).await.unwrap();
    let references: Vec<Reference> = keys.iter().map(|key| Reference::to(*key)).collect();
    let unresolved = column.unresolved(session, &references).await.unwrap();
    unresolved.iter().map(|unresolved| unresolved.reference.key.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_of_a_row_if_it_is_the_same_value_of_the_columns_type() {
    let sql = "
        CREATE TABLE k (t TINYINT UNSIGNED ZEROFILL, i BIGINT UNSIGNED, d DECIMAL(8,3), f FLOAT, b BIT(5), day DATE,
            y YEAR, v VARBINARY(9), fixed BINARY(3), x BLOB, j TIMESTAMP NULL, n INT);
        INSERT INTO k VALUES (7, 18446744073709551615, -1.5, 0.1, b'101', '2024-02-29', 2024, x'00ff27', x'61', x'5c', NULL, -3);
        INSERT INTO k (n) VALUES (NULL), (0);";
    on_all(sql, async |database, session| {
        for (column, there, absent) in [
            ("t", &[&b"7"[..], b"007"][..], &[&b"7abc"[..], b"7.0", b"263", b"", b"8"][..]),
            ("i", &[b"18446744073709551615"], &[b"18446744073709551616", b"1.8446744073709552e19", b"-1"]),
            ("d", &[b"-1.5", b"-01.500"], &[b"-1.5001", b"-1.49999999999999999999999", b"1.5", b"-1.5x"]),
            ("f", &[b"0.1"], &[b"0.10", b"0.1000000015"]),
            ("b", &[b"5"], &[b"\x05", b"05"]),
            ("day", &[b"2024-02-29"], &[b"20240229", b"2024-02-29 00:00:00", b"2024-2-29", b"\xff"]),
            ("y", &[b"2024"], &[b"24"]),
            ("v", &[b"\0\xff'"], &[b"\0\xff' ", b"\0\xff", b""]),
            ("fixed", &[b"a\0\0"], &[b"a", b"A\0\0"]),
            ("x", &[b"\\"], &[b"\\\\"]),
            ("n", &[b"-3", b"0"], &[b"NULL", b"abc", b"", b"-", b"- 3"]),
        ] {
            let keys: Vec<&[u8]> = there.iter().chain(absent).copied().collect();
            let expected: Vec<String> =
                absent.iter().map(|key| Reference::to(*key).key.to_string()).collect();
            assert_eq!(missing(session, database, &format!("k.{column}"), &keys).await, expected, "{column}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_equal_if_the_collation_of_the_column_says_so() {
    let sql = "
        CREATE TABLE k (ci VARCHAR(20) COLLATE utf8mb4_general_ci, bin VARCHAR(20) COLLATE utf8mb4_bin,
            latin VARCHAR(20) CHARACTER SET latin1, wide CHAR(9) CHARACTER SET utf16 COLLATE utf16_general_ci,
            three TEXT CHARACTER SET utf8mb3, e ENUM('a','B') CHARACTER SET latin1, sj VARCHAR(9) CHARACTER SET sjis);
        INSERT INTO k VALUES ('Größe', 'Größe', 'Caf\u{e9}', 'aé漢', 'x漢', 'B', '表');
        INSERT INTO k (ci, latin) VALUES ('\\\\''%', '?');
        SET SESSION sql_mode = '';"
        .replace("SET SESSION sql_mode = '';", "");
    on_all(&sql, async |database, session| {
        for (column, there, absent) in [
            ("ci", &["Größe", "GRÖSSE-", "größe", "grÖße", "grosze-", "\\'%"][..], &["\\'_", "Größ"][..]),
            ("bin", &["Größe"], &["größe"]),
            ("latin", &["Café", "CAFÉ", "?"], &["漢", "Caf", "\u{1f600}", "Caf\u{e9}\u{301}"]),
            ("wide", &["aé漢", "AÉ漢"], &["a", "aé\u{1f600}"]),
            ("three", &["x漢", "X漢"], &["x\u{1f600}", "x"]),
            ("e", &["B", "b"], &["", "2", "c"]),
            ("sj", &["表"], &["\\", "é"]),
        ] {
            // Those with a hyphen are no keys of anything, to look for more than there are.
            let keys: Vec<&[u8]> = there.iter().chain(absent).map(|key| key.as_bytes()).collect();
            let odd = there.iter().filter(|key| key.ends_with('-'));
            let expected: Vec<String> =
                odd.chain(absent).map(|key| Reference::to(*key).key.to_string()).collect();
            assert_eq!(missing(session, database, &format!("k.{column}"), &keys).await, expected, "{column}");
        }
        assert_eq!(missing(session, database, "k.ci", &[b"\xff", b"a\0b"]).await.len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_and_long_ones_are_looked_up_in_bounded_statements() {
    let sql = "CREATE TABLE k (id INT PRIMARY KEY, name VARCHAR(20) COLLATE utf8mb4_general_ci, body LONGTEXT, KEY (name));
        INSERT INTO k WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
            SELECT i, CONCAT('Name ', i), IF(i = 5, REPEAT('x', 300000), '') FROM n;";
    on_all(sql, async |database, session| {
        let keys: Vec<String> = (0..3000).map(|id| id.to_string()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        assert_eq!(missing(session, database, "k.id", &keys).await.len(), 2001);
        // In other letters, and each twice.
        let names: Vec<String> = (0..1500).map(|id| format!("NAME {}", id % 750)).collect();
        let names: Vec<&[u8]> = names.iter().map(|key| key.as_bytes()).collect();
        assert_eq!(missing(session, database, "k.name", &names).await, ["NAME 0", "NAME 0"]);
        let (long, longer) = ("X".repeat(300_000), "x".repeat(300_001));
        let longest = vec![b'x'; 70_000_000];
        let keys = [long.as_bytes(), longer.as_bytes(), &longest, long.as_bytes()];
        let column = Column::find(session, database, Some("k.body")).await.unwrap();
        let unresolved = column.unresolved(session, &keys.map(Reference::to)).await.unwrap();
        let lengths = unresolved.iter().map(|unresolved| unresolved.reference.key.as_bytes().len());
        assert_eq!(lengths.collect::<Vec<_>>(), [300_001, 70_000_000]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_not_there_is_an_error_that_says_what_is() {
    let sql = "CREATE TABLE customer (Id INT, g POINT); CREATE TABLE `a.b` (`c` INT); CREATE TABLE a (`b.c` INT, d INT);
        CREATE VIEW seen AS SELECT Id FROM customer;";
    on_all(sql, async |database, session| {
        for (within, says) in [
            ("custommer.id", "did you mean `customer.id`?"),
            ("customer.ids", "`Id`, `g`"),
            ("nothing.like", "without the database"),
            ("customer.g", "`customer.g` can't be keys"),
            ("a.b.c", "more than one column"),
        ] {
            let error = Column::find(session, database, Some(within)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            let told = format!("{error} {:?}", error.hint());
            assert!(told.contains(says), "{told}");
        }
        for within in ["customer.id", "a.d", "seen.id"] {
            Column::find(session, database, Some(within)).await.unwrap();
        }
        let digest = dumprestore_driver::Digest::new([0; 32]);
        let reference = Reference { digest: Some(digest), ..Reference::to("1") };
        let column = Column::find(session, database, Some("customer.id")).await.unwrap();
        assert!(column.unresolved(session, &[reference]).await.is_err());
    })
    .await;
}

async fn keys(session: &mut Session, query: &str) -> Result<(Vec<Reference>, Vec<Unresolved>)> {
    let (mut fine, mut bad) = (Vec::new(), Vec::new());
    let mut take = |found: std::result::Result<Reference, Unresolved>| {
        match found {
            Ok(reference) => fine.push(reference),
            Err(unresolved) => bad.push(unresolved),
        }
        Ok(())
    };
    read_keys(session, query, &mut KeySink::of_all(&mut take)).await?;
    Ok((fine, bad))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_what_the_query_finds_as_utf_8_or_as_bytes() {
    let sql = "CREATE TABLE k (id INT, latin VARCHAR(9) CHARACTER SET latin1, b VARBINARY(9), sha BINARY(32), hex CHAR(64));
        INSERT INTO k VALUES (1, 'é', x'00ff', REPEAT(x'ab', 32), REPEAT('ab', 32)), (2, NULL, NULL, NULL, ''),
            (3, 'md5', '', NULL, REPEAT('a', 32));";
    on_all(sql, async |_, session| {
        let (found, _) = keys(session, "SELECT latin FROM k -- all").await.unwrap();
        assert_eq!(found, ["é", "md5"].map(Reference::to));
        let (found, _) = keys(session, "SELECT b FROM k WHERE id < 3").await.unwrap();
        assert_eq!(found, [Reference::to(*b"\0\xff")]);
        let (found, _) =
            keys(session, "SELECT id, sha FROM k WHERE id < 3 UNION ALL SELECT 9, NULL").await.unwrap();
        assert_eq!(
            found.iter().map(|found| found.digest.is_some()).collect::<Vec<_>>(),
            [true, false, false]
        );
        let (found, bad) = keys(session, "(SELECT id, hex FROM k)").await.unwrap();
        // An empty digest is none as little as one of another length.
        assert_eq!(found.iter().map(|found| found.digest.is_some()).collect::<Vec<_>>(), [true]);
        let bad: Vec<&[u8]> = bad.iter().map(|bad| bad.reference.key.as_bytes()).collect();
        assert_eq!(bad, [b"2", b"3"]);
        // It is read as the application would have it read, and the session is as it was.
        let rows = session
            .rows("SELECT @@character_set_results, @@sql_mode LIKE '%ALLOW_INVALID_DATES%'")
            .await
            .unwrap();
        assert_eq!((rows[0].bytes(0), rows[0].text(1).unwrap()), (None, "1"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_does_not_fit_is_refused_and_the_session_goes_on() {
    let sql = "CREATE TABLE k (id INT) ENGINE=InnoDB; INSERT INTO k VALUES (1);
        CREATE FUNCTION writes() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO k VALUES (2); RETURN 1; END;
        CREATE PROCEDURE gives() SELECT 1;";
    on_all(sql, async |_, session| {
        for query in [
            "SELECT * FROM nothing",
            "SELECT nothing FROM k",
            "SELECT 1, 2, 3",
            "SELECT id, id FROM k",
            "DELETE FROM k",
            "CALL gives()",
            "COMMIT",
            "SELECT 1; COMMIT",
            "SELECT 1) AS a; COMMIT; SELECT * FROM (SELECT 1",
            "",
        ] {
            for error in [check(session, query).await.unwrap_err(), keys(session, query).await.unwrap_err()] {
                assert_eq!(error.kind(), ErrorKind::Config, "{query}: {error}");
                assert!(error.hint().is_some() || query.contains("3"), "{query}: {error}");
            }
        }
        let error = keys(session, "SELECT writes()").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        check(session, "SELECT id FROM k").await.unwrap();
        assert_eq!(keys(session, "SELECT id FROM k").await.unwrap().0, [Reference::to("1")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_to_stop_stops_the_reading() {
    let server = MysqlServer::shared(MysqlVersion::Mariadb10_11);
    let database = server.create_database();
    let mut session = session(server, &database).await;
    let mut seen = 0;
    let mut take = |_: Reference| {
        seen += 1;
        if seen == 3 { Err(dumprestore_driver::Error::config("enough")) } else { Ok(()) }
    };
    let query =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i FROM n";
    let error = read_keys(&mut session, query, &mut KeySink::new(&mut take)).await.unwrap_err();
    assert_eq!(error.to_string(), "enough");
    server.drop_database(&database);
}
