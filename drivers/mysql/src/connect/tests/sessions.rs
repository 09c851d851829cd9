//! What a session does with servers of every kind.

use std::time::{Duration, Instant};

use dumprestore_driver::{Cancel, Error, ErrorKind};
use dumprestore_testkit::{MysqlFamily, MysqlServer, MysqlVersion};

use super::super::server::Family;
use super::super::{Charset, code};
use super::{Session, session, setup, try_setup};
use crate::config::MysqlConfig;
use crate::quote;

#[tokio::test]
async fn a_server_tells_what_it_is() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let mut session = session(server, "mysql").await;
        let (major, minor) = version.number();
        let told = session.server().clone();
        assert_eq!((u32::from(told.version.0), u32::from(told.version.1)), (major, minor), "{told:?}");
        assert_eq!(told.family == Family::MariaDb, version.family() == MysqlFamily::Mariadb, "{told:?}");
        let rows = session.rows("SELECT VERSION(), CONNECTION_ID(), DATABASE()").await.unwrap();
        assert_eq!(rows[0].text(0).unwrap(), told.text);
        assert_eq!(rows[0].number(1).unwrap(), session.id());
        assert_eq!(rows[0].text(2).unwrap(), "mysql");
        session.close().await;
    }
}

/// Whatever a server is set to, sessions are as we need them.
#[tokio::test]
async fn settings_are_our_own() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let mut session = session(server, "mysql").await;
        let asked = "SELECT @@sql_mode, @@time_zone, @@autocommit, @@character_set_results, @@wait_timeout, @@lock_wait_timeout, \
             @@innodb_lock_wait_timeout, @@foreign_key_checks, @@sql_quote_show_create";
        let row = session.rows(asked).await.unwrap().remove(0);
        for mode in ["NO_AUTO_VALUE_ON_ZERO", "ALLOW_INVALID_DATES", "STRICT_ALL_TABLES"] {
            assert!(row.text(0).unwrap().contains(mode), "{row:?}");
        }
        let told: Vec<_> = (1..9).map(|column| row.text(column).unwrap()).collect();
        assert_eq!(told, ["+00:00", "1", "utf8mb4", "86400", "30", "30", "1", "1"], "{version:?}");
        session.sql_mode("ANSI_QUOTES,NO_BACKSLASH_ESCAPES").await.unwrap();
        assert_eq!(
            session.rows("SELECT @@sql_mode").await.unwrap()[0].text(0).unwrap(),
            "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"
        );
        session.own_sql_mode().await.unwrap();
        assert_eq!(
            session.rows("SELECT @@sql_mode").await.unwrap()[0].text(0).unwrap(),
            row.text(0).unwrap()
        );
    }
}

#[tokio::test]
async fn timeouts_are_those_of_the_configuration() {
    let mut config = MysqlConfig::new("");
    (config.lock_timeout, config.statement_timeout) = (7, 9);
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        config.url = Some(dumprestore_driver::Secret::new(server.url("mysql")));
        let mut session = Session::open(&try_setup(config.clone()).unwrap(), "test").await.unwrap();
        let limit = match version.family() {
            MysqlFamily::Mariadb => "@@max_statement_time * 1000",
            MysqlFamily::Mysql => "@@max_execution_time",
        };
        let row = session.rows(format!("SELECT @@lock_wait_timeout, {limit}")).await.unwrap().remove(0);
        assert_eq!((row.number(0).unwrap(), row.parse::<f64>(1).unwrap()), (7, 9000.0), "{version:?}");
    }
}

#[tokio::test]
async fn values_arrive_byte_by_byte() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        let mut session = session(server, &database).await;
        let all: Vec<u8> = (0..=255).collect();
        session
            .run("CREATE TABLE t (id INT PRIMARY KEY, b LONGBLOB, t TEXT CHARACTER SET latin1, n INT)")
            .await
            .unwrap();
        let insert = format!(
            "INSERT INTO t VALUES (1, {}, {}, NULL)",
            quote::binary(&all),
            quote::literal("é'\\\0\n")
        );
        let done = session.run(insert).await.unwrap();
        assert_eq!(done.affected, 1);
        // Bytes in a statement are sent as they are.
        let direct =
            [&b"INSERT INTO t (id, b) VALUES (2, _binary '"[..], &[0xff, 0x80, b'a'], b"')"].concat();
        session.run(direct).await.unwrap();
        assert_eq!(
            session.rows("SELECT HEX(b) FROM t WHERE id = 2").await.unwrap()[0].text(0).unwrap(),
            "FF8061"
        );
        let row = session.rows("SELECT * FROM t WHERE id = 1").await.unwrap().remove(0);
        assert_eq!(row.bytes(1), Some(all.as_slice()));
        assert_eq!(row.text(2).unwrap(), "é'\\\0\n");
        assert_eq!((row.bytes(3), row.bytes(4)), (None, None));
        session.results_in(Charset::AsStored).await.unwrap();
        let row = session.rows("SELECT t FROM t WHERE id = 1").await.unwrap().remove(0);
        assert_eq!(row.bytes(0).unwrap().first(), Some(&0xe9));
        session.results_in(Charset::Utf8mb4).await.unwrap();
        server.drop_database(&database);
    }
}

