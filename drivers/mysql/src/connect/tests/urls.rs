//! What is written into a URL is what is used, and none of a password is ever shown.

use dumprestore_driver::Secret;
use proptest::prelude::*;

use super::super::target::{Place, Target};
use super::{context, nobody, setup, try_setup};
use crate::config::MysqlConfig;

/// Text with everything that means something in a URL.
fn text() -> impl Strategy<Value = String> {
    proptest::string::string_regex(r#"[a-c@:/?#&=%+ '"\\\[\],;$é漢*-]{1,12}"#).unwrap()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn url_of(target: &Target) -> String {
    target.url().reveal(&context()).unwrap().expose().to_owned()
}

fn password_of(target: &Target) -> Option<&str> {
    target.password.as_ref().map(|password| password.expose())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_url_gives_back_what_was_written(user in text(), password in text(), database in text(), port in 1..=u16::MAX) {
        let url = format!(
            "mysql://{}:{}@db.example:{port}/{}", encoded(&user), encoded(&password), encoded(&database)
        );
        let target = setup(&url).target;
        prop_assert_eq!(&target.user, &user);
        prop_assert_eq!(password_of(&target), Some(password.as_str()));
        prop_assert_eq!(&target.database, &database);
        prop_assert_eq!(&target.place, &Place::Tcp { host: "db.example".to_owned(), port });
    }

    #[test]
    fn a_password_of_its_own_needs_no_escapes(password in text()) {
        let mut config = MysqlConfig::new("mariadb://u@h:1/d");
        config.password = Some(Secret::new(&*password));
        prop_assume!(!password.starts_with("file:"));
        let target = try_setup(config).unwrap().target;
        prop_assert_eq!(password_of(&target), Some(password.as_str()));
    }

    #[test]
    fn the_url_for_others_leads_to_the_same_place(
        user in text(), password in text(), database in text(), host in "[a-z][a-z0-9.-]{0,8}|::1|/[a-z/ ]{1,8}", port in 1..=u16::MAX,
    ) {
        let host = if host == "::1" { "[::1]".to_owned() } else { encoded(&host) };
        let url = format!(
            "mysql://{}:{}@{host}:{port}/{}?ssl_mode=REQUIRED&ssl-ca=%2Fa%20b",
            encoded(&user), encoded(&password), encoded(&database)
        );
        let target = setup(&url).target;
        let again = setup(&url_of(&target)).target;
        prop_assert_eq!(&again.user, &target.user);
        prop_assert_eq!(&again.database, &target.database);
        prop_assert_eq!(&again.place, &target.place);
        prop_assert_eq!(password_of(&again), Some(password.as_str()));
        prop_assert_eq!(again.protection.mode, target.protection.mode);
        prop_assert_eq!(url_of(&again), url_of(&target));
        prop_assert_eq!(again.claim(), target.claim());
    }

    #[test]
    fn nothing_that_is_written_is_a_panic(text in "(mysql://)?[ -~é]{0,40}") {
        let _ = try_setup(MysqlConfig::new(text));
    }

    /// A password that was not escaped may be taken for anything: a host, a database, a parameter.
    #[test]
    fn no_part_of_a_password_that_was_not_escaped_is_shown(
        before in "[@:/?#&=%a]{0,3}", after in "[@:/?#&=%a]{0,3}", scheme in "mysql|mariadb|mysq|postgres",
    ) {
        const SECRET: &str = "Xq7secretZ";
        let url = format!("{scheme}://user:{before}{SECRET}{after}{SECRET}@db.example/shop?ssl-mode=required");
        let shown = match try_setup(MysqlConfig::new(&*url)) {
            Ok(setup) if password_of(&setup.target).is_some_and(|password| password.contains(SECRET)) => {
                format!("{} {} {setup:?}", setup.target, setup.target.claim())
            }
            Ok(setup) => panic!("{url} was taken for {}", setup.target),
            Err(error) => format!("{error:?}"),
        };
        prop_assert!(!shown.contains("secret"), "{}", shown);
    }
}

#[test]
fn a_password_with_unescaped_signs_is_read_up_to_the_last_at() {
    let target = setup("mysql://shop:p@ss:w0rd$#x@db.example:3307/shop").target;
    assert_eq!(password_of(&target), Some("p@ss:w0rd$#x"));
    assert_eq!(target.place.to_string(), "db.example:3307");
}

#[test]
fn a_url_of_another_kind_of_database_is_told_apart() {
    for (url, hint) in
        [("postgres://u@h/d", "`postgres`"), ("redis://h", "`redis`"), ("sqlite://x", "`sqlite`")]
    {
        let error = try_setup(MysqlConfig::new(url)).unwrap_err();
        assert!(error.hint().unwrap().contains(hint), "{url}: {error:?}");
    }
    let error = try_setup(MysqlConfig::new("oracle://u@h/d")).unwrap_err();
    assert_eq!(error.to_string(), "`url` is not of MySQL or MariaDB");
}

#[test]
fn a_parameter_that_nobody_knows_is_refused_with_the_one_that_was_meant() {
    let error = try_setup(MysqlConfig::new("mysql://u@h/d?ssl-mod=required")).unwrap_err();
    assert_eq!(error.to_string(), "there is no connection parameter `ssl-mod`");
    assert_eq!(error.hint(), Some("did you mean `ssl-mode`?"));
    let error = try_setup(MysqlConfig::new("mysql://u@h/d?sslmode=on")).unwrap_err();
    assert_eq!(
        error.hint(),
        Some("it is one of `disabled`, `preferred`, `required`, `verify-ca`, `verify-identity`")
    );
}

#[test]
fn a_database_must_be_named() {
    for url in ["mysql://u@h", "mysql://u@h/", "mysql://u@h?ssl-mode=disabled"] {
        let error = try_setup(MysqlConfig::new(url)).unwrap_err();
        assert_eq!(error.to_string(), "no database is named", "{url}");
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let with = |change: fn(&mut MysqlConfig)| {
        let mut config = MysqlConfig::new("mysql://u@h/d");
        change(&mut config);
        try_setup(config).unwrap_err().to_string()
    };
    assert_eq!(with(|config| config.connections = 0), "`connections` is out of range");
    assert_eq!(with(|config| config.connections = 65), "`connections` is out of range");
    assert_eq!(with(|config| config.lock_timeout = 86_401), "`lock_timeout` is too long");
    assert_eq!(with(|config| config.statement_timeout = 2_000_001), "`statement_timeout` is too long");
}

#[test]
fn a_loopback_address_is_this_machine() {
    let claim = |url: &str| setup(url).target.claim();
    let one = claim("mysql://a@localhost:3307/shop");
    for url in ["mysql://b:c@127.0.0.1:3307/shop", "mariadb://[::1]:3307/shop"] {
        assert_eq!(claim(url), one, "{url}");
    }
    assert_ne!(claim("mysql://localhost:3308/shop"), one);
    assert_eq!(claim("mysql://DB.Example.:3306/a%2Fb"), "mysql://db.example:3306/a%2Fb");
}

#[test]
fn relative_files_begin_at_the_configuration() {
    let target = setup("mysql://u@h/d?socket=run/server.sock").target;
    assert_eq!(target.place, Place::Socket("/base/run/server.sock".into()));
}

#[test]
fn what_the_url_leaves_out_comes_from_the_environment() {
    let mut variables = nobody();
    for (name, value) in [
        ("MYSQL_HOST", "other"),
        ("MYSQL_TCP_PORT", "3399"),
        ("MYSQL_PWD", "of-env"),
        ("MYSQL_UNIX_PORT", "/s"),
    ] {
        variables.push((name.to_owned(), value.to_owned()));
    }
    let read =
        |url: &str| MysqlConfig::new(url).with_variables(variables.clone()).setup(&context()).unwrap().target;
    let target = read("mysql://u@/d");
    assert_eq!((target.place.to_string().as_str(), password_of(&target)), ("other:3399", Some("of-env")));
    assert_eq!(read("mysql://u:own@db/d").place.to_string(), "db:3399");
    assert_eq!(password_of(&read("mysql://u:own@db/d")), Some("own"));
    // An empty password is one, too.
    assert_eq!(password_of(&read("mysql://u:@db/d")), Some(""));
    // The socket of this machine is meant only where this machine is.
    assert_eq!(read("mysql://u@localhost/d").place, Place::Socket("/s".into()));
    assert_eq!(read("mysql://u@localhost:3306/d").place.to_string(), "localhost:3306");
}

#[test]
fn the_urls_of_frameworks_are_taken_as_they_are() {
    for url in [
        "mysql://app:p@127.0.0.1:3306/shop?serverVersion=8.0.32&charset=utf8mb4",
        "mysql2://app:p@127.0.0.1/shop?reconnect=true&pool=5",
        "trilogy://app:p@127.0.0.1/shop",
    ] {
        assert_eq!(setup(url).target.database, "shop", "{url}");
    }
}
