//! What can't work is refused, and says why.

use serde_json::json;

use crate::{IN_URL, SHARED, User, problem};

fn refusal(url: &str) -> String {
    let error = User::new().refusal(json!({ "url": url }));
    format!("{error} | {}", error.hint().unwrap_or_default())
}

#[test]
fn bad_strings_are_refused_with_what_is_wrong() {
    for (url, words) in [
        ("mysql://h/d", "is not of PostgreSQL"),
        ("shop", "neither a URL nor"),
        ("postgres://u:100%@h/d", "`%25`"),
        ("postgres://u:%00@h/d", "zero byte"),
        ("postgres://[::1/d", "`[` without its `]`"),
        ("postgres://[::1]x/d", "after `]`"),
        ("postgres://h:port/d", "1 to 65535"),
        ("postgres://h:0/d", "1 to 65535"),
        ("postgres://h:70000/d", "1 to 65535"),
        ("postgres://a:1,b:x/d", "1 to 65535"),
        ("host=a,b port=1,2,3", "as many ports"),
        ("host=a,b hostaddr=1.2.3.4", "as many ports or addresses"),
        ("hostaddr=localhost", "not an address"),
        ("postgres://h/d?sslmod=require", "did you mean `sslmode`?"),
        ("postgres://h/d?sslmode=always", "`verify-full`"),
        ("postgres://h/d?connect_timeout=soon", "whole number"),
        ("postgres://h/d?target_session_attrs=best", "`prefer-standby`"),
        ("postgres://h/d?sslcrl=x", "`sslcrl` is not supported"),
        ("postgres://h/d?gssencmode=require", "`gssencmode` is not supported"),
        ("postgres://h/d?sslrootcert=system&sslmode=require", "trusts the whole world"),
        ("postgres://h/d?sslnegotiation=direct", "needs `sslmode=require`"),
        ("postgres://h/d?ssl_max_protocol_version=TLSv1.1", "no version of TLS"),
        ("postgres://h/d?flag", "without a value"),
        ("host=a user='b", "without its second"),
    ] {
        let said = refusal(url);
        assert!(said.contains(words), "{url}: {said}");
    }
}

#[test]
fn timeouts_that_the_server_can_not_count_are_refused() {
    let refusal = |option: &str, seconds: u32| {
        User::new().refusal(json!({ "url": "postgres://", option: seconds })).to_string()
    };
    assert!(refusal("lock_timeout", 86_401).contains("`lock_timeout` is too long"));
    assert!(refusal("statement_timeout", 2_000_001).contains("`statement_timeout` is too long"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let seen = User::new().look("postgres://u:p@127.0.0.1:1/d").await;
    assert!(problem(&seen).message.contains("127.0.0.1:1"), "{:?}", problem(&seen));
    assert!(problem(&seen).hint.as_ref().unwrap().contains("is the server running"));
    let seen = User::new().look("postgres://u:p@nowhere.invalid/d").await;
    assert!(problem(&seen).message.contains("`nowhere.invalid`"), "{:?}", problem(&seen));
    let seen = User::new().look("host=/nowhere user=u dbname=d").await;
    assert!(problem(&seen).message.contains("/nowhere/.s.PGSQL.5432"), "{:?}", problem(&seen));
}

#[tokio::test]
async fn a_login_that_is_not_let_in_is_told() {
    let seen = User::new().look(format!("postgres://stranger:x@{}", SHARED.place())).await;
    assert!(problem(&seen).message.contains("28"), "{:?}", problem(&seen));
    assert!(problem(&seen).hint.as_ref().unwrap().contains("pg_hba.conf"));
    let seen = User::new().look(format!("postgres://hostile:wrong@{}", SHARED.place())).await;
    assert!(problem(&seen).message.contains("28P01"));
    assert!(problem(&seen).hint.as_ref().unwrap().contains("password"));
}

#[tokio::test]
async fn a_full_server_is_told() {
    let server = dumprestore_testkit::PostgresOptions::new(dumprestore_testkit::PostgresVersion::V15)
        .setting("max_connections", "4")
        .setting("superuser_reserved_connections", "2")
        .setting("max_wal_senders", "0")
        .setting("wal_level", "minimal")
        .start();
    server.batch("postgres", "CREATE ROLE one LOGIN");
    let url = format!("postgres://one@127.0.0.1:{}/postgres", server.port());
    let seen = User::new().look(&url).await;
    assert!(crate::has_problem(&seen, "connections left"), "{:?}", seen.problems);
    let _held = (server.client("postgres").await, server.client("postgres").await);
    let seen = User::new().look(&url).await;
    assert!(problem(&seen).message.contains("53300"), "{:?}", problem(&seen));
    assert!(problem(&seen).hint.as_ref().unwrap().contains("max_connections"));
}

#[tokio::test]
async fn binding_to_the_channel_can_be_required() {
    let url = |mode: &str| {
        format!("postgres://hostile:{IN_URL}@{}?sslmode={mode}&channel_binding=require", SHARED.place())
    };
    assert!(crate::is_encrypted(&User::new().look(url("require")).await));
    let seen = User::new().look(url("disable")).await;
    assert!(problem(&seen).message.contains("channel binding"), "{:?}", problem(&seen));
}