/// Longer than one packet of the protocol, and just as long.
#[tokio::test]
async fn values_longer_than_a_packet_arrive_whole() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let server = MysqlServer::shared(version);
        server.batch("", "SET GLOBAL max_allowed_packet = 104857600");
        let mut session = session(server, "mysql").await;
        for length in [0xff_ff_ff - 10, 0xff_ff_ff - 4, 0xff_ff_ff, 40_000_000] {
            let asked = format!("SELECT 'a', REPEAT('x', {length}), 'b' UNION ALL SELECT 'c', '', 'd'");
            let rows = session.rows(asked).await.unwrap();
            assert_eq!(rows[0].bytes(1).unwrap().len(), length, "{version:?}");
            assert!(rows[0].bytes(1).unwrap().iter().all(|byte| *byte == b'x'));
            assert_eq!((rows[0].text(0).unwrap(), rows[0].text(2).unwrap()), ("a", "b"));
            assert_eq!((rows[1].text(0).unwrap(), rows[1].text(2).unwrap()), ("c", "d"));
            // The same, sent.
            let head = "SELECT LENGTH('".len() + "')".len() + 1;
            let sent = format!("SELECT LENGTH('{}')", "y".repeat(length - head));
            assert_eq!(session.rows(sent).await.unwrap()[0].number(0).unwrap() as usize, length - head);
        }
    }
}

#[tokio::test]
async fn rows_wait_until_those_before_them_are_dealt_with() {
    let server = MysqlServer::shared(MysqlVersion::Mariadb10_11);
    let mut session = session(server, "mysql").await;
    let mut sum = 0_u64;
    let mut count = 0_u64;
    session
        .each("SELECT seq, NULL, REPEAT('x', 1000) FROM seq_1_to_200000", |row| {
            sum += std::str::from_utf8(row.get(0).unwrap()).unwrap().parse::<u64>().unwrap();
            count += 1;
            assert!(row.get(1).is_none() && row.get(2).unwrap().len() == 1000 && row.len() == 3);
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!((count, sum), (200_000, 200_000 * 200_001 / 2));
    let failed = session.each("SELECT seq FROM seq_1_to_200000", |_| Err(Error::defect("enough"))).await;
    assert_eq!(failed.unwrap_err().to_string(), "enough");
    assert!(session.is_gone());
    assert!(session.run("SELECT 1").await.unwrap_err().to_string().contains("has ended before"));
}

#[tokio::test]
async fn an_error_says_what_failed_and_what_to_do() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let mut session = session(server, "mysql").await;
        let error = session.run("SELECT 'a-value' FROM `not_there`").await.unwrap_err();
        assert_eq!(code(&error), Some(1146));
        let text = error.to_string();
        assert!(text.contains("statement: SELECT …") && text.contains("not_there"), "{text}");
        assert!(!text.contains("a-value"), "{text}");
        assert!(!session.is_gone());
        let error = session.run("SELECT * FROM (SELECT 1").await.unwrap_err();
        assert_eq!(code(&error), Some(1064), "{error}");
        // What fails after its first rows fails as well.
        let asked = "SELECT 1 UNION ALL SELECT (SELECT 1 UNION ALL SELECT 2)";
        assert_eq!(code(&session.rows(asked).await.unwrap_err()), Some(1242));
        assert_eq!(session.rows("SELECT 1").await.unwrap()[0].number(0).unwrap(), 1);
    }
}

