//! What an archive needs of a server is found by the plan.

use dumprestore_postgres::PostgresConfig;
use dumprestore_testkit::{PostgresOptions, PostgresServer, PostgresVersion};

use crate::support::{config, content, dump, plan, same, told, try_restore, try_restore_in_place};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_enter_the_database_that_is_made_is_found_by_the_plan() {
    let lines =
        ["host one,postgres login all trust", "host /^one login all trust", "host all postgres all trust"];
    for (version, admitted) in [(PostgresVersion::V15, false), (PostgresVersion::V16, true)] {
        let lines = if admitted { &lines[1..] } else { &lines[..1] };
        let server = PostgresOptions::new(version).admissions(lines).start();
        server.batch("postgres", "CREATE ROLE login LOGIN CREATEDB");
        server.batch("postgres", "CREATE DATABASE one OWNER login");
        let folder = tempfile::tempdir().unwrap();
        let mut to_dump = config(&server, "one");
        to_dump.url = PostgresConfig::new(format!("postgres://login@127.0.0.1:{}/one", server.port())).url;
        let mut to_restore = to_dump.clone();
        if admitted {
            // The pattern does not admit to `postgres`.
            server.batch("postgres", "CREATE DATABASE one_maintenance");
            to_restore.maintenance_db = Some("one_maintenance".to_owned());
        }
        let archived = dump(to_dump, folder.path()).await;
        match plan(&archived, to_restore).await {
            Ok(()) => assert!(admitted),
            Err(error) => {
                let said = told(&error);
                assert!(!admitted && said.contains("no pg_hba.conf entry"), "{said}");
                assert!(said.contains("admits this login to some databases only"), "{said}");
            }
        }
    }
}

/// What most applications' logins own.
const OWNED: &str = "
    SET ROLE login;
    CREATE EXTENSION hstore; CREATE SCHEMA shop; CREATE TYPE shop.mood AS ENUM ('glad', 'sad');
    CREATE TABLE shop.customer (id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text, facts hstore,
        mood shop.mood) PARTITION BY HASH (id);
    CREATE TABLE shop.one PARTITION OF shop.customer FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE shop.two PARTITION OF shop.customer FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO shop.customer (name, facts, mood) SELECT 'c' || n, hstore('n', n::text), 'glad'
        FROM generate_series(1, 200) n;
    CREATE FUNCTION shop.named(n text) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM shop.customer WHERE name = n';
    CREATE VIEW shop.glad WITH (security_barrier) AS SELECT * FROM shop.customer WHERE mood = 'glad';
    CREATE MATERIALIZED VIEW shop.counted AS SELECT mood, count(*) FROM shop.customer GROUP BY mood;
    CREATE TABLE shop.picture (of integer REFERENCES shop.customer, large oid);
    INSERT INTO shop.picture VALUES (1, lo_from_bytea(0, 'a picture'));
    ALTER TABLE shop.picture ENABLE ROW LEVEL SECURITY; CREATE POLICY all_of_them ON shop.picture USING (true);
    GRANT SELECT ON shop.customer TO reader; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader;
    CREATE PUBLICATION pictures FOR TABLE shop.picture; ALTER DATABASE one SET search_path TO shop, public;
    COMMENT ON DATABASE one IS 'of a login'";

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_owns_its_database_dumps_and_restores_it_in_every_way() {
    for version in [PostgresVersion::V14, PostgresVersion::V18] {
        let server = PostgresServer::start(version);
        server.batch("postgres", "CREATE ROLE login LOGIN CREATEDB; CREATE ROLE reader");
        server.batch("postgres", "CREATE DATABASE one OWNER login");
        server.batch("one", OWNED);
        let before = content(&server, "one");
        let folder = tempfile::tempdir().unwrap();
        let mut as_login = config(&server, "one");
        as_login.url = PostgresConfig::new(format!("postgres://login@127.0.0.1:{}/one", server.port())).url;
        let archived = dump(as_login.clone(), folder.path()).await;
        let change = "DROP TABLE shop.picture; DELETE FROM shop.customer WHERE id > 7; CREATE TABLE new ()";
        server.batch("one", &format!("SET ROLE login; {change}"));
        let ledger =
            try_restore(&archived, as_login.clone()).await.unwrap_or_else(|e| panic!("{}", told(&e)));
        assert!(ledger.iter().all(|entry| !entry.degrades), "{ledger:?}");
        same(&content(&server, "one"), &before);
        let left = "SELECT count(*) FROM pg_database WHERE datname LIKE '%dumprestore%'";
        assert_eq!(server.value("postgres", left), "0");
        server.batch("one", &format!("SET ROLE login; {change}"));
        server.batch("postgres", "ALTER ROLE login NOCREATEDB");
        let refused = plan(&archived, as_login.clone()).await.unwrap_err();
        assert!(refused.hint().unwrap().contains("--in-place"), "{}", told(&refused));
        let ledger =
            try_restore_in_place(&archived, as_login).await.unwrap_or_else(|e| panic!("{}", told(&e)));
        assert!(ledger.iter().all(|entry| !entry.degrades), "{ledger:?}");
        same(&content(&server, "one"), &before);
    }
}
