//! Tables and views that are not as most are.

use dumprestore_testkit::{MysqlServer, MysqlVersion};

use crate::dump_support::{config, dump};

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_calls_a_function_which_writes_is_dumped_and_not_run() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        server.batch("", "SET GLOBAL log_bin_trust_function_creators = ON");
        server.batch(
            &database,
            "CREATE TABLE log (n int);
             CREATE FUNCTION f() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO log VALUES (1); RETURN 1; END",
        );
        server.batch(&database, "CREATE VIEW v AS SELECT f() AS n; CREATE VIEW w AS SELECT n FROM v");
        let dump = dump(config(&server.url(&database))).await;
        assert_eq!(dump.names("views"), ["v", "w"]);
        assert_eq!(dump.named("views", "v").unwrap().get("broken"), None, "{version:?}");
        assert!(dump.rows_of("log").is_empty());
        assert!(server.rows(&database, "SELECT * FROM log").is_empty(), "{version:?}");
        server.drop_database(&database);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_generated_columns_has_as_many_rows_as_before() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        server.batch(
            &database,
            "CREATE TABLE g (a int AS (1) VIRTUAL, b int AS (2) STORED); INSERT INTO g VALUES (), (), ()",
        );
        let dump = dump(config(&server.url(&database))).await;
        assert_eq!(dump.raw_rows_of("g"), [b"", b"", b""], "{version:?}");
        server.drop_database(&database);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_member_of_an_enum_is_told_from_an_empty_one() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        server.batch(
            &database,
            "SET sql_mode = '';
             CREATE TABLE t (id int PRIMARY KEY, e enum('a', '') CHARACTER SET utf8mb4, plain enum('a'));
             INSERT INTO t VALUES (1, 0, 0), (2, '', ''), (3, 'a', 'a'), (4, NULL, NULL)",
        );
        let dump = dump(config(&server.url(&database))).await;
        let rows = ["1\tno member 1\t", "2\t\t", "3\ta\ta", "4\t\\N\t\\N"];
        assert_eq!(dump.rows_of("t"), rows, "{version:?}");
        server.drop_database(&database);
    }
}

/// As if it were large: 999 rows with keys `k` of that type.
fn large(server: &MysqlServer, key: &str, value: &str) -> String {
    let database = server.create_database();
    server.batch(
        &database,
        &format!(
            "CREATE TABLE t (k {key} PRIMARY KEY) STATS_PERSISTENT = 1 STATS_AUTO_RECALC = 0;
             INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
                 SELECT {value} FROM n;
             UPDATE mysql.innodb_table_stats SET n_rows = 999, clustered_index_size = 20000
                 WHERE database_name = '{database}' AND table_name = 't';
             FLUSH TABLE t"
        ),
    );
    database
}

async fn is_cut(server: &MysqlServer, key: &str, value: &str) {
    let database = large(server, key, value);
    let dump = dump(config(&server.url(&database))).await;
    let parts = dump.table("t")["parts"].as_array().unwrap().len();
    assert!(parts > 2, "{:?}: {parts}", server.version());
    let largest = dump.rows.values().max().unwrap();
    assert!(*largest < 999 * 2 / 3, "{:?}: {:?}", server.version(), dump.rows);
    let rows = dump.rows_of("t");
    assert_eq!(rows.len(), 999);
    assert!(rows.windows(2).all(|two| two[0] != two[1]));
    server.drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_cut_along_a_key_of_three_byte_characters() {
    let server = MysqlServer::shared(MysqlVersion::Mysql9_7);
    is_cut(server, "varchar(20) CHARACTER SET utf8mb3", "CONCAT('ké', i)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_cut_along_a_key_of_numbers_also_where_they_lie_unevenly() {
    let server = MysqlServer::shared(MysqlVersion::Mysql9_7);
    is_cut(server, "int", "i").await;
    is_cut(server, "bigint", "i * i * i").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_key_that_a_server_made_is_dumped_also_where_it_does_not_show_it() {
    let server = MysqlServer::start(MysqlVersion::Mysql9_7);
    let database = server.create_database();
    server.batch(
        &database,
        "SET sql_generate_invisible_primary_key = ON; CREATE TABLE t (n int); INSERT INTO t VALUES (7), (8);
         SET GLOBAL show_gipk_in_create_table_and_information_schema = OFF",
    );
    let dump = dump(config(&server.url(&database))).await;
    assert_eq!(dump.rows_of("t"), ["1\t7", "2\t8"]);
    assert!(dump.table("t")["create"].as_str().unwrap().contains("my_row_id"));
    server.drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_of_mysql_are_told_to_be_missing() {
    let server = MysqlServer::shared(MysqlVersion::Mysql9_7);
    let database = server.create_database();
    server.batch(
        &database,
        "CREATE LIBRARY lib LANGUAGE JAVASCRIPT AS $$ export function f(n) { return n } $$; CREATE TABLE t (n int)",
    );
    let with = dump(config(&server.url(&database))).await;
    assert!(with.told_of("lib").expect("it is told of").1);
    let mut config = config(&server.url(&database));
    config.routines = false;
    assert_eq!(dump(config).await.told_of("lib"), None);
    server.drop_database(&database);
}
