//! Logins that are no superusers, and archives that superusers made.

use std::sync::Arc;

use dumprestore_postgres::{Policy, PostgresConfig};
use dumprestore_testkit::{PostgresServer, PostgresVersion, StoredNode};

use crate::support::{config, dump, plan, told, try_restore, try_restore_in_place};

fn by(server: &PostgresServer, login: &str, database: &str) -> PostgresConfig {
    PostgresConfig::new(format!("postgres://{login}@127.0.0.1:{}/{database}", server.port()))
}

async fn planned(archived: &Arc<StoredNode>, target: PostgresConfig) -> String {
    plan(archived, target).await.err().map(|error| told(&error)).unwrap_or_default()
}

fn subscription(options: &str) -> String {
    format!(
        "CREATE SUBSCRIPTION feed CONNECTION 'host=p user=repl {options}' PUBLICATION p \
         WITH (connect = false, slot_name = NONE)"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_the_login_can_t_make_is_found_by_the_plan() {
    for (version, may) in [(PostgresVersion::V15, false), (PostgresVersion::V16, true)] {
        let server = PostgresServer::start(version);
        server.batch("postgres", "CREATE ROLE login LOGIN CREATEDB");
        server.batch("postgres", "CREATE DATABASE one OWNER login");
        server.batch("one", "ALTER SCHEMA public OWNER TO login");
        server.batch("one", &subscription("password=Sesame"));
        let folder = tempfile::tempdir().unwrap();
        let archived = dump(config(&server, "one"), folder.path()).await;
        let target = || {
            let mut target = by(&server, "login", "two");
            target.owners = Policy::None;
            target
        };
        let said = planned(&archived, target()).await;
        assert!(said.contains("can't make the subscriptions `feed`") && !said.contains("Sesame"), "{said}");
        if may {
            server.batch("postgres", "GRANT pg_create_subscription TO login");
            assert_eq!(planned(&archived, target()).await, "");
            try_restore(&archived, target()).await.unwrap_or_else(|error| panic!("{}", told(&error)));
            server.batch("one", "DROP SUBSCRIPTION feed");
            server.batch("one", &subscription(""));
            let folder = tempfile::tempdir().unwrap();
            let archived = dump(config(&server, "one"), folder.path()).await;
            let said = planned(&archived, target()).await;
            assert!(said.contains("can't make the subscriptions `feed`"), "{said}");
        }
    }
}

/// Such a login is not asked what it may do, and may not do everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_fails_does_not_tell_the_passwords_in_it() {
    let server = PostgresServer::start(PostgresVersion::V15);
    server.batch("postgres", "CREATE ROLE login LOGIN CREATEDB; CREATE ROLE rds_superuser ROLE login");
    let connection = "'password=Sesame'";
    for (definition, kind) in [
        (subscription("password=Sesame"), "SUBSCRIPTION"),
        (
            "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w OPTIONS (password 'Sesame');
             REVOKE ALL ON FOREIGN DATA WRAPPER w FROM PUBLIC"
                .to_owned(),
            "FOREIGN DATA WRAPPER",
        ),
        (
            format!(
                "CREATE FUNCTION login(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
                    'BEGIN IF current_user <> ''postgres'' THEN RAISE ''no''; END IF; RETURN $1; END';
                 CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE INDEX i ON t (public.login({connection}))"
            ),
            "INDEX",
        ),
    ] {
        let database = server.create_database();
        server.batch(&database, &definition);
        let folder = tempfile::tempdir().unwrap();
        let archived = dump(config(&server, &database), folder.path()).await;
        let mut target = by(&server, "login", &format!("{database}_copy"));
        target.owners = Policy::None;
        let Err(error) = try_restore(&archived, target).await else { panic!("{kind} was made") };
        let said = format!("{} {error:?}", told(&error));
        assert!(said.contains(kind) && !said.contains("Sesame"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosted_server_s_administrator_is_not_kept_from_making_extensions() {
    let server = PostgresServer::start(PostgresVersion::V15);
    server.batch("postgres", "CREATE ROLE login LOGIN CREATEDB; CREATE ROLE cloudsqlsuperuser");
    server.batch("postgres", "CREATE DATABASE one OWNER login");
    server.batch("one", "ALTER SCHEMA public OWNER TO login; CREATE EXTENSION file_fdw");
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(&server, "one"), folder.path()).await;
    let mut target = by(&server, "login", "two");
    target.owners = Policy::None;
    let said = planned(&archived, target.clone()).await;
    assert!(said.contains("only a superuser can make the extensions `file_fdw`"), "{said}");
    server.batch("postgres", "GRANT cloudsqlsuperuser TO login");
    assert_eq!(planned(&archived, target).await, "");
}

/// Owner and privileges of a database.
fn rights(server: &PostgresServer, database: &str) -> String {
    let asked = "SELECT pg_get_userbyid(datdba) || ' ' || (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM \
        unnest(datacl) a) FROM pg_database WHERE datname";
    server.value("postgres", &format!("{asked} = '{database}'"))
}

#[tokio::test(flavor = "multi_thread")]
async fn privileges_of_a_database_survive_under_another_owner() {
    let server = PostgresServer::start(PostgresVersion::V15);
    server.batch(
        "postgres",
        "CREATE ROLE app; CREATE ROLE other; CREATE ROLE reader; CREATE ROLE login LOGIN CREATEDB",
    );
    server.batch("postgres", "CREATE DATABASE shop OWNER app");
    server.batch(
        "postgres",
        "REVOKE ALL ON DATABASE shop FROM PUBLIC; GRANT CONNECT ON DATABASE shop TO reader",
    );
    server.batch("shop", "CREATE TABLE t (a int)");
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(config(&server, "shop"), folder.path()).await;
    let restore = async |login: &str, database: &str, owners, privileges| {
        let mut target = by(&server, login, database);
        (target.owners, target.privileges) = (owners, privileges);
        try_restore(&archived, target).await.unwrap_or_else(|error| panic!("{}", told(&error)));
        rights(&server, database)
    };
    let found = restore("login", "new", Policy::None, Policy::Keep).await;
    assert_eq!(found, "login login=CTc/login reader=c/login");
    server.batch("postgres", "CREATE DATABASE live OWNER other");
    server.batch("postgres", "REVOKE TEMPORARY ON DATABASE live FROM PUBLIC");
    let found = restore("postgres", "live", Policy::Keep, Policy::None).await;
    assert_eq!(found, "app =c/app app=CTc/app");
    server.batch("postgres", "ALTER DATABASE live OWNER TO other");
    let found = restore("postgres", "live", Policy::None, Policy::Keep).await;
    assert_eq!(found, "other other=CTc/other reader=c/other");
    let mut target = by(&server, "login", "new");
    target.owners = Policy::None;
    let ledger =
        try_restore_in_place(&archived, target).await.unwrap_or_else(|error| panic!("{}", told(&error)));
    assert!(ledger.iter().all(|entry| !entry.degrades), "{ledger:?}");
    assert_eq!(rights(&server, "new"), "login login=CTc/login reader=c/login");
    // The archived owner need not be there.
    server.batch("postgres", "DROP DATABASE shop");
    server.batch("postgres", "DROP ROLE app");
    let found = restore("login", "new", Policy::None, Policy::Keep).await;
    assert_eq!(found, "login login=CTc/login reader=c/login");
    let mut target = by(&server, "login", "new");
    target.owners = Policy::None;
    let restored = try_restore_in_place(&archived, target).await;
    let ledger = restored.unwrap_or_else(|error| panic!("{}", told(&error)));
    assert!(ledger.iter().all(|entry| !entry.degrades), "{ledger:?}");
    assert_eq!(rights(&server, "new"), "login login=CTc/login reader=c/login");
}
