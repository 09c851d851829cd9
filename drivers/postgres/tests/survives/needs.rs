//! What an archive needs of a server is found by the plan.

use dumprestore_postgres::PostgresConfig;
use dumprestore_testkit::{PostgresServer, PostgresVersion};

use crate::support::{config, dump, plan, told};

async fn obstacles(from: &PostgresServer, database: &str, to: &PostgresServer, login: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(from, database), folder.path()).await;
    let target = PostgresConfig::new(format!("postgres://{login}@127.0.0.1:{}/target", to.port()));
    match plan(&archived, target).await {
        Ok(()) => String::new(),
        Err(error) => told(&error),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_only_large_objects_and_settings_name_are_found_by_the_plan() {
    let from = PostgresServer::start(PostgresVersion::V15);
    from.batch(
        "postgres",
        "CREATE ROLE keeper; CREATE ROLE reader; CREATE ROLE worker; CREATE ROLE giver;
         SELECT lo_create(1), lo_create(2); ALTER LARGE OBJECT 1 OWNER TO keeper;
         GRANT SELECT ON LARGE OBJECT 2 TO giver WITH GRANT OPTION; SET ROLE giver;
         GRANT SELECT ON LARGE OBJECT 2 TO reader; RESET ROLE; GRANT SELECT ON LARGE OBJECT 2 TO PUBLIC;
         ALTER ROLE worker IN DATABASE postgres SET work_mem = '1MB'",
    );
    let to = PostgresServer::start(PostgresVersion::V15);
    let said = obstacles(&from, "postgres", &to, "postgres").await;
    for role in ["keeper", "reader", "worker", "giver"] {
        assert!(said.contains(role), "{role}: {said}");
    }
    for role in ["keeper", "reader", "worker", "giver"] {
        to.batch("postgres", &format!("CREATE ROLE {role}"));
    }
    assert_eq!(obstacles(&from, "postgres", &to, "postgres").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_superuser_can_make_is_found_by_the_plan() {
    let server = PostgresServer::start(PostgresVersion::V15);
    server.batch("postgres", "CREATE ROLE login LOGIN CREATEDB");
    server.batch("postgres", "CREATE DATABASE one OWNER login");
    server.batch("one", "ALTER SCHEMA public OWNER TO login; SET ROLE login; CREATE TABLE t (a int)");
    assert_eq!(obstacles(&server, "one", &server, "login").await, "");
    let beyond = [
        "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; ALTER FUNCTION f OWNER TO login;
         CREATE EVENT TRIGGER e ON sql_drop EXECUTE FUNCTION f(); ALTER EVENT TRIGGER e OWNER TO postgres",
        "CREATE FUNCTION g(int) RETURNS int LANGUAGE internal AS 'int4um'; ALTER FUNCTION g OWNER TO login",
        "CREATE PUBLICATION p FOR ALL TABLES",
        "CREATE OPERATOR CLASS c FOR TYPE int USING btree AS OPERATOR 1 <; ALTER OPERATOR CLASS c USING btree OWNER TO login",
    ];
    for (statement, kind) in
        beyond.into_iter().zip(["EVENT TRIGGER", "FUNCTION", "PUBLICATION", "OPERATOR CLASS"])
    {
        server.batch("one", statement);
        let said = obstacles(&server, "one", &server, "login").await;
        assert!(said.contains("only a superuser can make") && said.contains(kind), "{kind}: {said}");
    }
    server.batch("postgres", "CREATE ROLE rds_superuser; GRANT rds_superuser TO login");
    let said = obstacles(&server, "one", &server, "login").await;
    assert!(!said.contains("only a superuser can make"), "{said}");
}