#[tokio::test]
async fn a_database_or_a_server_that_is_not_there_is_named() {
    let server = MysqlServer::shared(MysqlVersion::Mariadb10_11);
    let error = Session::open(&setup(&server.url("not_there")), "test").await.err().unwrap();
    assert_eq!((code(&error), error.kind()), (Some(1049), ErrorKind::Config));
    assert_eq!(error.hint(), Some("check the name of the database in `url`"));
    let port = dumprestore_testkit::free_port();
    let error = Session::open(&setup(&format!("mysql://u:very-secret@127.0.0.1:{port}/d")), "test")
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains(&format!("server: 127.0.0.1:{port}")), "{error}");
    assert_eq!(error.hint(), Some("is the server running, and does it listen there?"));
    assert!(!format!("{error:?}").contains("very-secret"));
    let error = Session::open(&setup("mysql://u@h/d?socket=/nowhere/socket"), "test").await.err().unwrap();
    assert!(error.to_string().contains("server: /nowhere/socket"), "{error}");
}

#[tokio::test]
async fn results_of_a_procedure_are_read_to_the_last() {
    let server = MysqlServer::shared(MysqlVersion::Mariadb10_11);
    let database = server.create_database();
    let mut session = session(server, &database).await;
    session.run("CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2 UNION ALL SELECT 3; END").await.unwrap();
    let rows = session.rows("CALL p()").await.unwrap();
    assert_eq!((rows.len(), rows[0].number(0).unwrap()), (1, 1));
    assert_eq!(session.rows("SELECT 7").await.unwrap()[0].number(0).unwrap(), 7);
    server.drop_database(&database);
}

#[tokio::test]
async fn a_cancelled_run_ends_its_statement_at_the_server() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let mut session = session(server, "mysql").await;
        let cancel = Cancel::default();
        session.heed(&cancel);
        let begun = Instant::now();
        let statement = session.run("SELECT SLEEP(600), 'to-be-cancelled'");
        let stop = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            cancel.cancel();
        };
        let (ended, ()) = tokio::join!(statement, stop);
        assert!(begun.elapsed() < Duration::from_secs(300));
        let error = ended.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{version:?}: {error}");
        let asked = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'";
        let mut others = server.value("", asked);
        for _ in 0..100 {
            if others == "0" {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
            others = server.value("", asked);
        }
        assert_eq!(others, "0", "{version:?}");
        assert_eq!(session.run("SELECT 1").await.unwrap_err().kind(), ErrorKind::Cancelled);
        // What is to be rolled back goes on in the same session.
        session.heed_nothing();
        assert_eq!(session.rows("SELECT 7").await.unwrap()[0].number(0).unwrap(), 7);
    }
}

#[tokio::test]
async fn rows_of_a_cancelled_run_end_soon_and_the_session_goes_on() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let mut session = session(server, "mysql").await;
        let cancel = Cancel::default();
        session.heed(&cancel);
        let mut seen = 0;
        let asked = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
             SELECT REPEAT('x', 100) FROM n a, n b, n c";
        let error = session
            .each(asked, |_| {
                seen += 1;
                if seen == 1000 {
                    cancel.cancel();
                }
                Ok(())
            })
            .await
            .unwrap_err();
        assert_eq!((error.kind(), seen), (ErrorKind::Cancelled, 1000), "{version:?}: {error}");
        session.heed_nothing();
        assert_eq!(session.rows("SELECT 7").await.unwrap()[0].number(0).unwrap(), 7);
    }
}

#[tokio::test]
async fn a_statement_that_is_given_up_ends_the_session() {
    let server = MysqlServer::shared(MysqlVersion::Mariadb10_11);
    let mut session = session(server, "mysql").await;
    let given_up = tokio::time::timeout(Duration::from_millis(50), session.run("SELECT SLEEP(2)")).await;
    assert!(given_up.is_err() && session.is_gone());
    // Else the next statement would be told the answer to this one.
    assert!(session.rows("SELECT 1").await.unwrap_err().to_string().contains("has ended before"));
}

