//! Definitions that a server does not show as others need them.

use dumprestore_testkit::{MysqlServer, MysqlVersion};

use crate::dump_support::{config, dump};

const OF_MARIADB: [MysqlVersion; 3] =
    [MysqlVersion::Mariadb10_5, MysqlVersion::Mariadb10_11, MysqlVersion::Mariadb11_8];

/// Of views that read another database as well, MariaDB names their own.
#[tokio::test(flavor = "multi_thread")]
async fn no_view_names_its_own_database() {
    for version in OF_MARIADB {
        let server = MysqlServer::shared(version);
        let (database, other) = (server.create_database(), server.create_database());
        server.batch(&other, "CREATE TABLE c (id int)");
        server.batch(
            &database,
            &format!(
                "CREATE TABLE t (id int); CREATE TABLE a (id int); CREATE SEQUENCE s;
                 CREATE VIEW mix AS SELECT t.id FROM t JOIN {other}.c ON c.id = t.id;
                 CREATE VIEW of_mix AS SELECT * FROM mix;
                 CREATE VIEW of_a AS SELECT a.id FROM {other}.c JOIN a WHERE EXISTS (SELECT 1 FROM a);
                 CREATE VIEW counted AS SELECT NEXTVAL(s) AS n"
            ),
        );
        let whole = dump(config(&server.url(&database))).await;
        assert_eq!(whole.names("views"), ["counted", "mix", "of_a", "of_mix"]);
        for name in whole.names("views") {
            let create = whole.named("views", &name).unwrap()["create"].as_str().unwrap().to_owned();
            assert!(!create.contains(&database), "{version:?}: {create}");
            assert_eq!(
                create.contains(&format!("`{other}`.`c`")),
                name == "mix" || name == "of_a",
                "{create}"
            );
        }
        let mut some = config(&server.url(&database));
        some.exclude_tables = vec!["t".to_owned()];
        assert_eq!(dump(some).await.names("views"), ["counted", "of_a"], "{version:?}");
        server.drop_database(&database);
        server.drop_database(&other);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_with_decimals_of_its_own_is_read_with_all_of_its_digits() {
    for version in MysqlVersion::ALL {
        let server = MysqlServer::shared(version);
        let database = server.create_database();
        server.batch(
            &database,
            "SET sql_mode = ''; CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, d double(30, 3), w double(20, 12), f float(20, 4));
             INSERT INTO t (d, w, f)
                 WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 900)
                 SELECT RAND(n) * POW(10, n % 30), RAND(n + 7) * POW(10, n % 8), RAND(n) * POW(10, n % 16) FROM s;
             CREATE TABLE back LIKE t",
        );
        let dump = dump(config(&server.url(&database))).await;
        let rows =
            dump.rows_of("t").iter().map(|row| format!("({})", row.replace('\t', ","))).collect::<Vec<_>>();
        server.batch(&database, &format!("SET sql_mode = ''; INSERT INTO back VALUES {}", rows.join(",")));
        let other = "SELECT COUNT(*) FROM t JOIN back USING (id) WHERE t.d <> back.d OR t.w <> back.w OR t.f <> back.f";
        assert_eq!(server.value(&database, other), "0", "{version:?}");
        server.drop_database(&database);
    }
}
