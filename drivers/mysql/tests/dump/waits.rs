//! Who waits for a dump, and for what a dump waits.

use dumprestore_driver::CutMode;
use dumprestore_testkit::{MysqlOptions, MysqlServer, MysqlVersion};

use crate::dump_support::{config, cut, dump, open};

#[tokio::test(flavor = "multi_thread")]
async fn no_session_is_ended_while_other_nodes_take_their_time_after_the_cut() {
    let server = MysqlOptions::new(MysqlVersion::Mysql9_7).setting("performance_schema", "ON").start();
    let database = server.create_database();
    server.batch(&database, "CREATE TABLE t (n int)");
    for mode in [CutMode::Open, CutMode::Locked] {
        let mut source = open(config(&server.url(&database))).await;
        source.pin(&cut(mode)).await.unwrap();
        source.unlock().await.unwrap();
        // Who is silent for longer is ended by the server.
        let asked = format!(
            "SELECT MIN(CAST(variable_value AS UNSIGNED)), COUNT(*) FROM performance_schema.variables_by_thread
             JOIN performance_schema.threads USING (thread_id)
             WHERE variable_name = 'wait_timeout' AND processlist_db = '{database}'"
        );
        let told = server.rows("", &asked).remove(0);
        assert!(told[1].as_deref().unwrap().parse::<u32>().unwrap() > 1, "{told:?}");
        assert!(told[0].as_deref().unwrap().parse::<u32>().unwrap() >= 86_400, "{mode:?}: {told:?}");
        source.release().await.unwrap();
    }
    server.drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_do_not_wait_while_a_table_of_deleted_rows_is_gone_over() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let server = &MysqlServer::start(version);
        let database = server.create_database();
        server.batch(
            &database,
            "CREATE TABLE t (n int PRIMARY KEY, x char(50)); CREATE TABLE digits (d int); INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
             INSERT INTO t SELECT a.d + b.d * 10 + c.d * 100 + d.d * 1000 + e.d * 10000 + f.d * 100000, 'x'
                 FROM digits a, digits b, digits c, digits d, digits e, digits f",
        );
        // As long as somebody could see them, they stay.
        let client = mysql_async::Opts::from_url(&server.url(&database)).unwrap();
        let mut old = mysql_async::Conn::new(client).await.unwrap();
        let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT";
        mysql_async::prelude::Queryable::query_drop(&mut old, begin).await.unwrap();
        server.batch(&database, "DELETE FROM t");
        let since = std::time::Instant::now();
        server.batch(&database, "SELECT 1 FROM t USE INDEX () LIMIT 1");
        let gone_over = since.elapsed().as_millis();
        let dump = dump(config(&server.url(&database))).await;
        assert!(dump.rows_of("t").is_empty());
        let waited: u128 = dump.facts["writers_waited_ms"].parse().unwrap();
        assert!(waited < gone_over, "{version:?}: {waited} ms of {gone_over} ms");
        old.disconnect().await.unwrap();
    }
}
