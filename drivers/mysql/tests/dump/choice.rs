//! What is chosen, and what is left out.

use dumprestore_driver::CutMode;
use dumprestore_driver::ErrorKind;
use dumprestore_testkit::{MysqlServer, MysqlVersion};

use crate::dump_support::{config, cut, dump, open};

fn server() -> &'static MysqlServer {
    MysqlServer::shared(MysqlVersion::Mariadb10_11)
}

fn database() -> String {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE audit_1 (n int); INSERT INTO audit_1 VALUES (1); CREATE TABLE audit_2 (n int);
         CREATE SEQUENCE numbers; CREATE SEQUENCE others;
         CREATE TABLE orders (n int DEFAULT NEXTVAL(numbers)); INSERT INTO orders VALUES (1);
         CREATE TABLE `we.ird[1]/*` (n int); INSERT INTO `we.ird[1]/*` VALUES (1);
         CREATE VIEW of_orders AS SELECT * FROM orders; CREATE VIEW of_audit AS SELECT a.n FROM orders o JOIN audit_1 a;
         CREATE VIEW of_view AS SELECT * FROM of_audit;
         CREATE TRIGGER g BEFORE INSERT ON audit_1 FOR EACH ROW SET NEW.n = 1",
    );
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_left_out_take_their_triggers_and_views_along() {
    let database = database();
    let mut config = config(&server().url(&database));
    config.exclude_tables = vec!["audit_*".to_owned()];
    let dump = dump(config).await;
    assert_eq!(dump.names("tables"), ["orders", "we.ird[1]/*"]);
    assert_eq!(dump.rows_of("we.ird[1]/*"), ["1"]);
    assert_eq!(dump.names("views"), ["of_orders"]);
    for view in ["of_audit", "of_view"] {
        assert_eq!(dump.told_of(view).map(|told| told.1), Some(false), "{view}");
    }
    assert!(dump.names("triggers").is_empty());
    assert_eq!(dump.names("sequences"), ["numbers", "others"]);
    assert_eq!(dump.contents["held"]["all_tables"], false);
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_chosen_take_along_the_sequences_that_they_need() {
    let database = database();
    let mut config = config(&server().url(&database));
    config.tables = vec!["orders".to_owned(), "of_*".to_owned()];
    let dump = dump(config).await;
    assert_eq!(
        (dump.names("tables"), dump.names("views")),
        (vec!["orders".to_owned()], vec!["of_orders".to_owned()])
    );
    assert_eq!(dump.names("sequences"), ["numbers"]);
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_may_be_dumped_without_their_rows() {
    let database = database();
    let mut config = config(&server().url(&database));
    config.exclude_data = vec!["audit_?".to_owned()];
    let dump = dump(config).await;
    assert_eq!(dump.table("audit_1")["without_data"], true);
    assert!(dump.rows_of("audit_1").is_empty() && dump.rows_of("orders") == ["1"]);
    assert_eq!(dump.names("triggers"), ["g"]);
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_fits_nothing_is_an_error_at_the_pin() {
    let database = database();
    let mut config = config(&server().url(&database));
    config.exclude_tables = vec!["order".to_owned()];
    let error = open(config).await.pin(&cut(CutMode::Open)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.hint().unwrap().contains("orders"), "{error:?}");
    server().drop_database(&database);
}
