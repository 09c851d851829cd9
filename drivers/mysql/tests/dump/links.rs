//! References from rows, and to rows, as of the cut.

use dumprestore_driver::{Edge, ErrorKind, KeySink, NodePath, Reference, Result, Source};
use dumprestore_testkit::{MysqlServer, MysqlVersion};
use serde_json::json;

use crate::dump_support::{config, pinned, stream};

fn server() -> &'static MysqlServer {
    MysqlServer::shared(MysqlVersion::Mariadb10_11)
}

async fn references(source: &dyn Source, query: &str) -> Result<Vec<Reference>> {
    let edge = Edge {
        from: NodePath::new("db").unwrap(),
        to: NodePath::new("files").unwrap(),
        keys: json!(query),
        within: None,
    };
    let mut found = Vec::new();
    let mut take = |reference| {
        found.push(reference);
        Ok(())
    };
    source.references(&edge, &mut KeySink::new(&mut take)).await?;
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_those_of_the_pinned_view_and_a_query_can_only_read() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE product (image varchar(20) CHARACTER SET latin1, sum binary(32));
         INSERT INTO product VALUES ('é', unhex(sha2('x', 256))), ('plain', NULL), (NULL, NULL)",
    );
    let mut source = pinned(config(&server().url(&database))).await;
    server().batch(&database, "DELETE FROM product");
    let found = references(&*source, "SELECT image, sum FROM product ORDER BY 1 DESC -- all of them\n;")
        .await
        .unwrap();
    let keys: Vec<_> =
        found.iter().map(|reference| (reference.key.as_bytes(), reference.digest.is_some())).collect();
    assert_eq!(keys, [("é".as_bytes(), true), (&b"plain"[..], false)]);
    for query in ["DELETE FROM product", "SELECT 1; SELECT 2", "COMMIT", "SELECT image FROM nowhere"] {
        let error = references(&*source, query).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{query}: {error:?}");
    }
    // The view is held still, and its rows are read as ever.
    assert_eq!(references(&*source, "SELECT image FROM product").await.unwrap().len(), 2);
    let dump = stream(&mut *source, 4).await.unwrap();
    assert!(dump.raw_rows_of("product").iter().any(|row| row.starts_with(b"\xe9\t")));
    source.release().await.unwrap();
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_resolve_against_the_pinned_view_and_not_against_rows_that_are_left_out() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2); CREATE TABLE secret (id int PRIMARY KEY)",
    );
    let mut config = config(&server().url(&database));
    config.exclude_data = vec!["secret".to_owned()];
    let mut source = pinned(config).await;
    server().batch(&database, "DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3)");
    let keys = ["1", "2", "3", "x"].map(Reference::to);
    let missing = source.resolve(Some("t.id"), &keys).await.unwrap();
    let missing: Vec<_> = missing.iter().map(|one| one.reference.key.to_string()).collect();
    assert_eq!(missing, ["3", "x"]);
    let error = source.resolve(Some("secret.id"), &keys).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    source.release().await.unwrap();
    server().drop_database(&database);
}
