//! How far a server has to prove who it is.

use dumprestore_driver::Result;
use dumprestore_testkit::{Authority, MysqlOptions, MysqlServer, MysqlVersion};

use super::super::Session;
use super::{setup, try_setup};
use crate::config::MysqlConfig;

const VERSIONS: [MysqlVersion; 3] =
    [MysqlVersion::Mariadb10_5, MysqlVersion::Mariadb11_8, MysqlVersion::Mysql9_7];

/// Whether a session over TCP is encrypted, at its own word and the server's.
async fn encrypted(server: &MysqlServer, host: &str, parameters: &str) -> Result<bool> {
    let url = format!("mysql://tls:x@{host}:{}/information_schema?{parameters}", server.port());
    let mut session = Session::open(&try_setup(MysqlConfig::new(url))?, "test").await?;
    let told = session.rows("SHOW SESSION STATUS LIKE 'Ssl_cipher'").await?;
    assert_eq!(!told[0].text(1)?.is_empty(), session.is_encrypted());
    // Long results and statements go through it as well.
    let asked = format!("SELECT REPEAT('x', 3000000), LENGTH('{}')", "y".repeat(900_000));
    let row = session.rows(asked).await?.remove(0);
    assert_eq!((row.bytes(0).unwrap().len(), row.number(1)?), (3_000_000, 900_000));
    let is_encrypted = session.is_encrypted();
    session.close().await;
    Ok(is_encrypted)
}

fn with_tls(version: MysqlVersion) -> MysqlServer {
    let server = MysqlOptions::new(version).tls().start();
    server.batch("", "CREATE USER tls@'%' IDENTIFIED BY 'x'");
    server
}

#[tokio::test]
async fn modes_ask_of_a_server_what_they_say() {
    let elsewhere = tempfile::TempDir::new().unwrap();
    for version in VERSIONS {
        let server = with_tls(version);
        let ours = server.authority().file().display().to_string();
        let stranger = stranger(elsewhere.path()).display().to_string();
        for (host, parameters, expected) in [
            ("127.0.0.1", "ssl-mode=disabled".to_owned(), Ok(false)),
            ("127.0.0.1", "ssl-mode=PREFERRED".to_owned(), Ok(true)),
            ("127.0.0.1", "sslmode=required".to_owned(), Ok(true)),
            ("127.0.0.1", format!("ssl_mode=VERIFY_CA&ssl-ca={ours}"), Ok(true)),
            ("127.0.0.1", format!("ssl-mode=verify-identity&ssl-ca={ours}"), Ok(true)),
            ("localhost", format!("ssl-mode=verify-identity&ssl-ca={ours}"), Ok(true)),
            ("127.0.0.1", format!("ssl-ca={stranger}"), Err("UnknownIssuer")),
            ("127.0.0.1", format!("ssl-mode=verify-ca&ssl-ca={stranger}"), Err("UnknownIssuer")),
            ("127.0.0.1", "ssl-mode=verify-ca".to_owned(), Err("UnknownIssuer")),
            ("127.0.0.1", "ssl-mode=verify-ca&ssl-ca=/nowhere/ca.crt".to_owned(), Err("/nowhere/ca.crt")),
        ] {
            let found = encrypted(&server, host, &parameters).await;
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{version:?} {parameters}"),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{parameters}: {error}")
                }
                (found, expected) => panic!("{version:?} {parameters}: {found:?} for {expected:?}"),
            }
        }
    }
}

/// Another authority, that has signed nothing of the server's.
fn stranger(folder: &std::path::Path) -> std::path::PathBuf {
    let file = folder.join("stranger.crt");
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
        ])
        .args(["-subj", "/CN=stranger", "-keyout"])
        .arg(folder.join("stranger.key"))
        .arg("-out")
        .arg(&file)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{made:?}");
    file
}

/// A server whose certificate, by our authority, is for somebody else.
fn with_certificate(
    version: MysqlVersion,
    names: Option<&str>,
    common_name: &str,
) -> (MysqlServer, Authority, MysqlServer) {
    let first = with_tls(version);
    let authority = first.authority().clone();
    let (certificate, key) = authority.issue("other", common_name, names);
    let server = MysqlOptions::new(version)
        .setting("ssl_ca", authority.file().to_str().unwrap())
        .setting("ssl_cert", certificate.to_str().unwrap())
        .setting("ssl_key", key.to_str().unwrap())
        .start();
    server.batch("", "CREATE USER tls@'%' IDENTIFIED BY 'x'");
    (server, authority, first)
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_refused_where_the_name_counts() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let (server, authority, _first) = with_certificate(version, Some("DNS:db.example"), "db.example");
        let ca = authority.file().display().to_string();
        let error = encrypted(&server, "127.0.0.1", &format!("ssl-mode=verify-identity&ssl-ca={ca}"))
            .await
            .unwrap_err();
        assert_eq!(error.hint(), Some("connect to a name that the server's certificate has"), "{error:?}");
        assert!(encrypted(&server, "127.0.0.1", "ssl-mode=required").await.unwrap());
    }
}

