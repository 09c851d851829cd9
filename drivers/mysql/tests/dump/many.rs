//! Tables that are cut into parts.

use dumprestore_testkit::{MysqlServer, MysqlVersion};

use crate::dump_support::{Dump, config, dump};

fn server() -> &'static MysqlServer {
    MysqlServer::shared(MysqlVersion::Mariadb10_11)
}

/// All values of the first column, in the order of the parts, with how many parts there are.
fn keys(dump: &Dump, table: &str) -> (usize, Vec<Vec<u8>>) {
    let parts = dump.table(table)["parts"].as_array().unwrap().len();
    let rows = dump.raw_rows_of(table);
    (parts, rows.iter().map(|row| row.split(|byte| *byte == b'\t').next().unwrap().to_vec()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_of_a_large_table_is_in_one_part_and_in_order() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE n (id bigint PRIMARY KEY, x text);
         INSERT INTO n SELECT IF(seq = 1, -9223372036854775808, IF(seq = 100000, 9223372036854775807, seq * 3)),
            repeat(md5(seq), 25) FROM seq_1_to_100000;
         CREATE TABLE s (id varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci, k int, x text, PRIMARY KEY (id, k));
         INSERT INTO s SELECT concat('ké', md5(seq div 3)), seq, repeat(md5(seq), 50) FROM seq_1_to_100000;
         CREATE TABLE b (id binary(16) PRIMARY KEY, x text);
         INSERT INTO b SELECT unhex(md5(seq)), repeat(md5(seq), 50) FROM seq_1_to_100000;
         CREATE TABLE d (id datetime, k int, x text, PRIMARY KEY (id, k));
         INSERT INTO d SELECT '2020-01-01' + INTERVAL seq HOUR, seq, repeat(md5(seq), 25) FROM seq_1_to_50000;
         CREATE TABLE p (id int, x text, PRIMARY KEY (id)) PARTITION BY HASH (id) PARTITIONS 5;
         INSERT INTO p SELECT seq, repeat(md5(seq), 25) FROM seq_1_to_100000;
         ANALYZE TABLE n, s, b, d, p",
    );
    let dump = dump(config(&server().url(&database))).await;
    for (table, count, least) in
        [("n", 100_000, 2), ("s", 100_000, 2), ("b", 100_000, 2), ("p", 100_000, 2), ("d", 50_000, 1)]
    {
        let (parts, mut keys) = keys(&dump, table);
        assert!(parts >= least, "{table} has {parts} parts");
        let rows = dump.raw_rows_of(table);
        assert_eq!(rows.len(), count, "{table}");
        let told: u64 = dump
            .rows
            .iter()
            .filter(|(name, _)| name.starts_with(&format!("data/{table}/")))
            .map(|(_, n)| n)
            .sum();
        assert_eq!(told, count as u64);
        if table == "n" {
            let numbers: Vec<i64> =
                keys.iter().map(|key| std::str::from_utf8(key).unwrap().parse().unwrap()).collect();
            assert!(numbers.is_sorted(), "{table} is not in order");
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), if table == "s" { count / 3 + 1 } else { count }, "{table}");
        let mut whole = rows;
        whole.sort();
        whole.dedup();
        assert_eq!(whole.len(), count, "{table} has rows twice");
    }
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_thousand_tables_is_dumped() {
    let database = server().create_database();
    let tables: String = (0..1000)
        .map(|n| format!("CREATE TABLE t{n} (a int) ENGINE = InnoDB; INSERT INTO t{n} VALUES ({n});"))
        .collect();
    server().batch(&database, &tables);
    let dump = dump(config(&server().url(&database))).await;
    assert_eq!(dump.names("tables").len(), 1000);
    assert_eq!(dump.rows_of("t999"), ["999"]);
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_dumped() {
    let database = server().create_database();
    let dump = dump(config(&server().url(&database))).await;
    assert_eq!((dump.parts.len(), dump.names("tables").len()), (1, 0));
    server().drop_database(&database);
}
