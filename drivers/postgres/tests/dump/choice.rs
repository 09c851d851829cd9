//! What the options leave out.

use dumprestore_driver::{CutMode, ErrorKind};
use dumprestore_testkit::{PostgresServer, PostgresVersion};

use crate::dump_support::{config, cut, dump, open};

fn server() -> &'static PostgresServer {
    PostgresServer::shared(PostgresVersion::V15)
}

const SCHEMA: &str = r#"
    CREATE SCHEMA "a.b"; CREATE SCHEMA other;
    CREATE TABLE "a.b"."x*[1]""$y" (id serial PRIMARY KEY, v text);
    CREATE TABLE "a.b"."x*[1]" (id int PRIMARY KEY REFERENCES "a.b"."x*[1]""$y");
    INSERT INTO "a.b"."x*[1]""$y" (v) VALUES ('one');
    CREATE VIEW "a.b".v AS SELECT * FROM "a.b"."x*[1]""$y";
    CREATE VIEW other.w AS SELECT * FROM "a.b".v;
    CREATE TABLE other.log (t text); INSERT INTO other.log VALUES ('kept out');
    CREATE FUNCTION other.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE TABLE events (k int, d text) PARTITION BY LIST (k);
    CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);
    CREATE TABLE plain (n int); INSERT INTO plain VALUES (1);
    SELECT lo_create(0);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_left_out_takes_along_what_needs_it() {
    let database = server().create_database();
    server().batch(&database, SCHEMA);
    let mut config = config(&server().url(&database));
    config.exclude_tables = vec!["a.b.x*[1]\"$y".to_owned(), "events".to_owned()];
    config.exclude_data = vec!["other.log".to_owned()];
    let dump = dump(config).await;
    assert!(!dump.has_table("a.b", "x*[1]\"$y"));
    assert!(dump.has_table("a.b", "x*[1]"));
    assert!(!dump.has_table("public", "events_1"));
    assert_eq!(dump.table("other", "log")["without_data"], true);
    assert_eq!(dump.rows_of("public", "plain"), ["1"]);
    assert_eq!(dump.contents["whole"], false);
    assert_eq!(dump.contents["sequences"].as_array().unwrap().len(), 0, "the table's sequence goes with it");
    let left: Vec<(String, String)> = dump
        .items()
        .into_iter()
        .filter(|(kind, _)| matches!(kind.as_str(), "VIEW" | "FK CONSTRAINT" | "SEQUENCE"))
        .collect();
    assert_eq!(left, []);
    let noted = |what: &str| dump.ledger.iter().any(|entry| !entry.degrades && entry.what.contains(what));
    assert!(noted("a.b.v") && noted("other.w") && noted("fk constraint"), "{:?}", dump.ledger);
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_schemas_are_all_that_is_dumped() {
    let database = server().create_database();
    server().batch(&database, SCHEMA);
    let mut config = config(&server().url(&database));
    config.schemas = vec!["a.b".to_owned(), "publ?c".to_owned()];
    let dump = dump(config).await;
    assert_eq!(dump.contents["schemas"], serde_json::json!(["a.b", "public"]));
    assert!(dump.has_table("a.b", "x*[1]\"$y") && dump.has_table("public", "plain"));
    assert!(!dump.has_table("other", "log"));
    let items = dump.items();
    assert!(!items.iter().any(|(kind, name)| kind == "FUNCTION" || name == "w"), "{items:?}");
    assert!(!dump.parts.keys().any(|name| name.starts_with("large_objects/")));
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_read_a_table_can_leave_it_out() {
    let database = server().create_database();
    let role = format!("{database}_reader");
    server().batch(
        &database,
        &format!(
            "CREATE ROLE {role} LOGIN; CREATE TABLE mine (n int); CREATE TABLE \"sec.ret\" (n int);
             GRANT SELECT ON mine TO {role}; INSERT INTO mine VALUES (7)"
        ),
    );
    let url = server().url(&database).replacen("postgres://postgres", &format!("postgres://{role}"), 1);
    assert!(url.contains(&role), "{url}");
    let error = open(config(&url)).await.pin(&cut(CutMode::Open)).await.unwrap_err();
    assert!(error.hint().unwrap().contains("exclude_tables"), "{error:?}");
    let mut config = config(&url);
    config.exclude_tables = vec!["sec.ret".to_owned()];
    config.globals = true;
    let dump = dump(config).await;
    assert_eq!(dump.rows_of("public", "mine"), ["7"]);
    let roles = dump.contents["roles"].as_array().unwrap();
    assert!(roles.iter().any(|found| found["name"] == role.as_str()));
    server().drop_database(&database);
    server().batch("postgres", &format!("DROP ROLE {role}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_user_mappings_that_a_login_may_not_see_degrade_the_dump() {
    let database = server().create_database();
    let role = format!("{database}_mapped");
    server().batch(
        &database,
        &format!(
            "CREATE ROLE {role} LOGIN; CREATE FOREIGN DATA WRAPPER far;
             CREATE SERVER theirs FOREIGN DATA WRAPPER far; GRANT USAGE ON FOREIGN SERVER theirs TO {role};
             CREATE SERVER closed FOREIGN DATA WRAPPER far;
             CREATE SERVER own FOREIGN DATA WRAPPER far; ALTER SERVER own OWNER TO {role};
             CREATE USER MAPPING FOR postgres SERVER theirs OPTIONS (password 'secret');
             CREATE USER MAPPING FOR PUBLIC SERVER theirs;
             CREATE USER MAPPING FOR {role} SERVER theirs OPTIONS (password 'seen');
             CREATE USER MAPPING FOR {role} SERVER closed OPTIONS (password 'secret');
             CREATE USER MAPPING FOR postgres SERVER own OPTIONS (password 'secret');
             CREATE USER MAPPING FOR PUBLIC SERVER own OPTIONS (password 'seen');
             CREATE USER MAPPING FOR {role} SERVER own"
        ),
    );
    let url = server().url(&database).replacen("postgres://postgres", &format!("postgres://{role}"), 1);
    let seen_by = async |url: &str| dump(config(url)).await;
    let dumped = seen_by(&url).await;
    let told: Vec<_> = dumped.ledger.iter().filter(|entry| entry.degrades).map(|entry| &entry.what).collect();
    assert_eq!(
        told,
        [
            &format!("user mapping of `{role}` on server `closed`"),
            "user mapping of `postgres` on server `own`",
            "user mapping of `postgres` on server `theirs`",
            "user mapping of `public` on server `theirs`",
        ],
        "{:?}",
        dumped.ledger
    );
    assert!(dumped.ledger.iter().any(|entry| entry.why.contains("can't be seen")));
    // What the view shows is what `pg_dump` wrote.
    let written = dumped.contents["items"].to_string();
    assert_eq!((written.matches("'seen'").count(), written.matches("secret").count()), (2, 0), "{written}");
    let dumped = seen_by(&server().url(&database)).await;
    assert!(!dumped.ledger.iter().any(|entry| entry.degrades), "{:?}", dumped.ledger);
    assert_eq!(dumped.contents["items"].to_string().matches("'secret'").count(), 3);
    server().drop_database(&database);
    server().batch("postgres", &format!("DROP ROLE {role}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_fits_nothing_is_an_error_with_a_suggestion() {
    let database = server().create_database();
    server().batch(&database, SCHEMA);
    let mut config = config(&server().url(&database));
    config.exclude_tables = vec!["plane".to_owned()];
    let error = open(config).await.pin(&cut(CutMode::Open)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.hint().unwrap().contains("public.plain"), "{error:?}");
    server().drop_database(&database);
}
