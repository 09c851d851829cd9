//! What libpq's surroundings say.

use crate::{IN_URL, PASSWORD, SHARED, User, as_text, has_problem, login, problem};

fn user_with_variables() -> User {
    User::new()
        .with("PGHOST", "127.0.0.1")
        .with("PGPORT", SHARED.server.port().to_string())
        .with("PGDATABASE", &SHARED.database)
        .with("PGUSER", "hostile")
        .with("PGPASSWORD", PASSWORD)
}

#[tokio::test]
async fn variables_fill_in_what_the_url_leaves_out() {
    assert_eq!(login(&user_with_variables().look("postgres://").await), "hostile");
    let seen = user_with_variables().look(format!("postgres://shy:{IN_URL}@/")).await;
    assert_eq!(login(&seen), "shy");
    let seen = user_with_variables().look("postgres:///no_such_database").await;
    assert!(has_problem(&seen, "no database `no_such_database`"), "{:?}", seen.problems);
}

#[tokio::test]
async fn an_address_and_options_come_from_variables() {
    let user = user_with_variables().with("PGHOSTADDR", "127.0.0.1").with("PGOPTIONS", "-c geqo=off");
    assert_eq!(login(&user.look("host=nowhere.invalid").await), "hostile");
}

#[tokio::test]
async fn the_url_goes_before_the_password_option_and_that_before_variables() {
    let user = user_with_variables().with("PGPASSWORD", "wrong");
    let options = |url: &str, password: &str| serde_json::json!({ "url": url, "password": password });
    assert_eq!(login(&user.look_at(options("postgres://", PASSWORD)).await), "hostile");
    let url = format!("postgres://hostile:{IN_URL}@/");
    assert_eq!(login(&user.look_at(options(&url, "wrong")).await), "hostile");
    assert!(problem(&user.look("postgres://").await).message.contains("28P01"));
}

#[tokio::test]
async fn a_service_fills_in_and_goes_before_variables() {
    let user = user_with_variables().with("PGUSER", "nobody_at_all");
    user.file(
        ".pg_service.conf",
        "# ours\n[other]\nuser=other\n\n[shop]\n# a comment\nuser=hostile\napplication_name = x\n[last]\nuser=z\n",
        0o644,
    );
    assert_eq!(login(&user.look("service=shop").await), "hostile");
    assert_eq!(login(&user.look("postgres:///?service=shop").await), "hostile");
    let seen = user.look(format!("service=shop user=shy password={}", quoted())).await;
    assert_eq!(login(&seen), "shy");
}

fn quoted() -> String {
    format!("'{}'", PASSWORD.replace('\\', r"\\").replace('\'', r"\'"))
}

#[tokio::test]
async fn a_service_is_found_in_a_named_file_and_in_the_systems() {
    let user = user_with_variables().with("PGUSER", "nobody_at_all");
    let named = user.file("named.conf", "[shop]\nuser=hostile\n", 0o644);
    let user = user.with("PGSERVICEFILE", as_text(&named)).with("PGSERVICE", "shop");
    assert_eq!(login(&user.look("postgres://").await), "hostile");

    let user = user_with_variables().with("PGUSER", "nobody_at_all");
    let systems = user.file("etc/pg_service.conf", "[shop]\nuser=hostile\n", 0o644);
    let user = user.with("PGSYSCONFDIR", as_text(systems.parent().unwrap()));
    assert_eq!(login(&user.look("service=shop").await), "hostile");
}

#[test]
fn an_unknown_service_and_a_bad_one_are_refused() {
    let user = User::new();
    let file =
        user.file(".pg_service.conf", "[bad]\nusr=hostile\n[loop]\nservice=bad\n[worse]\nuser\n", 0o644);
    let refusal = |service: &str| user.refusal(serde_json::json!({ "url": format!("service={service}") }));
    assert!(refusal("none").message().contains("no service `none`"));
    let bad = refusal("bad");
    assert!(bad.to_string().contains("`usr`") && bad.to_string().contains(&as_text(&file)), "{bad}");
    assert_eq!(bad.hint(), Some("did you mean `user`?"));
    assert!(refusal("loop").message().contains("can't name another"));
    assert!(refusal("worse").message().contains("name=value"));
}