#[tokio::test]
async fn a_session_that_is_killed_is_gone() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let mut killer = session(server, "mysql").await;
        let mut killed = session(server, "mysql").await;
        let id = killed.id();
        killer.kill(id).await.unwrap();
        let error = killed.run("DO SLEEP(60)").await.unwrap_err();
        assert!(killed.is_gone(), "{version:?}: {error}");
        // It has ended: that is all that is wanted.
        for _ in 0..100 {
            killer.kill(id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_lock_that_somebody_holds_is_waited_for_no_longer_than_told() {
    let server = MysqlServer::shared(MysqlVersion::Mariadb10_11);
    let database = server.create_database();
    server.batch(&database, "CREATE TABLE t (id INT)");
    let mut holder = session(server, &database).await;
    holder.run("LOCK TABLES t WRITE").await.unwrap();
    let mut config = MysqlConfig::new(server.url(&database));
    config.lock_timeout = 1;
    let mut waiter = Session::open(&try_setup(config).unwrap(), "test").await.unwrap();
    let error = waiter.run("SELECT * FROM t").await.unwrap_err();
    assert_eq!(code(&error), Some(1205));
    assert!(error.hint().unwrap().contains("`lock_timeout`"));
    holder.close().await;
    server.drop_database(&database);
}

#[tokio::test]
async fn a_statement_that_is_too_long_is_not_sent() {
    let server = MysqlServer::start(MysqlVersion::Mariadb10_11);
    server.batch("", "SET GLOBAL max_allowed_packet = 1048576");
    let mut session = session(&server, "mysql").await;
    assert_eq!(session.largest_message(), 1_048_576);
    let error = session.run(format!("SELECT '{}'", "x".repeat(1_048_576))).await.unwrap_err();
    assert_eq!(error.hint(), Some("raise `max_allowed_packet` at the server"));
    session.run("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn nothing_is_read_once_the_transaction_that_is_to_be_kept_has_ended() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        server
            .batch(&database, "CREATE TABLE t (n int); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT 1");
        let mut session = session(server, &database).await;
        session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await.unwrap();
        session.keep_transaction();
        for statement in [
            "SELECT n FROM t",
            "SHOW CREATE TABLE t",
            "SHOW CREATE VIEW v",
            "SELECT count(*) FROM information_schema.columns",
            "SET SESSION lock_wait_timeout = 7",
            "EXPLAIN SELECT n FROM t",
            "DO 0",
        ] {
            session.run(statement).await.unwrap_or_else(|error| panic!("{version:?} {statement}: {error:?}"));
        }
        session.run("SELECT no_such_column FROM t").await.unwrap_err();
        assert!(!session.is_gone());
        let error = session.run("ROLLBACK").await.unwrap_err();
        assert!(error.to_string().contains("ended the transaction"), "{error}");
        assert!(session.is_gone());
        server.drop_database(&database);
    }
}

/// Leads the first connection to the one port, and all others to the other. Gives its own.
fn misleading(first: u16, others: u16) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let ports = std::iter::once(first).chain(std::iter::repeat(others));
        for (client, port) in listener.incoming().zip(ports) {
            let (client, server) =
                (client.unwrap(), std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
            for (mut from, mut to) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
            {
                std::thread::spawn(move || {
                    let _ended = std::io::copy(&mut from, &mut to);
                    let _ended = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    own
}

#[tokio::test]
async fn what_is_cancelled_ends_nobody_elses_statement_on_another_server() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let (server, other) = (MysqlServer::start(version), MysqlServer::start(version));
        // The other has not had as many sessions.
        for _ in 0..40 {
            session(&server, "mysql").await.close().await;
        }
        let ours = async || {
            let port = misleading(server.port(), other.port());
            let url = format!("mysql://root@127.0.0.1:{port}/mysql?ssl-mode=disabled");
            Session::open(&setup(&url), "test").await.unwrap()
        };
        let (mut ours_now, mut stranger) = (ours().await, session(&other, "mysql").await);
        while stranger.id() != ours_now.id() {
            match stranger.id() < ours_now.id() {
                true => stranger = session(&other, "mysql").await,
                false => ours_now = ours().await,
            }
        }
        let mut ours = ours_now;
        let cancel = Cancel::default();
        ours.heed(&cancel);
        let (slept, cancelled, ()) =
            tokio::join!(stranger.rows("SELECT SLEEP(4)"), ours.rows("SELECT SLEEP(60)"), async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                cancel.cancel();
            });
        assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
        let slept = slept.expect("nobody ended it");
        assert_eq!(slept[0].number(0).unwrap(), 0, "it was interrupted");
    }
}

#[tokio::test]
async fn a_session_outlives_its_transactions_whatever_the_server_is_set_to() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let server = MysqlServer::start(version);
        server.batch("", "SET GLOBAL completion_type = 'RELEASE'");
        let mut session = session(&server, "mysql").await;
        for end in ["ROLLBACK", "COMMIT"] {
            session.run("START TRANSACTION").await.unwrap();
            session.run(end).await.unwrap();
            session.run("DO 0").await.unwrap();
        }
    }
}
