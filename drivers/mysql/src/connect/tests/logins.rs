//! Who is let in, by which proof, and what is shown of it.

use dumprestore_driver::{ErrorKind, Secret};
use dumprestore_testkit::{MysqlFamily, MysqlOptions, MysqlServer, MysqlVersion};

use super::super::{Session, code};
use super::{setup, try_setup, write};
use crate::config::MysqlConfig;
use crate::quote;

const PASSWORDS: [&str; 6] =
    ["plain", "p@ss:w/rd%$#?", "it's \"quoted\" \\ `ticked`", "é漢 😀", " spaces ", ""];

fn config(server: &MysqlServer, user: &str, password: &str) -> MysqlConfig {
    let mut config = MysqlConfig::new(format!("mysql://{user}@127.0.0.1:{}/mysql", server.port()));
    config.password = Some(Secret::new(password));
    config
}

async fn enters(config: MysqlConfig) -> dumprestore_driver::Result<String> {
    let mut session = Session::open(&try_setup(config)?, "test").await?;
    let user = session.rows("SELECT CURRENT_USER()").await?[0].text(0)?.to_owned();
    session.close().await;
    Ok(user)
}

/// Makes a user who gives this proof, and may see the database.
fn user(server: &MysqlServer, name: &str, identified: &str) {
    server.batch("", &format!("CREATE OR REPLACE USER {name}@'%' IDENTIFIED {identified}"));
    server.batch("", &format!("GRANT SELECT ON mysql.* TO {name}@'%'"));
}

#[tokio::test]
async fn any_password_lets_in_and_no_other() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        for (at, password) in PASSWORDS.iter().enumerate() {
            let name = format!("any_{at}");
            let by = format!("BY {}", quote::literal(password));
            server.batch("", &format!("CREATE USER {name}@'%' IDENTIFIED {by}"));
            server.batch("", &format!("GRANT SELECT ON mysql.* TO {name}@'%'"));
            // The second time, MySQL knows the password already.
            for _ in 0..2 {
                assert_eq!(
                    enters(config(server, &name, password)).await.unwrap(),
                    format!("{name}@%"),
                    "{version:?}"
                );
            }
            let error = enters(config(server, &name, "very-wrong")).await.unwrap_err();
            assert_eq!((code(&error), error.kind()), (Some(1045), ErrorKind::Config));
            assert!(error.hint().unwrap().contains("`password`"), "{error:?}");
            assert!(!format!("{error:?}").contains("very-wrong"));
            server.batch("", &format!("DROP USER {name}@'%'"));
        }
    }
}

/// Without TLS, with the server's public key; with TLS, and through a socket, as it is.
#[tokio::test]
async fn the_whole_password_goes_to_the_server_in_no_way_that_others_can_read() {
    let server = MysqlServer::shared(MysqlVersion::Mysql9_7);
    let password = "p@ss:w/rd%$#? é";
    server.batch(
        "",
        &format!(
            "CREATE USER whole@'%' IDENTIFIED WITH caching_sha2_password BY {}",
            quote::literal(password)
        ),
    );
    server.batch("", "GRANT SELECT ON mysql.* TO whole@'%'");
    let port = server.port();
    let socket = server.socket().display().to_string();
    for place in [
        format!("127.0.0.1:{port}/mysql?ssl-mode=disabled"),
        format!("127.0.0.1:{port}/mysql?ssl-mode=required"),
        format!("localhost/mysql?socket={socket}"),
    ] {
        server.batch("", "FLUSH PRIVILEGES");
        let mut config = MysqlConfig::new(format!("mysql://whole@{place}"));
        config.password = Some(Secret::new(password));
        assert_eq!(enters(config).await.unwrap(), "whole@%", "{place}");
    }
    server.batch("", "DROP USER whole@'%'");
}

