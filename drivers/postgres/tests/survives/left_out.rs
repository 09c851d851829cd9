//! What refers to rows that are left out.

use dumprestore_testkit::{PostgresServer, PostgresVersion};

use crate::scripts::{psql, write};
use crate::support::{config, driver, dump, notes, restore, try_restore_in_place};

/// Foreign keys, and whether they are known to hold.
fn keys(server: &PostgresServer, database: &str) -> String {
    let asked = "SELECT string_agg(conname || ' ' || convalidated, ', ' ORDER BY conname) FROM pg_constraint \
        WHERE contype = 'f' AND conparentid = 0";
    server.value(database, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_to_rows_that_are_left_out_do_not_keep_a_restore_from_the_others() {
    for version in [PostgresVersion::V14, PostgresVersion::V15, PostgresVersion::V18] {
        comes_back_but_for_them(PostgresServer::shared(version)).await;
    }
}

async fn comes_back_but_for_them(server: &PostgresServer) {
    let database = server.create_database();
    server.batch(
        &database,
        "CREATE TABLE customer (id int PRIMARY KEY); CREATE TABLE product (id int PRIMARY KEY);
         CREATE TABLE orders (id int PRIMARY KEY, customer int CONSTRAINT of_customer REFERENCES customer
             DEFERRABLE INITIALLY DEFERRED, product int CONSTRAINT of_product REFERENCES product);
         COMMENT ON CONSTRAINT of_customer ON orders IS 'whose';
         CREATE TABLE log (at int, customer int CONSTRAINT by_customer REFERENCES customer) PARTITION BY RANGE (at);
         COMMENT ON CONSTRAINT by_customer ON log IS 'by whom';
         CREATE TABLE log_1 PARTITION OF log DEFAULT;
         CREATE TABLE day (at int PRIMARY KEY) PARTITION BY RANGE (at);
         CREATE TABLE day_1 PARTITION OF day FOR VALUES FROM (0) TO (10);
         CREATE TABLE day_2 PARTITION OF day FOR VALUES FROM (10) TO (20);
         CREATE TABLE event (at int CONSTRAINT on_day REFERENCES day);
         CREATE TABLE unused (customer int CONSTRAINT empty REFERENCES customer, product int);
         ALTER TABLE unused ADD CONSTRAINT never FOREIGN KEY (product) REFERENCES product NOT VALID;
         INSERT INTO customer VALUES (1); INSERT INTO product VALUES (1); INSERT INTO orders VALUES (1, 1, 1);
         INSERT INTO log VALUES (1, 1); INSERT INTO day VALUES (1), (11); INSERT INTO event VALUES (1), (11)",
    );
    let mut without = config(server, &database);
    without.exclude_data = vec!["customer".to_owned(), "day_2".to_owned()];
    let problems = driver(without.clone()).inspect().await.unwrap().problems;
    let warned = problems.iter().find(|problem| problem.message.contains("are left out")).expect("a warning");
    for key in ["orders.of_customer", "log.by_customer", "event.on_day"] {
        assert!(warned.message.contains(key), "{key}: {warned:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let archived = dump(without, folder.path()).await;
    let missing: Vec<&str> =
        archived.ledger().iter().filter(|entry| entry.degrades).map(|entry| entry.what.as_str()).collect();
    assert_eq!(missing, ["foreign key `public.log.by_customer`"]);
    let expected = "empty true, never false, of_customer false, of_product true, on_day false";
    let copy = format!("{database}_copy");
    let planned = notes(&archived, config(server, &copy)).await;
    for noted in [
        "are made `NOT VALID`: `public.event.on_day`, `public.orders.of_customer`",
        "are left out as well: `public.log.by_customer`",
    ] {
        assert!(planned.iter().any(|note| note.ends_with(noted)), "{planned:?}");
    }
    restore(&archived, server, &copy).await;
    assert_eq!(keys(server, &copy), expected);
    assert_eq!(
        server.value(&copy, "SELECT count(*) || ' ' || (SELECT count(*) FROM customer) FROM orders"),
        "1 0"
    );
    server
        .batch(&copy, "INSERT INTO customer VALUES (1); ALTER TABLE orders VALIDATE CONSTRAINT of_customer");
    assert!(server.try_batch(&copy, "INSERT INTO orders VALUES (2, 2, 1)").is_err());
    let live = server.create_database();
    let told = try_restore_in_place(&archived, config(server, &live)).await.unwrap();
    assert!(told.iter().all(|entry| !entry.degrades), "{told:?}");
    assert_eq!(keys(server, &live), expected);
    let script = server.create_database();
    let output = psql(server, &script, &write(&archived, folder.path()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(keys(server, &script), expected);
}
