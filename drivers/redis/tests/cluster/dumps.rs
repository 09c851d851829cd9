//! Dumps of clusters.

use std::sync::atomic::{AtomicBool, Ordering};

use dumprestore_driver::{ArchivedNode, CutContext, CutMode, ErrorKind, OpenContext};
use dumprestore_testkit::{RedisServer, soon};
use serde_json::json;

use crate::archive::{driver, dump, prepared};
use crate::restore_support::cmd;
use crate::shop::{V, content, driver_of, fill, lease, owner, run, start};

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_a_cluster_has_a_part_of_each_primary_and_goes_into_one_server() {
    let cluster = lease();
    fill(&cluster);
    for mode in ["replication", "scan"] {
        let from = driver(json!({ "url": cluster.nodes()[1].url(0), "mode": mode }));
        let dump = dump(&*from).await;
        let parts: Vec<String> = dump.node.parts().map(|part| part.name.to_string()).collect();
        assert_eq!(parts, ["00000.rdb", "05461.rdb", "10922.rdb"]);
        assert!(dump.node.parts().all(|part| part.rows.unwrap() > 50));
        let read_before_it_is_listed = mode == "replication";
        if read_before_it_is_listed {
            let facts = dump.node.facts();
            assert_eq!(facts["functions"], "1");
            assert!(facts["primaries"].contains("05461.rdb: 127.0.0.1:"), "{facts:?}");
            assert!(facts["cut_within_ms"].parse::<u64>().is_ok());
        }

        let server = RedisServer::start(V);
        let to = driver_of(&server.url(0));
        let mut staging = prepared(&*to, dump.node.clone()).await.unwrap();
        staging.commit().await.unwrap();
        staging.finish(dumprestore_driver::OldState::Drop).await.unwrap();
        let (mut restored, mut wanted) = (content(&[server]), content(cluster.nodes()));
        if !read_before_it_is_listed {
            // Of functions nothing is known then.
            let functions = b"functions of all".as_slice();
            assert!(restored.remove(functions).is_some() && wanted.remove(functions).is_some());
        }
        assert!(restored == wanted, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_primary_writes_together_is_whole_in_a_dump_under_load() {
    let cluster = lease();
    let tags: Vec<String> = (0..30).map(|at| format!("{{pair:{at}}}")).collect();
    for tag in &tags {
        run(&cluster, tag.as_bytes(), &cmd(&["MSET", &format!("{tag}:a"), "0", &format!("{tag}:b"), "0"]));
    }
    let stop = AtomicBool::new(false);
    let slots: Vec<u16> =
        tags.iter().map(|tag| cluster.nodes()[0].ask(0, &cmd(&["CLUSTER", "KEYSLOT", tag]))).collect();
    let dump = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut connections: Vec<_> =
                slots.iter().map(|slot| owner(&cluster, *slot).connection(0)).collect();
            let mut number = 0u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                for (tag, connection) in tags.iter().zip(&mut connections) {
                    let both = [format!("{tag}:a"), format!("{tag}:b")];
                    cmd(&["MSET", &both[0], &number.to_string(), &both[1], &number.to_string()])
                        .exec(connection)
                        .unwrap();
                }
            }
        });
        let driver = driver_of(&cluster.url());
        let dumped =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(dump(&*driver)));
        stop.store(true, Ordering::Relaxed);
        dumped
    });
    let server = RedisServer::start(V);
    let mut staging = prepared(&*driver_of(&server.url(0)), dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    for tag in &tags {
        let both: Vec<String> = server.ask(0, &cmd(&["MGET", &format!("{tag}:a"), &format!("{tag}:b")]));
        assert_eq!(both[0], both[1], "{tag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_during_a_dump_is_noticed() {
    let cluster = start();
    fill(&cluster);
    let folder = dumprestore_testkit::TempDir::with_prefix("dumprestore-").unwrap();
    let driver = driver_of(&cluster.url());
    let mut source = driver.open(OpenContext::new("run", folder.path())).await.unwrap();
    let cut = || CutContext::new(std::time::SystemTime::now(), CutMode::Open);
    source.pin(&cut()).await.unwrap();
    // On its way.
    let [from, to, _] = cluster.nodes() else { panic!() };
    let id = |node: &RedisServer| -> String { node.ask(0, &cmd(&["CLUSTER", "MYID"])) };
    to.run(0, &cmd(&["CLUSTER", "SETSLOT", "0", "IMPORTING", &id(from)]));
    from.run(0, &cmd(&["CLUSTER", "SETSLOT", "0", "MIGRATING", &id(to)]));
    let error = source.capture().await.err().expect("it was noticed");
    assert_eq!(error.kind(), ErrorKind::Environment);
    assert!(error.hint().unwrap().contains("--cluster check"), "{error:?}");
    let error = source.pin(&cut()).await.unwrap_err();
    assert!(error.to_string().contains("being moved"), "{error:?}");
    // There: the empty key is in it.
    from.run(0, redis::cmd("MIGRATE").arg("127.0.0.1").arg(to.port()).arg("").arg(0).arg(5000));
    for node in [to, from, &cluster.nodes()[2]] {
        node.run(0, &cmd(&["CLUSTER", "SETSLOT", "0", "NODE", &id(to)]));
    }
    let told = |node: &RedisServer| -> String { node.ask(0, &cmd(&["CLUSTER", "NODES"])) };
    soon("all agree", || {
        let epochs = |node| {
            let mut lines: Vec<String> = told(node)
                .lines()
                .map(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    format!("{} {} {}", words[0], words[6], words[8..].join(" "))
                })
                .collect();
            lines.sort();
            lines
        };
        cluster.nodes().iter().all(|node| epochs(node) == epochs(from))
    });
    source.pin(&cut()).await.unwrap();
    drop(source);
    let dump = dump(&*driver).await;
    let parts: Vec<String> = dump.node.parts().map(|part| part.name.to_string()).collect();
    assert_eq!(parts, ["00000.rdb", "00001.rdb", "10922.rdb"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn references_go_through_all_primaries() {
    use dumprestore_driver::{Digest, Part, PartSink, PartWriter, Receipt, Reference, Result};
    use futures_util::TryStreamExt;
    struct Nowhere;
    impl PartSink for Nowhere {
        fn write(&mut self, _: &[u8]) -> Result<()> {
            Ok(())
        }
        fn finish(&mut self) -> Result<Receipt> {
            Ok(Receipt { capture: dumprestore_driver::CaptureId(1), size: 1, digest: Digest::new([0; 32]) })
        }
    }
    let cluster = lease();
    fill(&cluster);
    let folder = dumprestore_testkit::TempDir::with_prefix("dumprestore-").unwrap();
    let driver = driver_of(&cluster.url());
    driver.check_within(Some("key:*")).unwrap();
    let mut source = driver.open(OpenContext::new("run", folder.path())).await.unwrap();
    source.pin(&CutContext::new(std::time::SystemTime::now(), CutMode::Locked)).await.unwrap();
    let parts: Vec<Part> = source.capture().await.unwrap().try_collect().await.unwrap();
    for part in parts {
        source.dump(&part, &mut PartWriter::new(&mut Nowhere)).await.unwrap();
    }
    let references: Vec<Reference> = (0..310).map(|at| Reference::to(at.to_string())).collect();
    let unresolved = source.resolve(Some("key:*"), &references).await.unwrap();
    assert_eq!(unresolved.len(), 10);
    source.unlock().await.unwrap();
    source.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_half_restored_is_not_dumped() {
    let cluster = lease();
    fill(&cluster);
    let mark = "dumprestore:restore";
    run(&cluster, mark.as_bytes(), &cmd(&["HSET", mark, "a run:0", "renaming"]));
    let folder = dumprestore_testkit::TempDir::with_prefix("dumprestore-").unwrap();
    let mut source = driver_of(&cluster.url()).open(OpenContext::new("run", folder.path())).await.unwrap();
    let error = source.pin(&CutContext::new(std::time::SystemTime::now(), CutMode::Open)).await.unwrap_err();
    assert!(error.to_string().contains("half old, half new"), "{error:?}");
    source.release().await.unwrap();
}
