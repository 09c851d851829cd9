//! What a dump has of all kinds of things.

use std::collections::BTreeSet;

use dumprestore_testkit::{PostgresServer, PostgresVersion};

use crate::dump_support::{config, dump};

fn server() -> &'static PostgresServer {
    PostgresServer::shared(PostgresVersion::V15)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_definition_is_there_and_in_an_order_to_make_it() {
    let database = server().create_database();
    let role = format!("{database}_role");
    server().batch(&database, &include_str!("every_kind.sql").replace("SOMEBODY", &role));
    let dump = dump(config(&server().url(&database))).await;
    let kinds: BTreeSet<String> = dump.items().into_iter().map(|(kind, _)| kind).collect();
    for kind in [
        "ACL",
        "AGGREGATE",
        "CAST",
        "COLLATION",
        "COMMENT",
        "CONSTRAINT",
        "CONVERSION",
        "DEFAULT",
        "DEFAULT ACL",
        "DOMAIN",
        "EVENT TRIGGER",
        "EXTENSION",
        "FK CONSTRAINT",
        "FOREIGN DATA WRAPPER",
        "FOREIGN TABLE",
        "FUNCTION",
        "INDEX",
        "INDEX ATTACH",
        "MATERIALIZED VIEW",
        "OPERATOR",
        "OPERATOR CLASS",
        "OPERATOR FAMILY",
        "POLICY",
        "PROCEDURE",
        "PUBLICATION",
        "PUBLICATION TABLE",
        "ROW SECURITY",
        "RULE",
        "SCHEMA",
        "SEQUENCE",
        "SEQUENCE OWNED BY",
        "SERVER",
        "STATISTICS",
        "TABLE",
        "TABLE ATTACH",
        "TEXT SEARCH CONFIGURATION",
        "TEXT SEARCH DICTIONARY",
        "TRIGGER",
        "TYPE",
        "USER MAPPING",
        "VIEW",
    ] {
        assert!(kinds.contains(kind), "there is no {kind} among {kinds:?}");
    }
    let items = dump.contents["items"].as_array().unwrap();
    let mut made = BTreeSet::new();
    for item in items {
        let needs = item["needs"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(
            needs.iter().all(|id| made.contains(&id.as_i64().unwrap())),
            "{item} comes before what it needs"
        );
        made.insert(item["id"].as_i64().unwrap());
    }
    let of = |kind: &str, name: &str| {
        let found = items.iter().find(|item| item["kind"] == kind && item["name"] == name);
        found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
    };
    assert_eq!(of("FK CONSTRAINT", "we ird. we ird._b_fkey")["table"], serde_json::json!(["s", "we ird."]));
    assert_eq!(of("INDEX", "mv_id_idx")["table"], serde_json::json!(["s", "mv"]));
    let function =
        items.iter().find(|item| item["kind"] == "FUNCTION" && item["name"].to_string().contains("f(int"));
    assert_eq!(function.unwrap()["owned"], "FUNCTION \"s\".\"f\"(\"a\" integer, \"b\" \"text\")");
    assert_eq!(items.last().unwrap()["kind"], "EVENT TRIGGER");

    assert_eq!(dump.table("s", "p0")["load_through"], serde_json::json!(["s", "p"]));
    assert_eq!(dump.table("s", "generated")["columns"], serde_json::json!(["a"]));
    assert_eq!(dump.rows_of("s", "none"), ["", ""]);
    assert_eq!(dump.rows_of("s", "config"), ["mine"]);
    assert_eq!(dump.table("s", "config")["of_extension"], true);
    let matviews: Vec<&str> = dump.contents["matviews"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| found["name"].as_str().unwrap())
        .collect();
    assert_eq!(matviews, ["mv", "a_mv_of_mv"]);
    let sequence =
        dump.contents["sequences"].as_array().unwrap().iter().find(|found| found["name"] == "set").unwrap();
    assert_eq!((sequence["last_value"].as_i64(), sequence["is_called"].as_bool()), (Some(41), Some(false)));
    let properties = &dump.contents["database"];
    assert_eq!(properties["comment"], "a database");
    assert_eq!(properties["connection_limit"], 33);
    let settings = properties["settings"].as_array().unwrap();
    assert!(
        settings.iter().any(|set| set["name"] == "search_path" && set["value"] == "s, public"),
        "{settings:?}"
    );
    assert!(
        settings.iter().any(|set| set["role"] == role.as_str() && set["name"] == "work_mem"),
        "{settings:?}"
    );
    assert!(dump.ledger.iter().any(|entry| entry.what.contains("s.ft") && !entry.degrades));
    server().drop_database(&database);
    server().batch("postgres", &format!("DROP ROLE {role}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_are_written_with_their_owner_and_what_is_said_of_them() {
    let database = server().create_database();
    server().batch(
        &database,
        "SELECT lo_from_bytea(1, '\\x00ff'); SELECT lo_from_bytea(2, ''); COMMENT ON LARGE OBJECT 1 IS 'one';
         SELECT lo_create(3), lo_put(3, 3000000, 'end'); GRANT SELECT ON LARGE OBJECT 3 TO PUBLIC;
         SELECT lo_from_bytea(0, repeat(n::text, 300000)::bytea) FROM generate_series(1, 600) n WHERE n < 4;
         SELECT lo_create(0) FROM generate_series(1, 600)",
    );
    let dump = dump(config(&server().url(&database))).await;
    let rows: u64 =
        dump.rows.iter().filter(|(name, _)| name.starts_with("large_objects/")).map(|(_, rows)| rows).sum();
    assert_eq!(rows, 606);
    assert!(dump.rows.keys().filter(|name| name.starts_with("large_objects/")).count() > 1);
    let mut part = &dump.parts["large_objects/0001"][..];
    let take = |part: &mut &[u8]| {
        let (length, rest) = part.split_first_chunk::<4>().unwrap();
        let (piece, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        *part = rest;
        piece.to_vec()
    };
    let mut object = || {
        let head: serde_json::Value = serde_json::from_slice(&take(&mut part)).unwrap();
        let mut content = Vec::new();
        loop {
            match take(&mut part) {
                piece if piece.is_empty() => return (head, content),
                piece => content.extend(piece),
            }
        }
    };
    let (head, content) = object();
    assert_eq!(
        (head["oid"].as_u64(), head["comment"].as_str(), &content[..]),
        (Some(1), Some("one"), &[0, 255][..])
    );
    assert_eq!(object().1, b"");
    let (head, content) = object();
    assert!(head["acl"].to_string().contains("=r/"), "{head}");
    assert_eq!(content.len(), 3_000_003);
    assert!(content.ends_with(b"end") && content[..3_000_000].iter().all(|byte| *byte == 0));
    server().drop_database(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_is_read_in_ranges_and_no_row_is_lost_or_doubled() {
    let database = server().create_database();
    server().batch(
        &database,
        "CREATE TABLE t AS SELECT n, repeat('x', 200) AS x FROM generate_series(1, 400000) n;
         DELETE FROM t WHERE n % 3 = 0; UPDATE t SET x = 'y' WHERE n % 5 = 0",
    );
    let dump = dump(config(&server().url(&database))).await;
    let parts = dump.table("public", "t")["parts"].as_array().unwrap().len();
    assert!(parts >= 3, "{parts} parts");
    let mut numbers: Vec<u32> = dump
        .rows_of("public", "t")
        .iter()
        .map(|row| row.split_once('\t').unwrap().0.parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=400_000).filter(|n| n % 3 != 0).collect::<Vec<u32>>());
    assert_eq!(dump.rows.values().sum::<u64>(), numbers.len() as u64);
    server().drop_database(&database);
}

/// The clients of the newest version read all older servers.
#[tokio::test(flavor = "multi_thread")]
async fn servers_of_all_versions_are_dumped() {
    let newest = PostgresVersion::V18.programs().path("pg_dump").unwrap();
    for version in PostgresVersion::ALL {
        let server = PostgresServer::shared(version);
        let database = server.create_database();
        server.batch(
            &database,
            "CREATE TABLE t (id serial PRIMARY KEY, g int GENERATED ALWAYS AS (1) STORED, v text);
             INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 100);
             CREATE TABLE p (k int) PARTITION BY HASH (k);
             CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 1, REMAINDER 0); INSERT INTO p VALUES (1);
             CREATE MATERIALIZED VIEW m AS SELECT * FROM t; SELECT lo_create(7);
             CREATE UNLOGGED TABLE u AS SELECT 1 AS a",
        );
        let mut config = config(&server.url(&database));
        config.pg_dump = Some(newest.clone());
        config.globals = true;
        let dump = dump(config).await;
        assert_eq!(dump.rows_of("public", "t").len(), 100, "{version:?}");
        assert_eq!(dump.table("public", "t")["columns"], serde_json::json!(["id", "v"]), "{version:?}");
        assert_eq!(dump.table("public", "p0")["load_through"], serde_json::json!(["public", "p"]));
        assert_eq!(dump.contents["sequences"][0]["last_value"], 100);
        assert_eq!(dump.contents["matviews"].as_array().unwrap().len(), 1);
        assert!(dump.parts.contains_key("large_objects/0001"));
        assert_eq!(dump.ledger, []);
        server.drop_database(&database);
    }
}
