//! What is in the way is found by the plan.

use dumprestore_driver::Extras;

use super::*;

/// The error of a plan to restore contents that differ in something, by a login.
async fn refused(server: &PostgresServer, login: &str, differ: impl FnOnce(&mut Value)) -> String {
    let database = live(server);
    let mut contents = contents();
    differ(&mut contents);
    let mut setup = setup(server, &database);
    login.clone_into(&mut setup.target.user);
    let planned = changes(&setup, archive(&contents), &StageContext::new(run())).await;
    let error = planned.expect_err("it can't work");
    assert!(error.hint().is_some(), "{error:?}");
    format!("{error:?}")
}

fn with_item(kind: &str, name: &str, sql: &str) -> impl FnOnce(&mut Value) {
    let item = item(100, "pre-data", kind, name, sql, &[]);
    move |contents| contents["items"].as_array_mut().unwrap().push(item)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_not_have_is_named() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let by = "postgres";
    let said = refused(server, by, |contents| contents["origin"]["server_version"] = json!(180_001)).await;
    assert!(said.contains("of PostgreSQL 18, and the server is of version 15"), "{said}");
    let said =
        refused(server, by, with_item("ACL", "TABLE t", "GRANT SELECT ON TABLE s.t TO \"No Body\";")).await;
    assert!(said.contains("no roles `No Body`"), "{said}");
    let said = refused(server, by, |contents| contents["database"]["owner"] = json!("nobody")).await;
    assert!(said.contains("no roles `nobody`") && said.contains("owners: none"), "{said}");
    let said = refused(server, by, with_item("EXTENSION", "nothing", "CREATE EXTENSION nothing;")).await;
    assert!(said.contains("no extensions `nothing`"), "{said}");
    let said = refused(server, by, |contents| contents["database"]["tablespace"] = json!("fast")).await;
    assert!(said.contains("no tablespaces `fast`"), "{said}");
    let said = refused(server, by, |contents| contents["database"]["collate"] = json!("xx_YY.UTF-8")).await;
    assert!(said.contains("no locale `xx_YY.UTF-8`"), "{said}");
    let said = refused(server, by, |contents| contents["database"]["encoding"] = json!("KLINGON")).await;
    assert!(said.contains("no encoding `KLINGON`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_login_may_not_do_is_named() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    server.batch(
        "postgres",
        "CREATE ROLE plan_weak LOGIN; CREATE ROLE plan_maker LOGIN CREATEDB; GRANT ALL ON DATABASE postgres TO PUBLIC",
    );
    let said = refused(server, "plan_weak", |_| {}).await;
    assert!(said.contains("may not make databases") && said.contains("CREATEDB"), "{said}");
    assert!(said.contains("no member of the owners `postgres`"), "{said}");
    let said =
        refused(server, "plan_maker", |contents| contents["database"]["owner"] = json!("plan_maker")).await;
    assert!(said.contains("does not own the database"), "{said}");
    let file_fdw = with_item("EXTENSION", "file_fdw", "CREATE EXTENSION file_fdw;");
    let said = refused(server, "plan_maker", file_fdw).await;
    assert!(said.contains("only a superuser can make the extensions `file_fdw`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_should_know_is_noted() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = live(server);
    server.batch("postgres", &format!("ALTER DATABASE {database} SET work_mem = '7MB'"));
    let _session = server.client(&database).await;
    // A server ends a session some time after its client has gone.
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'");
    while server.value("postgres", &sessions) != "1" {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let mut contents = contents();
    contents["roles"] = json!([{ "name": "plan_new", "sql": ["CREATE ROLE plan_new;"] }]);
    contents["tables"][0]["without_data"] = json!(true);
    contents["tables"][1]["bytes"] = json!(3_u64 << 30);
    let changes =
        changes(&setup(server, &database), archive(&contents), &StageContext::new(run())).await.unwrap();
    assert_eq!((changes.create, changes.replace, changes.remove), (2, 0, 1));
    assert_eq!(changes.removes, ["public.old"]);
    for expected in [
        "roles that are made, without passwords: `plan_new`",
        "sessions that are ended at the swap: 1 now",
        "settings of the database that are lost: `work_mem=7MB`",
        "the dump is without the rows of `s.t`",
        "the server needs room for 3072 MB of rows, besides indexes and its write-ahead log, and can't tell whether it has it",
    ] {
        assert!(changes.notes.iter().any(|note| note == expected), "{expected}: {:?}", changes.notes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_stop_the_swap_stops_the_plan() {
    let server = dumprestore_testkit::PostgresOptions::new(PostgresVersion::V15)
        .setting("max_prepared_transactions", "3")
        .start();
    let database = live(&server);
    let (setup, archive) = (setup(&server, &database), archive(&contents()));
    server.batch(&database, "BEGIN; INSERT INTO old VALUES (2); PREPARE TRANSACTION 'half'");
    let error = changes(&setup, archive.clone(), &StageContext::new(run())).await.unwrap_err();
    assert!(error.to_string().contains("transactions: half"), "{error:?}");
    server.batch(&database, "ROLLBACK PREPARED 'half'");
    let kept = format!("{database}.dumprestore-previous");
    server.batch("postgres", &format!("CREATE DATABASE \"{kept}\""));
    let error = changes(&setup, archive, &StageContext::new(run())).await.unwrap_err();
    assert!(error.to_string().contains(&kept), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_else_than_tables_would_be_lost_is_named_and_guarded() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = server.create_database();
    let setup = setup(server, &database);
    let plan = async |extras| {
        let cx = StageContext::new(run()).with_extras(extras);
        changes(&setup, archive(&contents()), &cx).await
    };
    // What the archive has too is nothing extra, nor is what an extension or a table brings.
    server.batch(
        &database,
        "CREATE SCHEMA s; CREATE TABLE s.t (a serial, b integer GENERATED ALWAYS AS IDENTITY); CREATE SEQUENCE s.q;
        CREATE EXTENSION citext; CREATE TYPE span AS RANGE (subtype = date)",
    );
    plan(Extras::Fail).await.unwrap();
    for (sql, expected) in [
        ("CREATE VIEW v AS SELECT 1 AS a", "view `public.v`"),
        ("CREATE MATERIALIZED VIEW m AS SELECT 1 AS a", "materialized view `public.m`"),
        ("CREATE SEQUENCE free", "sequence `public.free`"),
        (
            "CREATE FUNCTION f(integer, public.citext) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
            "routine `public.f(integer, public.citext)`",
        ),
        (
            "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w;
          CREATE FOREIGN TABLE ft (a integer) SERVER far",
            "foreign table `public.ft`",
        ),
        ("SELECT lo_create(0)", "1 large objects"),
    ] {
        server.batch(
            &database,
            &format!("DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE EXTENSION citext; {sql}"),
        );
        for extras in [Extras::Fail, Extras::Keep] {
            let error = plan(extras).await.expect_err(expected);
            assert!(format!("{error:?}").contains(expected), "{expected}: {error:?}");
        }
        let changes = plan(Extras::Remove).await.unwrap();
        let said = format!("removed as well, as the archive does not have it: {expected}");
        assert!(changes.notes.contains(&said), "{:?}", changes.notes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_said_to_stay_with_the_old_database() {
    let server = dumprestore_testkit::PostgresOptions::new(PostgresVersion::V15)
        .setting("wal_level", "logical")
        .start();
    let database = live(&server);
    server.batch(&database, "SELECT pg_create_logical_replication_slot('slot', 'test_decoding')");
    let (setup, archive) = (setup(&server, &database), archive(&contents()));
    let changes = changes(&setup, archive, &StageContext::new(run())).await.unwrap();
    let said = changes.notes.iter().find(|note| note.contains("`slot`")).unwrap();
    assert!(said.contains("kept as `:previous`, they hold the server's write-ahead log"), "{said}");
}
