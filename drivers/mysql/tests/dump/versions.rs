//! Every kind of server that is there.

use dumprestore_driver::CutMode;
use dumprestore_testkit::{MysqlFamily, MysqlServer, MysqlVersion};

use crate::dump_support::{Dump, config, cut, dump, open};

/// What both families know, and all versions.
const COMMON: &str = "
    CREATE TABLE parent (id int PRIMARY KEY, f float, d double, b bit(9), t varchar(20) CHARACTER SET latin1, j json,
        g int GENERATED ALWAYS AS (id + 1) STORED, e enum('a','b'), p point, at timestamp NULL);
    INSERT INTO parent (id, f, d, b, t, j, e, p, at) VALUES
        (1, 16777216, 0.1, b'100000001', 'é', '{\"a\": 1}', 'b', POINT(1, 2), '2024-01-02 03:04:05'),
        (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE child (id varchar(30) CHARACTER SET utf8mb4 PRIMARY KEY, p int,
        CONSTRAINT one FOREIGN KEY (p) REFERENCES parent (id));
    INSERT INTO child VALUES ('x', 1);
    CREATE TABLE old (n int) ENGINE = MyISAM;
    INSERT INTO old VALUES (5);
    CREATE VIEW v AS SELECT id FROM child;
    CREATE TRIGGER g BEFORE INSERT ON child FOR EACH ROW SET NEW.p = NULL;
    CREATE PROCEDURE p() SELECT 1;
    CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1;
    CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1";

fn form<'a>(dump: &'a Dump, table: &str, column: &str) -> &'a str {
    let columns = dump.table(table)["columns"].as_array().unwrap();
    columns.iter().find(|found| found["name"] == column).unwrap()["form"].as_str().unwrap_or("bytes")
}

async fn everything_is_there(version: MysqlVersion) {
    let server = MysqlServer::shared(version);
    let database = server.create_database();
    server.batch(&database, COMMON);
    let dump = dump(config(&server.url(&database))).await;
    assert_eq!(dump.names("tables"), ["child", "old", "parent"]);
    assert_eq!(dump.names("views"), ["v"]);
    assert_eq!(dump.names("routines"), ["f", "p"]);
    assert_eq!((dump.names("triggers"), dump.names("events")), (vec!["g".to_owned()], vec!["e".to_owned()]));
    let rows = dump.raw_rows_of("parent");
    let fields: Vec<&[u8]> = rows[0].split(|byte| *byte == b'\t').collect();
    assert_eq!(fields[..5], [&b"1"[..], b"16777216", b"0.1", b"\x01\x01", b"\xe9"]);
    assert_eq!(
        (fields[5], fields[6], fields[8]),
        (&b"{\"a\": 1}"[..], &b"b"[..], &b"2024-01-02 03:04:05"[..])
    );
    assert_eq!(rows[1].split(|byte| *byte == b'\t').filter(|field| *field == b"\\N").count(), 8);
    assert_eq!((dump.rows_of("child"), dump.rows_of("old")), (vec!["x\t1".to_owned()], vec!["5".to_owned()]));
    let mysql = version.family() == MysqlFamily::Mysql;
    assert_eq!(form(&dump, "parent", "j"), if mysql { "text" } else { "bytes" });
    // A statement of another test may run for long.
    let cuts: &[&str] = if mysql { &["flush_tables", "lock_tables"] } else { &["backup_stage"] };
    assert!(cuts.contains(&dump.facts["cut"].as_str()), "{:?}", dump.facts);
    let child = dump.table("child");
    assert_eq!(child["foreign_keys"][0]["to_columns"][0], "id");
    assert!(!child["create"].as_str().unwrap().contains(&database));
    let mut source = open(config(&server.url(&database))).await;
    source.pin(&cut(CutMode::Locked)).await.unwrap();
    source.unlock().await.unwrap();
    source.release().await.unwrap();
    server.drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_10_5_is_dumped() {
    everything_is_there(MysqlVersion::Mariadb10_5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_10_11_is_dumped() {
    everything_is_there(MysqlVersion::Mariadb10_11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_11_8_is_dumped() {
    everything_is_there(MysqlVersion::Mariadb11_8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_9_7_is_dumped() {
    everything_is_there(MysqlVersion::Mysql9_7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_past_are_lost_where_a_server_does_not_take_them_back_which_is_told() {
    let server = MysqlServer::shared(MysqlVersion::Mariadb10_5);
    let database = server.create_database();
    server.batch(
        &database,
        "CREATE TABLE t (a int PRIMARY KEY) WITH SYSTEM VERSIONING; INSERT INTO t VALUES (1), (2); DELETE FROM t WHERE a = 1",
    );
    let dump = dump(config(&server.url(&database))).await;
    assert_eq!(dump.rows_of("t"), ["2"]);
    assert_eq!(dump.table("t")["history"], "lost");
    assert!(dump.told_of("t").unwrap().1);
    server.drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_that_a_server_does_not_tell_is_told_of() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        server.batch(
            &database,
            "CREATE TABLE t (a varchar(10) DEFAULT '😀', b varchar(10) DEFAULT '?', c varchar(10) DEFAULT 'é') CHARACTER SET utf8mb4",
        );
        let dump = dump(config(&server.url(&database))).await;
        let told = dump.table("t")["create"].as_str().unwrap().contains('😀');
        assert_eq!(dump.told_of("t.a").is_some_and(|(_, degrades)| degrades), !told, "{version:?}");
        assert!(dump.told_of("t.b").is_none() && dump.told_of("t.c").is_none());
        server.drop_database(&database);
    }
}
