//! Passwords: where they come from, and that nobody sees them.

use serde_json::json;

use crate::{IN_URL, PASSWORD, SHARED, User, as_text, login, problem};

fn url_of(user: &str) -> String {
    format!("postgres://{user}@{}", SHARED.place())
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace(':', r"\:")
}

#[tokio::test]
async fn every_way_of_asking_for_one_is_answered() {
    for user in ["hostile", "old", "clear"] {
        let options = json!({ "url": url_of(user), "password": PASSWORD });
        assert_eq!(login(&User::new().look_at(options).await), user);
    }
}

#[tokio::test]
async fn one_comes_from_a_file() {
    let user = User::new();
    user.file("secret", &format!("{PASSWORD}\n"), 0o600);
    let options = json!({ "url": url_of("hostile"), "password": "file:secret" });
    assert_eq!(login(&user.look_at(options).await), "hostile");
}

#[tokio::test]
async fn one_comes_from_the_first_line_of_pgpass_that_fits() {
    let user = User::new();
    let (port, database, password) = (SHARED.server.port(), &SHARED.database, escaped(PASSWORD));
    let lines = format!(
        "# a comment\n\nother:*:*:*:wrong\n127.0.0.1:1:*:*:wrong\n*:*:*:shy:wrong\n\
        127.0.0.1:{port}:{database}:hostile:{password}\n*:*:*:*:wrong\n"
    );
    user.file(".pgpass", &lines, 0o600);
    assert_eq!(login(&user.look(url_of("hostile")).await), "hostile");
    assert!(problem(&user.look(url_of("shy")).await).message.contains("28P01"));
    // A password that is given goes first.
    let seen = user.look(format!("postgres://shy:{IN_URL}@{}", SHARED.place())).await;
    assert_eq!(login(&seen), "shy");
}

#[tokio::test]
async fn pgpass_has_passwords_for_sockets_and_may_lie_elsewhere() {
    let folder = as_text(SHARED.server.folder());
    let user = User::new();
    let lines = format!("{}:*:*:hostile:{}\n", escaped(&folder), escaped(PASSWORD));
    let file = user.file("elsewhere", &lines, 0o600);
    let user = user.with("PGPASSFILE", as_text(&file));
    let seen = user.look(SHARED.server.socket_url(&SHARED.database).replace("postgres@", "hostile@")).await;
    assert_eq!(login(&seen), "hostile");
}

#[tokio::test]
async fn pgpass_is_not_used_if_others_may_read_it() {
    let user = User::new();
    user.file(".pgpass", &format!("*:*:*:*:{}\n", escaped(PASSWORD)), 0o644);
    let seen = user.look(url_of("hostile")).await;
    let problem = problem(&seen);
    assert!(problem.message.contains("wants a password"), "{problem:?}");
    assert!(problem.hint.as_ref().unwrap().contains("chmod 0600"), "{problem:?}");
}

#[tokio::test]
async fn a_missing_one_is_told() {
    let seen = User::new().look(url_of("hostile")).await;
    assert!(problem(&seen).message.contains("wants a password of `hostile`, and none is given"));
    assert!(problem(&seen).hint.as_ref().unwrap().contains("PGPASSWORD"));
}

/// Everything that anybody may get to see of a node.
async fn traces(user: &User, options: serde_json::Value) -> String {
    let config: dumprestore_postgres::PostgresConfig = serde_json::from_value(options.clone()).unwrap();
    let mut traces = format!("{config:?}");
    match user.build(options) {
        Err(error) => traces.push_str(&format!("{error} {error:?}")),
        Ok(driver) => {
            traces.push_str(&driver.target());
            traces.push_str(&format!("{:?}", driver.inspect().await));
        }
    }
    traces
}

#[tokio::test]
async fn no_password_is_seen_anywhere() {
    let secret = "Sesame-4711";
    let place = SHARED.place();
    let urls = [
        format!("postgres://hostile:{secret}@{place}"),
        format!("postgres://hostile:{secret}@127.0.0.1:1/x"),
        format!("postgres://hostile:{secret}@nowhere.invalid/x"),
        format!("postgres://hostile:{secret}%zz@{place}"),
        format!("postgres://hostile:{secret}/more@{place}"),
        format!("postgres://hostile:{secret}?@{place}"),
        format!("postgres://hostile@{place}?password={secret}&nonsense=1"),
        format!("postgres://hostile@{place}?{secret}"),
        format!("postgres://hostile@{place}?{secret}=1"),
        format!("mysql://hostile:{secret}@{place}"),
        format!("host=127.0.0.1 password={secret} user=hostile sslmode=sometimes"),
        format!("host=127.0.0.1 password='{secret}"),
        format!("host=127.0.0.1 {secret}=1"),
        format!("host=127.0.0.1 password=a {secret}"),
        secret.to_owned(),
    ];
    for url in urls {
        let traces = traces(&User::new(), json!({ "url": url })).await;
        assert!(!traces.contains(secret), "{url}: {traces}");
    }
    let user = User::new().with("PGPASSWORD", secret);
    assert!(!traces(&user, json!({ "url": url_of("hostile") })).await.contains(secret));
    let options = json!({ "url": url_of("hostile"), "password": secret });
    assert!(!traces(&User::new(), options).await.contains(secret));
}