#[tokio::test]
async fn mariadbs_plugins_are_known() {
    for version in MysqlVersion::ALL.into_iter().filter(|version| version.family() == MysqlFamily::Mariadb) {
        let server = MysqlOptions::new(version).setting("plugin_load_add", "auth_ed25519").start();
        for password in ["s3cret #'\\ é", "x"] {
            let using = format!("VIA ed25519 USING PASSWORD({})", quote::literal(password));
            user(&server, "ed", &using);
            assert_eq!(enters(config(&server, "ed", password)).await.unwrap(), "ed@%", "{version:?}");
            let error = enters(config(&server, "ed", "wrong")).await.unwrap_err();
            assert_eq!(code(&error), Some(1045), "{error}");
        }
        user(&server, "native", "VIA mysql_native_password USING PASSWORD('x')");
        assert_eq!(enters(config(&server, "native", "x")).await.unwrap(), "native@%");
        // The first proof fails, the second counts.
        user(
            &server,
            "either",
            "VIA mysql_native_password USING PASSWORD('y') OR ed25519 USING PASSWORD('x')",
        );
        assert_eq!(enters(config(&server, "either", "x")).await.unwrap(), "either@%");
    }
}

#[tokio::test]
async fn a_user_of_the_system_is_let_in_by_the_socket() {
    let server = MysqlServer::start(MysqlVersion::Mariadb10_11);
    let me = whoami::username().unwrap();
    server.batch("", &format!("CREATE OR REPLACE USER `{me}`@localhost IDENTIFIED VIA unix_socket"));
    let url = format!("mysql://{me}@localhost/information_schema?socket={}", server.socket().display());
    assert_eq!(enters(MysqlConfig::new(url)).await.unwrap(), format!("{me}@localhost"));
}

#[tokio::test]
async fn an_option_file_lets_in() {
    let server = MysqlServer::shared(MysqlVersion::Mariadb10_11);
    user(server, "by_file", "BY 'a#b \\\\ \"c\"'");
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("my.cnf");
    let text = format!(
        "[client]\nuser=nobody\n[backup]\nuser=by_file # of the backup\npassword = 'a#b \\\\ \"c\"'\nhost=127.0.0.1\nport={}\ndatabase=mysql\n",
        server.port()
    );
    write(&file, &text);
    let mut config = MysqlConfig::new("");
    config.url = None;
    config.defaults_file = Some(file);
    config.defaults_group = Some("backup".to_owned());
    assert_eq!(enters(config).await.unwrap(), "by_file@%");
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_with_what_to_do() {
    let server = MysqlServer::shared(MysqlVersion::Mysql9_7);
    server.batch("", "CREATE USER strict@'%' IDENTIFIED BY 'x' REQUIRE SSL");
    server.batch("", "CREATE USER shut@'%' IDENTIFIED BY 'x' ACCOUNT LOCK");
    server.batch("", "CREATE USER blind@'%' IDENTIFIED BY 'x'");
    let with = |user: &str, parameters: &str| {
        MysqlConfig::new(format!("mysql://{user}:x@127.0.0.1:{}/mysql{parameters}", server.port()))
    };
    let error = enters(with("strict", "?ssl-mode=disabled")).await.unwrap_err();
    assert!(matches!(code(&error), Some(1045 | 3159)), "{error}");
    let error = enters(with("shut", "")).await.unwrap_err();
    assert_eq!((code(&error), error.hint()), (Some(3118), Some("the user is locked at the server")));
    let error = enters(with("blind", "")).await.unwrap_err();
    assert_eq!(code(&error), Some(1044));
    assert!(error.hint().unwrap().starts_with("grant the user rights"), "{error:?}");
    for user in ["strict", "shut", "blind"] {
        server.batch("", &format!("DROP USER {user}@'%'"));
    }
}

#[tokio::test]
async fn a_full_server_says_so() {
    let server = MysqlOptions::new(MysqlVersion::Mariadb10_11).setting("max_connections", "10").start();
    server.batch("", "CREATE USER many@'%' IDENTIFIED BY 'x'");
    server.batch("", "GRANT SELECT ON mysql.* TO many@'%'");
    let setup = setup(&format!("mysql://many:x@127.0.0.1:{}/mysql", server.port()));
    let mut open = Vec::new();
    let error = loop {
        match Session::open(&setup, "test").await {
            Ok(session) => open.push(session),
            Err(error) => break error,
        }
        assert!(open.len() <= 10);
    };
    assert_eq!(code(&error), Some(1040), "{error}");
    assert!(error.hint().unwrap().contains("`max_connections`"));
}
