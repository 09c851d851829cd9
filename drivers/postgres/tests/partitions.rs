//! Restores of partitioned tables into a live database, and partitions that the archive does not have, or not the rows of.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "what fails ends the test")]

mod live_support;

use std::sync::Arc;

use dumprestore_driver::{Content, Error, ErrorKind, Extras, OldState, Selection};
use dumprestore_testkit::{PostgresServer, PostgresVersion, Step, StoredNode};
use live_support::{Place, cx};
use serde_json::json;

const LOG: &str = "
    CREATE TABLE kind (name text PRIMARY KEY); INSERT INTO kind VALUES ('w'), ('x');
    CREATE TABLE log (at integer, what text REFERENCES kind) PARTITION BY RANGE (at);
    CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (50);
    CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (50) TO (100) PARTITION BY RANGE (at);
    CREATE TABLE log_2a PARTITION OF log_2 FOR VALUES FROM (50) TO (75);
    CREATE TABLE log_2b PARTITION OF log_2 FOR VALUES FROM (75) TO (100);
    INSERT INTO log SELECT n, 'w' FROM generate_series(0, 99) n;";

fn server() -> &'static PostgresServer {
    PostgresServer::shared(PostgresVersion::V15)
}

fn rows(things: &[&str]) -> Selection {
    Selection::of(things.iter().copied()).with_content(Content::DataOnly)
}

