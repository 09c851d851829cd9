//! `url`, in both forms.

use serde_json::json;

use crate::{IN_URL, PASSWORD, SHARED, User, login, problem};

#[tokio::test]
async fn both_schemes_of_a_url_are_understood() {
    for scheme in ["postgres", "postgresql"] {
        let seen = User::new().look(format!("{scheme}://hostile:{IN_URL}@{}", SHARED.place())).await;
        assert_eq!(login(&seen), "hostile");
    }
}

#[tokio::test]
async fn pairs_are_understood_with_quotes_and_escapes() {
    let password = PASSWORD.replace('\\', r"\\").replace('\'', r"\'");
    let (port, database) = (SHARED.server.port(), &SHARED.database);
    let pairs =
        format!("host = 127.0.0.1 port={port}  user=hostile dbname='{database}' password = '{password}'");
    assert_eq!(login(&User::new().look(pairs).await), "hostile");
}

#[tokio::test]
async fn a_socket_is_found_by_its_folder() {
    let (server, database) = (&SHARED.server, &SHARED.database);
    let seen = User::new().look(server.socket_url(database)).await;
    assert_eq!(login(&seen), "postgres");
    assert_eq!(seen.facts["encrypted"], "false");
    let pairs =
        format!("host={} port={} user=open dbname={database}", server.folder().display(), server.port());
    assert_eq!(login(&User::new().look(pairs).await), "open");
    let query =
        format!("postgres:///{database}?host={}&port={}&user=open", server.folder().display(), server.port());
    assert_eq!(login(&User::new().look(query).await), "open");
}

#[tokio::test]
async fn an_abstract_socket_is_found() {
    let name = format!("@dumprestore-test-{}", std::process::id());
    let server = dumprestore_testkit::PostgresOptions::new(dumprestore_testkit::PostgresVersion::V15);
    let server = server.setting("unix_socket_directories", &name).start();
    let url = format!("postgres://postgres@{}:{}/postgres", name.replace('@', "%40"), server.port());
    assert_eq!(login(&User::new().look(url).await), "postgres");
}

#[tokio::test]
async fn an_address_of_version_six_is_understood() {
    let server = dumprestore_testkit::PostgresOptions::new(dumprestore_testkit::PostgresVersion::V15);
    let server = server.listen("127.0.0.1,::1").start();
    let url = format!("postgres://postgres@[::1]:{}/postgres", server.port());
    assert_eq!(login(&User::new().look(url).await), "postgres");
}

#[tokio::test]
async fn an_address_is_used_instead_of_the_name() {
    let url = format!(
        "postgres://hostile:{IN_URL}@nowhere.invalid:{}/{}?hostaddr=127.0.0.1",
        SHARED.server.port(),
        SHARED.database
    );
    assert_eq!(login(&User::new().look(url).await), "hostile");
}

#[tokio::test]
async fn the_next_of_several_hosts_is_tried() {
    let port = SHARED.server.port();
    let url = format!(
        "postgres://hostile:{IN_URL}@nowhere.invalid:5,127.0.0.1:1,127.0.0.1:{port}/{}",
        SHARED.database
    );
    assert_eq!(login(&User::new().look(url).await), "hostile");
}

#[tokio::test]
async fn of_several_hosts_the_one_of_the_wanted_kind_is_taken() {
    let primary = dumprestore_testkit::PostgresServer::start(dumprestore_testkit::PostgresVersion::V15);
    let standby = primary.standby();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port());
    let look = async |wanted: &str| {
        let url = format!("postgres://postgres@{hosts}/postgres?target_session_attrs={wanted}");
        User::new().look(url).await.facts["standby"].clone()
    };
    for (wanted, standby) in [
        ("any", "false"),
        ("primary", "false"),
        ("read-write", "false"),
        ("standby", "true"),
        ("read-only", "true"),
        ("prefer-standby", "true"),
    ] {
        assert_eq!(look(wanted).await, standby, "{wanted}");
    }
}

#[tokio::test]
async fn options_of_the_session_reach_the_server_and_do_not_change_what_we_need() {
    let url = format!(
        "postgres://hostile:{IN_URL}@{}?options=-c%20search_path%3Dnowhere%20-c%20row_security%3Don%20-c%20role%3Dhostile",
        SHARED.place()
    );
    assert_eq!(login(&User::new().look(url).await), "hostile");
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_given_up() {
    // Takes connections, and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let seen = User::new().look(format!("postgres://u:p@127.0.0.1:{port}/d?connect_timeout=2")).await;
    assert!(problem(&seen).message.contains("has not answered for 2 s"), "{:?}", seen.problems);
}

#[test]
fn the_target_is_shown_without_its_password() {
    let driver = User::new().build(json!({ "url": "postgres://u:secret@h:5/d?sslmode=require" })).unwrap();
    assert_eq!(driver.target(), "postgresql://u@h:5/d");
}
