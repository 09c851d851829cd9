//! Dumps of a hot standby.

use dumprestore_driver::{CutMode, ErrorKind};
use dumprestore_testkit::{PostgresServer, PostgresVersion, soon};

use crate::dump_support::{config, cut, dump, open};

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_dumped_and_what_it_does_not_have_is_told() {
    let primary = PostgresServer::start(PostgresVersion::V15);
    let standby = primary.standby();
    primary.batch(
        "postgres",
        "CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 500);
         CREATE UNLOGGED TABLE u AS SELECT 1 AS a",
    );
    let lsn = primary.value("postgres", "SELECT pg_current_wal_lsn()");
    soon("the standby has it", || {
        standby.value("postgres", &format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'")) == "t"
    });
    let dump = dump(config(&standby.url("postgres"))).await;
    assert_eq!(dump.rows_of("public", "t").len(), 500);
    assert!(dump.contents["sequences"][0]["last_value"].as_i64().unwrap() >= 500);
    assert_eq!(dump.table("public", "u")["without_data"], true);
    assert!(
        dump.ledger.iter().any(|entry| entry.degrades && entry.what.contains("public.u")),
        "{:?}",
        dump.ledger
    );

    let error = open(config(&standby.url("postgres"))).await.pin(&cut(CutMode::Locked)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
}