/// The errors of a plan and of a restore with these extras, which change nothing.
async fn refused(
    place: &Place<'_>,
    archived: &Arc<StoredNode>,
    selection: &Selection,
    extras: Extras,
) -> [Error; 2] {
    let before = place.content();
    let cx = || cx(selection).with_extras(extras);
    let planned = place.driver().changes(archived.clone(), &cx()).await.expect_err("it is refused");
    let mut restoring = place.stage_in(archived, cx()).await;
    let begun = restoring.go(Step::Finish, OldState::Drop).await.expect_err("it is refused");
    restoring.staging().rollback().await.unwrap();
    assert_eq!(place.content(), before);
    [planned, begun]
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_whose_rows_were_not_dumped_keep_those_that_they_have() {
    let mut place = Place::new(server(), LOG);
    place.more = json!({ "exclude_data": ["log_2a"] });
    let archived = place.dump().await;
    place.batch("UPDATE log SET what = 'x'; DELETE FROM log WHERE at IN (1, 60, 90)");
    let changes = place.changes(&archived, &rows(&[])).await.unwrap();
    assert!(
        changes.notes.iter().any(|note| note.contains("left alone") && note.contains("`public.log_2a`")),
        "{changes:?}"
    );
    assert_eq!(changes.remove, 0, "{changes:?}");
    place.restore(&archived, &rows(&[])).await.unwrap();
    let counts = "SELECT string_agg(t || ' ' || what || ' ' || n, ', ' ORDER BY t) FROM (SELECT tableoid::regclass \
        AS t, what, count(*) AS n FROM log GROUP BY 1, 2) AS c";
    assert_eq!(place.value(counts), "log_1 w 50, log_2a x 24, log_2b w 25");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_that_was_left_out_of_the_dump_is_told_before_its_table_is_replaced() {
    let mut place = Place::new(server(), LOG);
    place.batch("CREATE TABLE other (a integer)");
    place.more = json!({ "exclude_data": ["kind"] });
    let archived = place.dump().await;
    for (thing, is_told) in [("log", true), ("other", false)] {
        let notes = place.changes(&archived, &Selection::of([thing])).await.unwrap().notes;
        let told = notes.iter().any(|note| note.ends_with("left out as well: `public.log.log_what_fkey`"));
        assert_eq!(told, is_told, "{notes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_not_dumped_stand_in_the_way_where_they_can_not_stay() {
    let mut place = Place::new(
        server(),
        "CREATE TABLE log (at integer) PARTITION BY RANGE (at);
        CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (50); INSERT INTO log VALUES (1);
        CREATE TABLE aside (at integer); INSERT INTO aside VALUES (70);
        CREATE TABLE spread (a integer) PARTITION BY HASH (a);
        CREATE TABLE spread_0 PARTITION OF spread FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE spread_1 PARTITION OF spread FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO spread SELECT generate_series(1, 20)",
    );
    place.more = json!({ "exclude_data": ["aside", "spread_1"] });
    let archived = place.dump().await;
    // Which row belongs to which of them may be otherwise by now.
    for error in refused(&place, &archived, &rows(&[]), Extras::Remove).await {
        assert!(
            error.kind() == ErrorKind::Unsupported && error.to_string().contains("spread_0"),
            "{error:?}"
        );
    }
    place.batch("DROP TABLE spread");
    place.more = json!({ "exclude_data": ["aside"] });
    let archived = place.dump().await;
    place.batch("ALTER TABLE log ATTACH PARTITION aside FOR VALUES FROM (50) TO (100)");
    for error in refused(&place, &archived, &rows(&[]), Extras::Remove).await {
        assert!(error.to_string().contains("without the rows of `public.aside`"), "{error:?}");
        assert!(error.hint().unwrap().contains("detach"), "{error:?}");
    }
    place.batch("ALTER TABLE log DETACH PARTITION aside; DELETE FROM log");
    place.restore(&archived, &rows(&[])).await.unwrap();
    assert_eq!(place.value("SELECT (SELECT count(*) FROM log) || ' ' || (SELECT at FROM aside)"), "1 70");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_not_archived_go_with_their_table_only_if_asked() {
    let mut place = Place::new(server(), LOG);
    place.more = json!({ "exclude_tables": ["log_2b"] });
    let archived = place.dump().await;
    let again = "CREATE TABLE log_3 PARTITION OF log FOR VALUES FROM (100) TO (200);
        CREATE TABLE log_empty PARTITION OF log FOR VALUES FROM (200) TO (300);
        INSERT INTO log VALUES (100, 'w');";
    place.batch(again);
    for (selection, expected) in [
        (rows(&[]), &["public.log_2b", "public.log_3"][..]),
        (rows(&["log"]), &["public.log_2b", "public.log_3"]),
        (Selection::of(["log"]), &["public.log_2b", "public.log_3", "public.log_empty"]),
        (Selection::of(["log*"]), &["public.log_2b", "public.log_3", "public.log_empty"]),
    ] {
        for extras in [Extras::Fail, Extras::Keep] {
            for error in refused(&place, &archived, &selection, extras).await {
                let said = error.to_string();
                assert!(expected.iter().all(|name| said.contains(&format!("`{name}`"))), "{error:?}");
                assert_eq!(said.contains("log_empty"), expected.len() == 3, "{error:?}");
                assert!(error.hint().unwrap().contains("--extras remove"), "{error:?}");
            }
        }
        let changes = place.changes(&archived, &selection).await.unwrap();
        let mut removes: Vec<&str> = changes.removes.iter().map(String::as_str).collect();
        removes.sort_unstable();
        assert_eq!((changes.remove, &removes[..]), (expected.len() as u64, expected));
        let only_rows = changes.notes.iter().any(|note| note.contains("only the rows are removed"));
        assert_eq!(only_rows, expected.len() == 2, "{changes:?}");
    }
    place.restore(&archived, &rows(&["log"])).await.unwrap();
    assert_eq!(place.value("SELECT count(*) FROM log"), "75");
    // Without rows there is nothing to lose.
    let changes = place.driver().changes(archived.clone(), &cx(&rows(&[])).with_extras(Extras::Fail)).await;
    assert_eq!(changes.unwrap().remove, 0);
    place.restore(&archived, &Selection::of(["log"])).await.unwrap();
    assert_eq!(place.value("SELECT count(*) FROM log"), "75");
    assert_eq!(place.value("SELECT to_regclass('log_3') IS NULL AND to_regclass('log_2b') IS NULL"), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_of_a_table_that_fits_and_is_not_archived_are_named_with_it() {
    let place = Place::new(server(), LOG);
    let archived = place.dump().await;
    place.batch(
        "CREATE TABLE logs (at integer) PARTITION BY RANGE (at);
        CREATE TABLE other PARTITION OF logs FOR VALUES FROM (0) TO (50)",
    );
    let selection = Selection::of(["log*"]);
    let changes = place.changes(&archived, &selection).await.unwrap();
    assert_eq!(changes.removes, ["public.logs", "public.other"]);
    let kept = cx(&selection).with_extras(Extras::Keep);
    place.stage_in(&archived, kept).await.go(Step::Finish, OldState::Drop).await.unwrap();
    assert_eq!(place.value("SELECT to_regclass('other') IS NOT NULL"), "t");
    place.restore(&archived, &selection).await.unwrap();
    assert_eq!(place.value("SELECT to_regclass('other') IS NULL"), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_attached_after_the_plan_is_not_lost() {
    let place = Place::new(server(), LOG);
    let archived = place.dump().await;
    for selection in [rows(&["log"]), Selection::of(["log"])] {
        let cx = || cx(&selection).with_extras(Extras::Fail);
        place.driver().changes(archived.clone(), &cx()).await.unwrap();
        place.batch("CREATE TABLE log_3 PARTITION OF log DEFAULT; INSERT INTO log VALUES (100, 'w')");
        let mut restoring = place.stage_in(&archived, cx()).await;
        let error = restoring.go(Step::Finish, OldState::Drop).await.unwrap_err();
        assert!(error.to_string().contains("`public.log_3`"), "{error:?}");
        restoring.staging().rollback().await.unwrap();
        assert_eq!(place.value("SELECT count(*) FROM log_3"), "1");
        place.batch("DROP TABLE log_3");
    }
}
