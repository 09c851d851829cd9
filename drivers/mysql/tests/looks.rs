//! What is found out by looking, before a run.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod dump_support;

use dump_support::{config, driver};
use dumprestore_driver::{Claim, Inspection, Problem, Severity};
use dumprestore_mysql::{MysqlConfig, NonTransactional};
use dumprestore_testkit::{MysqlOptions, MysqlServer, MysqlVersion};

fn server() -> &'static MysqlServer {
    MysqlServer::shared(MysqlVersion::Mariadb10_11)
}

async fn look(config: MysqlConfig) -> Inspection {
    driver(config).unwrap().inspect().await.unwrap()
}

/// The one problem whose message or hint has that in it.
fn about<'a>(inspection: &'a Inspection, text: &str) -> &'a Problem {
    let has = |problem: &&Problem| {
        problem.message.contains(text) || problem.hint.as_ref().is_some_and(|hint| hint.contains(text))
    };
    let found: Vec<_> = inspection.problems.iter().filter(has).collect();
    assert_eq!(found.len(), 1, "{text}: {:?}", inspection.problems);
    found[0]
}

fn login(name: &str, database: &str, rights: &str) -> String {
    let user = format!("{name}_{database}");
    server().batch("", &format!("CREATE USER {user}@'%'; GRANT {rights} ON {database}.* TO {user}@'%'"));
    server().url(database).replace("root@", &format!("{user}@"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_database_has_no_problems_and_tells_its_size() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        server.batch(
            &database,
            "CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT 1",
        );
        let inspection = look(config(&server.url(&database))).await;
        let serious: Vec<_> =
            inspection.problems.iter().filter(|problem| problem.severity > Severity::Warning).collect();
        assert!(serious.is_empty(), "{version:?}: {serious:?}");
        assert!(inspection.size.unwrap() > 0);
        assert!(!inspection.absent);
        let (major, minor) = (inspection.facts["server_version"].clone(), inspection.facts["login"].clone());
        assert!(major.contains('.') && minor.starts_with("root@"), "{:?}", inspection.facts);
        server.drop_database(&database);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_absent() {
    let inspection = look(config(&server().url("no_such_database"))).await;
    assert!(inspection.absent);
    assert_eq!(about(&inspection, "no_such_database").severity, Severity::NoDump);
    assert!(inspection.problems.iter().all(|problem| problem.severity <= Severity::NoDump));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_a_problem_and_no_error() {
    let inspection = look(config("mysql://root@127.0.0.1:1/x")).await;
    assert_eq!(inspection.problems[0].severity, Severity::Error);
    assert!(inspection.problems[0].hint.is_some());
    assert!(!inspection.absent);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_names_one_database_in_two_ways_claims_the_same() {
    let database = server().create_database();
    let tcp = look(config(&server().url(&database))).await;
    let socket = look(config(&server().socket_url(&database))).await;
    assert_eq!(tcp.claims, socket.claims);
    let other = MysqlServer::start(MysqlVersion::Mariadb10_11);
    other.batch("", &format!("CREATE DATABASE {database}"));
    assert_ne!(look(config(&other.url(&database))).await.claims, tcp.claims);
    assert!(
        matches!(&tcp.claims[..], [Claim::Name(name)] if name.starts_with("mysql://") && name.ends_with(&database))
    );
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_named() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE t (n int); CREATE VIEW v AS SELECT 1; CREATE PROCEDURE p() SELECT 1; CREATE TABLE old (n int) ENGINE = MyISAM",
    );
    let inspection = look(config(&login("little", &database, "SELECT"))).await;
    for (right, severity) in [
        ("`TRIGGER`", Severity::NoDump),
        ("`EVENT`", Severity::NoDump),
        ("`EXECUTE`", Severity::NoDump),
        ("`SHOW VIEW`", Severity::NoDump),
        ("may not lock them", Severity::NoDump),
        ("`RELOAD`", Severity::Warning),
        ("GRANT ALL", Severity::NoRestore),
    ] {
        assert_eq!(about(&inspection, right).severity, severity, "{right}");
    }
    let inspection =
        look(config(&login("blind", &database, "TRIGGER, EVENT, EXECUTE, SHOW VIEW, LOCK TABLES"))).await;
    assert_eq!(about(&inspection, "may not read `old`, `t`").severity, Severity::NoDump);
    assert_eq!(about(&inspection, "mysql.proc").severity, Severity::NoDump);
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_without_transactions_are_named() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE old (n int) ENGINE = MyISAM; CREATE TABLE t (n int)");
    let mut config = config(&server().url(&database));
    let inspection = look(config.clone()).await;
    assert_eq!(about(&inspection, "no transactions: `old`").severity, Severity::Warning);
    config.non_transactional = NonTransactional::Live;
    let inspection = look(config.clone()).await;
    assert!(about(&inspection, "`old`").hint.as_ref().unwrap().contains("degraded"));
    config.exclude_tables = vec!["old".to_owned()];
    let inspection = look(config).await;
    assert!(inspection.problems.is_empty(), "{:?}", inspection.problems);
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_fits_nothing_is_found() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE orders (n int)");
    let mut config = config(&server().url(&database));
    config.exclude_data = vec!["order".to_owned()];
    let inspection = look(config).await;
    assert_eq!(about(&inspection, "did you mean `orders`").severity, Severity::NoDump);
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_earlier_restores_have_left_is_told() {
    let database = server().create_database();
    let left = format!("{database}_dumprestore_new_00ff00ff");
    server().batch("", &format!("CREATE DATABASE {left}"));
    let inspection = look(config(&server().url(&database))).await;
    assert_eq!(about(&inspection, &left).severity, Severity::Warning);
    server().drop_database(&left);
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_reads_is_no_place_for_a_restore() {
    let server = MysqlOptions::new(MysqlVersion::Mariadb10_11).setting("local_infile", "OFF").start();
    let database = server.create_database();
    server.batch(
        "",
        &format!(
            "CREATE USER app@'%'; GRANT ALL ON {database}.* TO app@'%';
             GRANT ALL ON `{}\\_dumprestore\\_%`.* TO app@'%'; SET GLOBAL read_only = ON",
            database.replace('_', "\\_")
        ),
    );
    let inspection = look(config(&server.url(&database).replace("root@", "app@"))).await;
    assert_eq!(about(&inspection, "only reads").severity, Severity::NoRestore);
    assert_eq!(about(&inspection, "local_infile").severity, Severity::Warning);
    assert!(!inspection.problems.iter().any(|problem| problem.message.contains("makes databases")));
}

#[tokio::test(flavor = "multi_thread")]
async fn references_that_do_not_fit_are_found() {
    let database = server().create_database();
    server().batch(&database, "CREATE TABLE t (id int PRIMARY KEY, image varchar(20))");
    let driver = driver(config(&server().url(&database))).unwrap();
    driver.check_keys(&"SELECT image FROM t".into()).unwrap();
    driver.check_within(Some("t.id")).unwrap();
    assert!(driver.inspect().await.unwrap().problems.is_empty());
    driver.check_keys(&"SELECT picture FROM t".into()).unwrap();
    driver.check_within(Some("t.number")).unwrap();
    let inspection = driver.inspect().await.unwrap();
    let severities: Vec<_> = inspection.problems.iter().map(|problem| problem.severity).collect();
    assert_eq!(severities, [Severity::NoCertificate; 2], "{:?}", inspection.problems);
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_to_rows_that_are_left_out_are_named() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE parent (id int PRIMARY KEY);
         CREATE TABLE child (p int, CONSTRAINT of_parent FOREIGN KEY (p) REFERENCES parent (id))",
    );
    let mut config = config(&server().url(&database));
    assert!(look(config.clone()).await.problems.is_empty());
    config.exclude_data = vec!["parent".to_owned()];
    assert_eq!(about(&look(config.clone()).await, "`child.of_parent`").severity, Severity::Warning);
    config.exclude_data.push("child".to_owned());
    assert!(look(config).await.problems.is_empty());
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_query_of_keys_runs_no_function_that_writes() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        server.batch("", "SET GLOBAL log_bin_trust_function_creators = ON");
        server.batch(
            &database,
            "CREATE TABLE log (n int);
             CREATE FUNCTION f() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO log VALUES (1); RETURN 1; END",
        );
        let driver = driver(config(&server.url(&database))).unwrap();
        driver.check_keys(&"SELECT f() AS id".into()).unwrap();
        driver.inspect().await.unwrap();
        assert!(server.rows(&database, "SELECT * FROM log").is_empty(), "{version:?}");
        server.drop_database(&database);
    }
}
