//! Dumps of buckets whose server is busy, or out of reach now and then: what is dumped is whole, or the dump fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

mod place;

use dumprestore_driver::{CutMode, OpenContext, PartSink, PartWriter, Receipt, Reference, Result, Severity};
use dumprestore_testkit::{Mishap, Requests, S3Kind, TempDir, Trouble};
use futures_util::StreamExt;
use place::dump::{Dump, driver};
use place::{Place, noise, to};
use serde_json::{Value, json};

/// The options of a node that is reached through the trouble.
fn through(trouble: &Trouble, place: &Place, more: Value) -> Value {
    let mut options = place.options_with(more);
    options["endpoint"] = json!(trouble.endpoint());
    options
}

fn fill(place: &Place) -> Vec<(String, Vec<u8>)> {
    let mut objects: Vec<(String, Vec<u8>)> =
        (0..40).map(|n| (format!("small/{n:02}"), noise(n, 3_000 + n as usize * 7))).collect();
    objects.push(("large".to_owned(), noise(99, 1_500_000)));
    objects.push(("video".to_owned(), noise(98, (17 << 20) + 3)));
    for (key, content) in &objects {
        place.put(key, content);
    }
    objects.sort();
    objects
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_gets_through_a_busy_server_and_broken_connections_whole() {
    let mishaps = [
        Mishap::Status(503),
        Mishap::Status(500),
        Mishap::Refuse,
        Mishap::LoseAnswer,
        Mishap::CutAnswer(0),
        Mishap::CutAnswer(1_000),
    ];
    for versioned in [false, true] {
        let place = if versioned { Place::versioned(S3Kind::Moto) } else { Place::new(S3Kind::Moto) };
        let objects = fill(&place);
        for mishap in mishaps {
            let trouble = Trouble::before(&place.server.address());
            trouble.make(Requests::all().after(3).every(9), mishap);
            let mut dump = Dump::with(through(&trouble, &place, json!({}))).await;
            assert_eq!(dump.pass().await, objects.len(), "{mishap:?}");
            dump.pin(CutMode::Open).await;
            let references: Vec<Reference> = objects.iter().map(|(key, content)| to(key, content)).collect();
            assert!(dump.resolve(&references).await.is_empty(), "{mishap:?}");
            let archive = dump.finish().await;
            for (key, content) in &objects {
                assert!(archive.object(key) == Some(&content[..]), "{mishap:?}: `{key}` is another");
            }
            assert!(archive.ledger.is_empty(), "{mishap:?}: {:?}", archive.ledger);
            assert!(trouble.mishaps() > 3, "{mishap:?} came about {} times", trouble.mishaps());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_overwritten_while_a_connection_is_made_anew_is_no_mix_of_two() {
    for knows_conditions in [true, false] {
        let place = Place::new(S3Kind::Moto);
        let (old, new) = (noise(1, 1_500_000), noise(2, 1_500_000));
        place.put("object", &old);
        let trouble = Trouble::before(&place.server.address());
        let mut dump = Dump::with(through(&trouble, &place, json!({}))).await;
        let parts = dump.list().await;
        // The first answer ends in its middle; what is asked for the rest then finds another object.
        trouble.make(Requests::all().method("GET").with("object").times(1), Mishap::CutAnswer(700_000));
        if !knows_conditions {
            trouble.make(Requests::all().method("GET").with("object"), Mishap::Unconditional);
        }
        let reading = dump.dump(&parts[0]);
        let overwriting = async {
            while trouble.mishaps() == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            place.put("object", &new);
        };
        tokio::join!(reading, overwriting);
        dump.pin(CutMode::Open).await;
        let archive = dump.finish().await;
        let found = archive.object("object").unwrap();
        assert!(found == old || found == new, "it is a mix, conditions known: {knows_conditions}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_nobody_else_can_read_is_left_out_by_name() {
    let place = Place::new(S3Kind::Moto);
    place.put("fine", "fine").put("odd", "odd").put("odd-large", noise(1, 400_000));
    let trouble = Trouble::before(&place.server.address());
    // As one that is encrypted with a key of its owner's.
    trouble.make(Requests::all().method("GET").with("/odd"), Mishap::Status(400));
    let mut dump = Dump::with(through(&trouble, &place, json!({}))).await;
    dump.pass().await;
    dump.pin(CutMode::Open).await;
    let archive = dump.finish().await;
    assert_eq!(archive.keys(), ["fine"]);
    let told: Vec<_> = archive
        .degraded()
        .iter()
        .map(|entry| (entry.what.as_str(), entry.why.contains("InvalidRequest")))
        .collect();
    assert_eq!(told, [("odd", true), ("odd-large", true)], "{:?}", archive.ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_no_ascii_cost_the_headers_and_not_the_object() {
    let place = Place::new(S3Kind::Moto);
    place.put("fine", "fine").put("odd", "odd").put("odd-large", noise(1, 400_000));
    let trouble = Trouble::before(&place.server.address());
    let header = "content-disposition: attachment; filename=\"Übersicht.pdf\"";
    trouble.make(Requests::all().method("GET").with("/odd"), Mishap::Adorn(header));
    let mut dump = Dump::with(through(&trouble, &place, json!({}))).await;
    dump.pass().await;
    assert_eq!(dump.pass().await, 0);
    dump.pin(CutMode::Open).await;
    let archive = dump.finish().await;
    assert_eq!(archive.object("odd"), Some(&b"odd"[..]));
    assert_eq!(archive.line("odd")["unreadable"], json!(["content-disposition"]));
    assert!(archive.line("odd")["metadata"].is_null() && archive.line("fine")["unreadable"].is_null());
    let told: Vec<_> = archive
        .degraded()
        .iter()
        .map(|entry| (entry.what.as_str(), entry.why.contains("content-disposition")))
        .collect();
    assert_eq!(told, [("odd", true), ("odd-large", true)], "{:?}", archive.ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_if_versions_may_not_be_listed() {
    let place = Place::versioned(S3Kind::Moto);
    place.put("object", "o");
    let trouble = Trouble::before(&place.server.address());
    let media = driver(through(&trouble, &place, json!({})));
    assert!(media.inspect().await.unwrap().problems.is_empty());
    for part in ["versions&", "versionId="] {
        trouble.make(Requests::all().with(part), Mishap::Status(403));
        let told = media.inspect().await.unwrap().problems;
        assert!(matches!(&told[..], [only] if only.severity == Severity::NoDump), "{part}: {told:?}");
        trouble.clear();
    }
}

struct Nowhere;

impl PartSink for Nowhere {
    fn write(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<Receipt> {
        panic!("an object that could not be read has no end")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_fails_the_dump_and_is_told_without_secrets() {
    let place = Place::new(S3Kind::Moto);
    place.put("object", noise(1, 400_000));
    let trouble = Trouble::before(&place.server.address());
    let scratch = TempDir::new().unwrap();
    let cx = OpenContext::new("20260101t000000z-1", scratch.path());
    let media = driver(through(&trouble, &place, json!({ "retries": 2 })));
    let mut source = media.open(cx).await.unwrap();
    let part = source.capture().await.unwrap().next().await.unwrap().unwrap();
    trouble.make(Requests::all(), Mishap::Status(503));
    let error = source.dump(&part, &mut PartWriter::new(&mut Nowhere)).await.unwrap_err();
    let told = format!("{error:?} {error} {:?}", error.hint());
    assert!(told.contains("object") && !told.contains(place.server.secret_key()), "{told}");
    assert!(!told.contains("Signature"), "{told}");
    assert!(media.inspect().await.is_err(), "a store that can't be looked at is not fine");
    source.release().await.unwrap();
}
