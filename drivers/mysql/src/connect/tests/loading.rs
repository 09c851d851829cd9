//! `LOAD DATA LOCAL`: all of a stream, or nothing; and no file but the one that was offered.

use bytes::Bytes;
use dumprestore_driver::{Error, Result};
use dumprestore_testkit::{MysqlServer, MysqlVersion};
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::{Session, code};
use super::{session, setup};

const LOAD: &str = "LOAD DATA LOCAL INFILE 'rows' INTO TABLE t CHARACTER SET binary";

fn lines(count: usize) -> Vec<Result<Bytes>> {
    (0..count).map(|number| Ok(Bytes::from(format!("{number}\tvalue {number}\n")))).collect()
}

async fn prepared(version: MysqlVersion) -> (&'static MysqlServer, String, Session) {
    let server = MysqlServer::shared(version);
    server.batch("", "SET GLOBAL local_infile = ON");
    let database = server.create_database();
    server.batch(&database, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(50)) ENGINE = InnoDB");
    let session = session(server, &database).await;
    (server, database, session)
}

#[tokio::test]
async fn a_stream_is_loaded_whole() {
    for version in MysqlVersion::ALL {
        let (server, database, mut session) = prepared(version).await;
        let done = session.load_local(LOAD, "rows", stream::iter(lines(20_000))).await.unwrap();
        assert_eq!(done.affected, 20_000);
        assert!(done.info.starts_with("Records: 20000  Deleted: 0  Skipped: 0  Warnings: 0"), "{done:?}");
        // One large piece, and pieces with nothing in them.
        let text = (20_000..120_000).map(|number| format!("{number}\tx\n")).collect::<String>();
        let pieces = [
            Ok(Bytes::new()),
            Ok(Bytes::from(text)),
            Ok(Bytes::new()),
            Ok(Bytes::from_static(b"120000\tlast")),
        ];
        assert_eq!(session.load_local(LOAD, "rows", stream::iter(pieces)).await.unwrap().affected, 100_001);
        let done = session.load_local(LOAD, "rows", stream::iter([])).await.unwrap();
        assert_eq!(done.affected, 0);
        assert_eq!(server.value(&database, "SELECT COUNT(*) FROM t"), "120001");
        server.drop_database(&database);
    }
}

/// What the server got so far may be any number of whole rows: none of them may stay.
#[tokio::test]
async fn a_stream_that_fails_leaves_nothing() {
    for version in MysqlVersion::ALL {
        let (server, database, mut session) = prepared(version).await;
        let mut pieces = lines(50_000);
        pieces.push(Err(Error::archive("the archive is damaged")));
        let id = session.id();
        let error = session.load_local(LOAD, "rows", stream::iter(pieces)).await.unwrap_err();
        assert_eq!(error.to_string(), "the archive is damaged");
        assert!(session.is_gone());
        drop(session);
        let there = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {id}");
        while server.value("", &there) != "0" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(server.value(&database, "SELECT COUNT(*) FROM t"), "0", "{version:?}");
        server.drop_database(&database);
    }
}

/// `LOCAL` makes errors of values warnings, whatever `sql_mode` says: who loads must look at them.
#[tokio::test]
async fn values_that_do_not_fit_are_warnings_and_what_fails_is_outlived() {
    for version in MysqlVersion::ALL {
        let (server, database, mut session) = prepared(version).await;
        let bad = [Ok(Bytes::from_static(b"1\ta\nnot-a-number\tb\n1\tagain\n"))];
        let done = session.load_local(LOAD, "rows", stream::iter(bad)).await.unwrap();
        assert_eq!((done.affected, done.warnings > 0), (2, true), "{version:?}: {done:?}");
        assert!(done.info.contains("Records: 3  Deleted: 0  Skipped: 1"), "{done:?}");
        let missing = "LOAD DATA LOCAL INFILE 'rows' INTO TABLE missing";
        let error = session.load_local(missing, "rows", stream::iter(lines(5))).await.unwrap_err();
        assert_eq!(code(&error), Some(1146), "{version:?}: {error}");
        session.run("SELECT 1").await.unwrap();
        server.drop_database(&database);
    }
}

#[tokio::test]
async fn a_server_that_takes_no_local_files_says_so() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let server = MysqlServer::start(version);
        server.batch("", "SET GLOBAL local_infile = OFF");
        let database = server.create_database();
        server.batch(&database, "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(50))");
        let mut session = session(&server, &database).await;
        let error = session.load_local(LOAD, "rows", stream::iter(lines(5))).await.unwrap_err();
        assert_eq!(error.hint(), Some("switch `local_infile` on at the server"), "{version:?}: {error:?}");
        session.run("SELECT 1").await.unwrap();
    }
}

#[tokio::test]
async fn a_file_of_another_name_is_not_given() {
    let (server, database, mut session) = prepared(MysqlVersion::Mariadb10_11).await;
    let error = session.load_local(LOAD, "other", stream::iter(lines(5))).await.unwrap_err();
    assert!(error.to_string().contains("unbidden"), "{error}");
    assert!(session.is_gone());
    server.drop_database(&database);
}

/// A server that lets anybody in, answers some statements as it should, and then asks for a file.
async fn hostile(ordinary_answers: usize) -> (u16, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut greeting = vec![10];
        greeting.extend(b"8.0.36\0");
        greeting.extend([1, 0, 0, 0]);
        greeting.extend(b"12345678\0");
        greeting.extend([0xff, 0xf7, 45, 2, 0, 0xff, 0xdf, 21]);
        greeting.extend([0; 10]);
        greeting.extend(b"123456789012\0mysql_native_password\0");
        send(&mut stream, 0, &greeting).await;
        receive(&mut stream).await;
        send(&mut stream, 2, &[0, 0, 0, 2, 0, 0, 0]).await;
        for _ in 0..ordinary_answers {
            receive(&mut stream).await;
            send(&mut stream, 1, &[0, 0, 0, 2, 0, 0, 0]).await;
        }
        receive(&mut stream).await;
        send(&mut stream, 1, b"\xfb/etc/passwd").await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        rest
    });
    (port, server)
}

async fn send(stream: &mut tokio::net::TcpStream, sequence: u8, payload: &[u8]) {
    let mut packet = (payload.len() as u32 | u32::from(sequence) << 24).to_le_bytes().to_vec();
    packet.extend(payload);
    stream.write_all(&packet).await.unwrap();
}

async fn receive(stream: &mut tokio::net::TcpStream) -> Vec<u8> {
    let header = stream.read_u32_le().await.unwrap();
    let mut payload = vec![0; (header & 0xff_ffff) as usize];
    stream.read_exact(&mut payload).await.unwrap();
    payload
}

#[tokio::test]
async fn a_hostile_server_is_told_nothing_of_any_file() {
    for ordinary_answers in 0..4 {
        let (port, server) = hostile(ordinary_answers).await;
        let url = format!("mysql://u@127.0.0.1:{port}/d?ssl-mode=disabled");
        let error = Session::open(&setup(&url), "test").await.err().unwrap();
        assert!(error.to_string().contains("asked for a file of ours, unbidden"), "{error}");
        // A goodbye at the most.
        assert!(server.await.unwrap().len() <= 5);
    }
}
