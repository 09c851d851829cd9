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
use dumprestore_testkit::{PostgresServer, PostgresVersion};
use futures_util::TryStreamExt;

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

async fn dump_to_nowhere(server: &PostgresServer) -> u64 {
    let mut source = pinned(config(&server.url("postgres"))).await;
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
    let server = PostgresServer::start(PostgresVersion::V15);
    server.batch(
        "postgres",
        "CREATE TABLE t AS SELECT n, repeat(md5(n::text), 8) FROM generate_series(1, 500000) n",
    );
    let bytes = dump_to_nowhere(&server).await;
    assert!(bytes > 100 * MB);
    let peak = peak_mb();
    println!("a table of {} MB: peak {peak} MB", bytes / MB);
    assert!(peak < 100, "{peak} MB");
    server.batch(
        "postgres",
        "DROP TABLE t; CREATE TABLE t AS SELECT repeat('0123456789', 10 * 1024 * 1024) AS x FROM generate_series(1, 3)",
    );
    assert!(dump_to_nowhere(&server).await >= 300 * MB);
    let with_values = peak_mb();
    println!("values of 100 MB: peak {with_values} MB");
    assert!(with_values < 100 + 3 * 100, "{with_values} MB");
}