/// It has no alternative names, which are all that the TLS library looks at.
#[tokio::test]
async fn a_certificate_that_a_server_made_for_itself_is_encryption_without_proof() {
    let server = MysqlServer::start(MysqlVersion::Mysql9_7);
    server.batch("", "CREATE USER tls@'%' IDENTIFIED BY 'x'");
    let ca = server.folder().join("data/ca.pem").display().to_string();
    assert!(encrypted(&server, "127.0.0.1", "ssl-mode=required").await.unwrap());
    let error = encrypted(&server, "127.0.0.1", &format!("ssl-ca={ca}")).await.unwrap_err();
    assert!(error.hint().unwrap().starts_with("connect to a name"), "{error:?}");
}

#[tokio::test]
async fn a_client_shows_its_own_certificate() {
    for version in VERSIONS {
        let server = with_tls(version);
        server.batch("", "CREATE USER shown@'%' IDENTIFIED BY 'x' REQUIRE X509");
        let authority = server.authority();
        let (certificate, key) = authority.issue("client", "shown", Some("DNS:shown"));
        let with = |parameters: String| {
            setup(&format!("mysql://shown:x@127.0.0.1:{}/information_schema?{parameters}", server.port()))
        };
        let ca = authority.file().display().to_string();
        let shown = format!("ssl-ca={ca}&ssl-cert={}&ssl-key={}", certificate.display(), key.display());
        Session::open(&with(shown), "test").await.unwrap().close().await;
        assert!(Session::open(&with(format!("ssl-ca={ca}")), "test").await.is_err());
        let error = Session::open(&with(format!("ssl-cert={}", ca)), "test").await.err().unwrap();
        assert!(error.to_string().starts_with("can't read a key"), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_asked_for() {
    let server = MysqlServer::shared(MysqlVersion::Mariadb10_11);
    let with = |mode: &str| setup(&format!("mysql://root@127.0.0.1:{}/mysql?ssl-mode={mode}", server.port()));
    for mode in ["required", "verify-ca", "verify-identity"] {
        let error = Session::open(&with(mode), "test").await.err().unwrap();
        assert!(error.to_string().contains("the server has none to offer"), "{error}");
    }
    assert!(!Session::open(&with("preferred"), "test").await.unwrap().is_encrypted());
    // Nobody listens on a socket.
    let url = format!("{}&ssl-mode=required", server.socket_url("mysql"));
    Session::open(&setup(&url), "test").await.unwrap();
}

/// A server of whom only its greeting and its answer to the first message of TLS are known.
fn old_server(answer: &'static [u8]) -> u16 {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut greeting = b"\x0a5.7.10\0\x01\0\0\0abcdefgh\0".to_vec();
            // Protocol 4.1, secure logins, plugins for them, and TLS.
            greeting.extend([0x00, 0x8a, 0x2d, 0x02, 0x00, 0x08, 0x00, 21]);
            greeting.extend([0; 10]);
            greeting.extend(b"ijklmnopqrst\0mysql_native_password\0");
            let length = u8::try_from(greeting.len()).unwrap();
            client.write_all(&[length, 0, 0, 0]).unwrap();
            client.write_all(&greeting).unwrap();
            // The request for TLS, and the beginning of the hello.
            client.read_exact(&mut [0; 36 + 5]).unwrap();
            let _gone = client.write_all(answer);
            let _gone = client.read_to_end(&mut Vec::new());
        }
    });
    port
}

#[tokio::test]
async fn where_encryption_fails_nothing_is_sent_without_it_and_old_servers_are_told_of() {
    let open = async |answer| {
        let port = old_server(answer);
        let setup = setup(&format!(
            "mysql://root:secret@127.0.0.1:{port}/mysql?ssl-mode=preferred&connect-timeout=5"
        ));
        Session::open(&setup, "test").await.err().unwrap()
    };
    // What a server says that has only older versions.
    for answer in [&b"\x15\x03\x01\0\x02\x02\x46"[..], b"\x15\x03\x02\0\x02\x02\x46"] {
        let error = open(answer).await;
        assert!(error.hint().unwrap().contains("ssl-mode=disabled"), "{error:?}");
    }
    let error = open(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(!error.hint().unwrap().contains("ssl-mode=disabled"), "{error:?}");
}
