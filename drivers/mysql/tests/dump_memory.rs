//! Memory does not grow with the database; alone in its program, for the peak is that of the process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod dump_support;

use dump_support::{config, dump_part, pinned};
use dumprestore_driver::Part;
use dumprestore_testkit::{MysqlOptions, MysqlServer, MysqlVersion};
use futures_util::TryStreamExt;

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

async fn dump_to_nowhere(server: &MysqlServer, database: &str) -> u64 {
    let mut source = pinned(config(&server.url(database))).await;
    let parts: Vec<Part> = source.parts().await.unwrap().try_collect().await.unwrap();
    let mut bytes = 0;
    for part in &parts {
        bytes += dump_part(&*source, part, false).await.unwrap().0.size;
    }
    source.release().await.unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_by_the_largest_row_and_not_by_the_table() {
    const MB: u64 = 1 << 20;
    let options = MysqlOptions::new(MysqlVersion::Mariadb10_11);
    let server = options.setting("max_allowed_packet", "1G").setting("innodb_log_file_size", "1G").start();
    let database = server.create_database();
    server.batch(
        &database,
        "CREATE TABLE t (n int PRIMARY KEY, a varchar(40));
         INSERT INTO t SELECT seq, md5(seq) FROM seq_1_to_3000000;
         CREATE TABLE heap AS SELECT seq, repeat(md5(seq), 8) AS x FROM seq_1_to_300000",
    );
    let bytes = dump_to_nowhere(&server, &database).await;
    assert!(bytes > 100 * MB);
    let peak = peak_mb();
    println!("tables of {} MB: peak {peak} MB", bytes / MB);
    assert!(peak < 60, "{peak} MB");
    server.batch(
        &database,
        "DROP TABLE t; DROP TABLE heap; CREATE TABLE t (n int PRIMARY KEY, x longblob);
         INSERT INTO t SELECT seq, repeat(x'00ff5c0a41424344', 12 * 1024 * 1024 + 512 * 1024) FROM seq_1_to_3",
    );
    assert!(dump_to_nowhere(&server, &database).await >= 300 * MB);
    let with_values = peak_mb();
    println!("values of 100 MB: peak {with_values} MB");
    assert!(with_values < 100 + 3 * 100, "{with_values} MB");
}
