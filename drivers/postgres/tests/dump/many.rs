//! Many tables.

use std::time::Instant;

use dumprestore_driver::CutMode;
use dumprestore_testkit::{PostgresOptions, PostgresVersion};

use crate::dump_support::{config, cut, dump, open};

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tables_are_pinned_and_listed() {
    let server =
        PostgresOptions::new(PostgresVersion::V15).setting("max_locks_per_transaction", "1024").start();
    for block in 0..10 {
        server.batch(
            "postgres",
            &format!(
                "DO $$ BEGIN FOR n IN {}..{} LOOP
                     EXECUTE format('CREATE TABLE t%s (a int, b text, c date)', n);
                 END LOOP; END $$",
                block * 1000 + 1,
                (block + 1) * 1000
            ),
        );
    }
    let mut source = open(config(&server.url("postgres"))).await;
    let since = Instant::now();
    source.pin(&cut(CutMode::Open)).await.unwrap();
    println!("10,000 tables pinned in {:?}", since.elapsed());
    let since = Instant::now();
    let parts: Vec<_> = futures_util::TryStreamExt::try_collect(source.parts().await.unwrap()).await.unwrap();
    println!("and listed in {:?}", since.elapsed());
    assert_eq!(parts.len(), 1, "tables without a row have no part");
    source.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_dumped() {
    let server = dumprestore_testkit::PostgresServer::shared(PostgresVersion::V15);
    let database = server.create_database();
    let dump = dump(config(&server.url(&database))).await;
    assert_eq!(dump.contents["database"]["name"], database.as_str());
    assert_eq!(dump.contents["tables"].as_array().unwrap().len(), 0);
    assert_eq!(dump.contents["whole"], true);
    assert_eq!(dump.ledger, []);
    server.drop_database(&database);
}
