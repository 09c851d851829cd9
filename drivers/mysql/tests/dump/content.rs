//! What a dump holds.

use dumprestore_testkit::{MysqlServer, MysqlVersion};

use crate::dump_support::{config, dump};

fn server() -> &'static MysqlServer {
    MysqlServer::shared(MysqlVersion::Mariadb10_11)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_every_type_are_exact() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE t (
            id int PRIMARY KEY, tiny tinyint unsigned, big bigint unsigned, dec_ decimal(65,30), f float, d double,
            bits bit(11), txt varchar(50) CHARACTER SET utf8mb4, l1 varchar(20) CHARACTER SET latin1,
            bin varbinary(300), e enum('a','b'), s set('x','y'), dt datetime(6), ts timestamp NULL, y year,
            u uuid, ip inet6, pt point, j json,
            g int AS (id + 1) VIRTUAL, gs int AS (id + 2) STORED, hidden int INVISIBLE DEFAULT 7);
         SET sql_mode = '', time_zone = '+05:00';
         INSERT INTO t (id, tiny, big, dec_, f, d, bits, txt, l1, bin, e, s, dt, ts, y, u, ip, pt, j) VALUES
            (1, 255, 18446744073709551615, -0.1, 16777217, 1e0 / 3, b'10100000001', 'tab\\tline\\nback\\\\é😀', 'é',
             x'00ff0a5c09', 'c', 'x,y', '0000-00-00 00:00:00', '2024-01-02 03:04:05', 0,
             '123e4567-e89b-12d3-a456-426655440000', '::ffff:1.2.3.4', POINT(1, 2), '{\"a\":1}'),
            (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', '', NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    );
    let dump = dump(config(&server().url(&database))).await;
    let rows = dump.raw_rows_of("t");
    let fields: Vec<&[u8]> = rows[0].split(|byte| *byte == b'\t').collect();
    let wanted: [&[u8]; 20] = [
        b"1",
        b"255",
        b"18446744073709551615",
        b"-0.100000000000000000000000000000",
        b"16777216",
        b"0.3333333333333333",
        b"\x05\x01",
        "tab\\tline\\nback\\\\é😀".as_bytes(),
        b"\xe9",
        b"\\0\xff\\n\\\\\\t",
        b"",
        b"x,y",
        b"0000-00-00 00:00:00.000000",
        b"2024-01-01 22:04:05",
        b"0000",
        b"123e4567-e89b-12d3-a456-426655440000",
        b"::ffff:1.2.3.4",
        b"\\0\\0\\0\\0\x01\x01\\0\\0\\0\\0\\0\\0\\0\\0\\0\xf0\x3f\\0\\0\\0\\0\\0\\0\\0@",
        b"{\"a\":1}",
        b"7",
    ];
    assert_eq!(fields, wanted);
    let nulls = b"2".iter().chain(b"\t\\N".repeat(7).iter()).copied().collect::<Vec<_>>();
    assert!(rows[1].starts_with(&nulls), "{}", rows[1].escape_ascii());
    assert!(rows[1].ends_with(b"\t7"));
    let columns = dump.table("t")["columns"].as_array().unwrap();
    let form = |name: &str| columns.iter().find(|column| column["name"] == name).unwrap()["form"].clone();
    assert_eq!((form("u"), form("ip"), form("txt").is_null()), ("text".into(), "text".into(), true));
    assert!(!columns.iter().any(|column| column["name"] == "g" || column["name"] == "gs"));
    assert_eq!(dump.rows.values().sum::<u64>(), 2);
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_database_holds_is_in_its_contents() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE parent (id int PRIMARY KEY);
         CREATE TABLE child (id int AUTO_INCREMENT PRIMARY KEY, p int, q int,
            CONSTRAINT one FOREIGN KEY (p) REFERENCES parent (id)) AUTO_INCREMENT = 77;
         CREATE VIEW v AS SELECT * FROM child;
         CREATE VIEW broken AS SELECT * FROM parent;
         CREATE TABLE gone (a int); CREATE OR REPLACE VIEW broken AS SELECT a FROM gone; DROP TABLE gone;
         CREATE SEQUENCE sq START WITH 5 CACHE 10; SELECT NEXTVAL(sq);
         CREATE TRIGGER z BEFORE INSERT ON child FOR EACH ROW SET NEW.q = 1;
         CREATE TRIGGER a BEFORE INSERT ON child FOR EACH ROW FOLLOWS z SET NEW.q = 2;
         SET sql_mode = 'ANSI_QUOTES';
         CREATE PROCEDURE p() SELECT \"id\" FROM \"child\";
         CREATE FUNCTION f() RETURNS int RETURN 1;
         CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1;
         CREATE TABLE versioned (a int PRIMARY KEY) WITH SYSTEM VERSIONING;
         INSERT INTO versioned VALUES (1), (2); DELETE FROM versioned WHERE a = 1",
    );
    let dump = dump(config(&server().url(&database))).await;
    assert_eq!(dump.names("tables"), ["child", "parent", "versioned"]);
    assert_eq!(dump.names("views"), ["broken", "v"]);
    assert_eq!(dump.named("views", "broken").unwrap()["broken"], true);
    assert_eq!(dump.told_of("broken").map(|told| told.1), Some(false));
    assert_eq!(dump.names("triggers"), ["z", "a"]);
    assert_eq!(dump.names("routines"), ["f", "p"]);
    assert_eq!(dump.names("events"), ["e"]);
    let p = dump.named("routines", "p").unwrap();
    assert_eq!(p["made"]["sql_mode"], "ANSI_QUOTES");
    assert!(p["made"]["definer"].as_str().unwrap().starts_with("`root`@`"), "{p}");
    assert!(!p["create"].as_str().unwrap().contains(&database));
    let child = dump.table("child");
    assert!(child["create"].as_str().unwrap().contains("AUTO_INCREMENT=77"));
    assert_eq!(child["foreign_keys"][0]["to_table"], "parent");
    assert_eq!(dump.named("sequences", "sq").unwrap()["next_value"], "15");
    assert_eq!(dump.table("versioned")["history"], "kept");
    assert_eq!(dump.rows_of("versioned").len(), 2);
    assert_eq!(dump.contents["held"]["all_tables"], true);
    assert_eq!(dump.contents["origin"]["family"], "mariadb");
    assert_eq!(dump.facts["cut"], "backup_stage");
    server().drop_database(&database);
}
