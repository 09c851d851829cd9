//! References from rows, and to rows.

use dumprestore_driver::{Edge, ErrorKind, KeySink, NodePath, Reference, Result, Source};
use dumprestore_testkit::{PostgresServer, PostgresVersion};
use serde_json::json;

use crate::dump_support::{config, pinned};

fn server() -> &'static PostgresServer {
    PostgresServer::shared(PostgresVersion::V15)
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

async fn missing(source: &dyn Source, within: &str, keys: &[&str]) -> Vec<String> {
    let keys: Vec<Reference> = keys.iter().map(|key| Reference::to(*key)).collect();
    let unresolved = source.resolve(Some(within), &keys).await.unwrap();
    unresolved.iter().map(|one| one.reference.key.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_those_of_the_pinned_view_and_a_query_can_only_read() {
    let database = server().create_database();
    server().batch(
        &database,
        &format!(
            "CREATE SCHEMA app; CREATE TABLE app.product (image text, sum bytea);
             ALTER DATABASE {database} SET search_path = app;
             INSERT INTO app.product VALUES (E'a\\tb\\nc', sha256('x')), ('plain', NULL), (NULL, NULL)"
        ),
    );
    let source = pinned(config(&server().url(&database))).await;
    server().batch(&database, "DELETE FROM app.product");
    let found =
        references(&*source, "SELECT image, sum FROM product ORDER BY 1 -- all of them\n;").await.unwrap();
    let keys: Vec<&[u8]> = found.iter().map(|reference| reference.key.as_bytes()).collect();
    assert_eq!(keys, [&b"a\tb\nc"[..], b"plain"]);
    assert!(found[0].digest.is_some() && found[1].digest.is_none());

    for query in [
        "DELETE FROM product RETURNING image",
        "SELECT 1; SELECT 2",
        "COMMIT",
        "SELECT 1) TO STDOUT; DROP TABLE product; COPY (SELECT 1",
        "SELECT 1, 'x', 2",
        "SELECT image FROM nowhere",
        "SELECT nextval('s')",
    ] {
        let error = references(&*source, query).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{query}: {error:?}");
    }
    let error = references(&*source, "SELECT image, 'short' FROM product").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dangling);
    // The view is held still.
    assert_eq!(references(&*source, "SELECT image FROM product").await.unwrap().len(), 2);
    let mut source = source;
    source.release().await.unwrap();
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_are_found_and_what_is_not_of_the_type_is_missing() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE DOMAIN key AS int; CREATE SCHEMA shop;
         CREATE TABLE t (s smallint, i int PRIMARY KEY, l bigint, t text, v varchar(9), c char(5), u uuid, n numeric, b bytea,
             d date, k key, e text COLLATE \"C\");
         INSERT INTO t VALUES (1, 2, 9007199254740993, 'te''xt', 'v', 'c', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1.50,
             '\\x00ff', '2024-02-29', 5, 'e');
         CREATE TABLE \"dots.in\" (\"a.b\" int); INSERT INTO \"dots.in\" VALUES (1);
         CREATE TABLE shop.t (i int); INSERT INTO shop.t VALUES (77)",
    );
    let mut source = pinned(config(&server().url(&database))).await;
    server().batch(&database, "DELETE FROM t");
    let cases = [
        ("t.s", "1", &["2", "40000", "x", ""][..]),
        ("t.i", "2", &["3", "99999999999", "2.0", "NULL"]),
        ("t.l", "9007199254740993", &["9007199254740992", "99999999999999999999"]),
        ("t.t", "te'xt", &["text", "TE'XT", "te\0xt"]),
        ("t.v", "v", &["w"]),
        ("t.c", "c", &["d"]),
        ("t.u", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", &["a0eebc99", "zz"]),
        ("t.n", "1.5", &["1.51", "one", "NaN"]),
        ("t.d", "2024-02-29", &["2024-02-30", "yesterday"]),
        ("t.k", "5", &["6", "y"]),
        ("t.e", "e", &["E"]),
        ("public.t.i", "2", &["77"]),
        ("shop.t.i", "77", &["2"]),
        ("dots.in.a.b", "1", &["2"]),
    ];
    for (within, there, not) in cases {
        let keys: Vec<&str> = std::iter::once(there).chain(not.iter().copied()).collect();
        let expected: Vec<String> = not.iter().map(|key| Reference::to(*key).key.to_string()).collect();
        assert_eq!(missing(&*source, within, &keys).await, expected, "{within}");
    }
    let bytes = [Reference::to([0_u8, 255]), Reference::to([1_u8])];
    assert_eq!(source.resolve(Some("t.b"), &bytes).await.unwrap().len(), 1);
    let many: Vec<Reference> = (0..12_000).map(|n| Reference::to(n.to_string())).collect();
    assert_eq!(source.resolve(Some("t.i"), &many).await.unwrap().len(), 11_999);
    for within in [Some("t.nothing"), Some("nothing.i"), Some("t"), None] {
        assert_eq!(source.resolve(within, &bytes).await.unwrap_err().kind(), ErrorKind::Config, "{within:?}");
    }
    source.release().await.unwrap();
    server().drop_database(&database);
}
