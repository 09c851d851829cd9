//! Whatever is written into a connection string, or read from a file, is what is used.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;

use dumprestore_driver::{BuildContext, NodePath};
use proptest::prelude::*;

use super::{Endpoint, Environment, Place, Target};

fn nobody() -> Environment {
    Environment::of([("HOME".to_owned(), "/nowhere".to_owned())])
}

fn read(text: &str) -> Target {
    Target::read(text, None, &nobody()).unwrap()
}

fn url_of(target: &Target) -> String {
    let cx = BuildContext::new(NodePath::new("db").unwrap(), "/");
    target.url().reveal(&cx).unwrap().expose().to_owned()
}

fn password_of(target: &Target) -> Option<&str> {
    target.password(&target.endpoints[0]).map(|password| password.expose())
}

/// Text with everything that means something in a URL, in pairs, or in a password file, and without a zero byte.
fn text() -> impl Strategy<Value = String> {
    proptest::string::string_regex(r#"[a-c@:/?#&=%+ '"\\\[\],;$é漢*-]{1,12}"#).unwrap()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

fn parts_of(target: &Target) -> (&str, Option<&str>, &str, &[Endpoint]) {
    (&target.user, password_of(target), &target.database, &target.endpoints)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pairs_give_back_what_was_written(user in text(), password in text(), database in text()) {
        let target = read(&format!(
            "user={} password = {} dbname={} host=h port=7", quoted(&user), quoted(&password), quoted(&database)
        ));
        prop_assert_eq!(&target.user, &user);
        prop_assert_eq!(password_of(&target), Some(password.as_str()));
        prop_assert_eq!(&target.database, &database);
    }

    #[test]
    fn the_url_for_others_leads_to_the_same_place(
        user in text(), password in text(), database in text(), host in "[a-z][a-z0-9.-]{0,8}|::1|/[a-z/ ]{1,8}|@[a-z]{1,5}", port in 1..=u16::MAX,
    ) {
        let target = read(&format!(
            "user={} password={} dbname={} host={} port={port} sslmode=require options={}",
            quoted(&user), quoted(&password), quoted(&database), quoted(&host), quoted("-c a='b c'&d")
        ));
        let again = read(&url_of(&target));
        prop_assert_eq!(parts_of(&again), parts_of(&target));
        prop_assert_eq!(again.protection.mode, target.protection.mode);
        prop_assert_eq!(again.variables(), target.variables());
        prop_assert_eq!(url_of(&again), url_of(&target));
        prop_assert_eq!(again.claim(), target.claim());
    }

    #[test]
    fn nothing_that_is_written_is_a_panic(text in "(postgres://)?[ -~é]{0,40}") {
        let _ = Target::read(&text, None, &nobody());
    }

    #[test]
    fn a_password_file_gives_back_what_was_written(
        host in text(), database in text(), user in text(), password in text(),
    ) {
        let escaped = |text: &str| text.replace('\\', r"\\").replace(':', r"\:");
        // A field that is one `*` fits everything.
        prop_assume!([&host, &database, &user].iter().all(|field| *field != "*") && !host.starts_with('#'));
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = format!("{}:7:{}:{}:{}\n", escaped(&host), escaped(&database), escaped(&user), escaped(&password));
        std::fs::write(file.path(), line).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        let target = read(&format!(
            "user={} dbname={} port=7 passfile={}", quoted(&user), quoted(&database), quoted(file.path().to_str().unwrap())
        ));
        let at = |host: &str| Endpoint { place: Place::Tcp { host: host.to_owned(), address: None }, port: 7 };
        let found = |target: &Target, host: &str| target.password(&at(host)).map(|found| found.expose().to_owned());
        prop_assert_eq!(found(&target, &host), Some(password.clone()));
        prop_assert_eq!(found(&target, "elsewhere"), None);
        // A database that a restore makes is entered with the password of the one that it is to replace.
        prop_assert_eq!(found(&target.with_database("staged"), &host), Some(password));
    }
}

#[test]
fn a_password_that_looks_like_a_url_is_a_password() {
    let target = read("host=h user=u dbname=d password='mysql://a'");
    assert_eq!(password_of(&target), Some("mysql://a"));
    for other in ["mysql://u@h/d", "://u@h/d", "jdbc+x://h"] {
        let error = Target::read(other, None, &nobody()).unwrap_err();
        assert!(error.to_string().contains("is not of PostgreSQL"), "{other}: {error}");
    }
}

#[test]
fn a_loopback_address_and_a_socket_are_one_server() {
    let claim = |url: &str| read(url).claim();
    let one = claim("postgres://a@localhost:5433/shop");
    for url in [
        "postgres://b:c@127.0.0.1:5433/shop",
        "postgres://[::1]:5433/shop",
        "host=/tmp port=5433 dbname=shop",
    ] {
        assert_eq!(claim(url), one, "{url}");
    }
    assert_ne!(claim("postgres://localhost:5434/shop"), one);
    assert_eq!(claim("postgres://DB.Example.:5432/a%2Fb"), "postgres://db.example:5432/a%2Fb");
}

#[test]
fn a_url_shows_no_more_than_was_given() {
    assert_eq!(url_of(&read("postgres://u@h/d")), "postgresql://u@h:5432/d");
    assert_eq!(read("postgres://u:p@h/d").to_string(), "postgresql://u@h:5432/d");
    assert!(!format!("{:?}", read("postgres://u:very-secret@h/d")).contains("very-secret"));
}
