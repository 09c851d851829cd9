//! Nodes of which only some keys are meant: they are renamed one after the other.

use std::time::Duration;

use dumprestore_driver::{OldState, StageContext};
use dumprestore_testkit::{RedisOptions, RedisVersion, Seed};
use serde_json::json;

use crate::archive::{driver, dump, load, prepared, run};
use crate::restore_support::Source;

fn keys(source: &Source, index: u64) -> Vec<String> {
    let mut keys: Vec<String> = source.ask(index, &["KEYS", "*"]);
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_patterns_leave_out_are_left_alone() {
    let source = Source::new();
    let node = driver(
        json!({ "url": source.server.url(0), "include": ["app:*"], "exclude": ["app:tmp:*"], "functions": false }),
    );
    for key in ["app:1", "app:2", "app:tmp:1", "other"] {
        source.run(0, &["SET", key, "old"]);
    }
    let dump = dump(&*node).await;
    for key in ["app:2", "app:3", "app:tmp:1", "app:tmp:2", "other"] {
        source.run(0, &["SET", key, "new"]);
    }
    source.run(0, &["DEL", "app:1"]);
    let before = source.content(0);
    let counted = node.changes(dump.node.clone(), &StageContext::new(run())).await.unwrap();
    assert_eq!((counted.create, counted.replace, counted.remove), (1, 1, 1), "{counted:?}");
    assert_eq!(counted.removes, ["0/app:3"]);
    let mut staging = prepared(&*node, dump.node.clone()).await.unwrap();
    assert_eq!(source.content(0), before);
    staging.commit().await.unwrap();
    staging.rollback().await.unwrap();
    assert_eq!(source.content(0), before);
    let mut staging = prepared(&*node, dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    source.run(0, &["SET", "other", "newer"]);
    staging.finish(OldState::Drop).await.unwrap();
    assert_eq!(keys(&source, 0), ["app:1", "app:2", "app:tmp:1", "app:tmp:2", "other"]);
    for (key, value) in [("app:1", "old"), ("app:2", "old"), ("app:tmp:1", "new"), ("other", "newer")] {
        assert_eq!(source.ask::<String>(0, &["GET", key]), value, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_keys_are_renamed_is_recovered() {
    let source = Source::with(&RedisOptions::new(RedisVersion::Redis7_0).durable().setting("databases", "4"));
    for index in [1, 2] {
        source.run(index, &["SET", "somebody else's", "1"]);
    }
    source.seed(Seed::Large);
    let node = crate::archive::driver_of(&source);
    let dump = dump(&*node).await;
    let dumped = source.fingerprint();
    source.seed(Seed::Ordinary);
    let mut connection = source.connection(0);
    let mut pipe = redis::pipe();
    for at in 2000..6000 {
        pipe.set(format!("key:{at:05}"), at);
    }
    pipe.exec(&mut connection).unwrap();
    drop(connection);
    // Of the groups of a stream, a server's log does not keep everything.
    source.server.kill();
    source.server.restart();
    let before = source.fingerprint();
    for (forward, after) in
        [(false, 1), (true, 3), (false, 6), (false, 12), (true, 20), (false, 30), (false, 60), (true, 90)]
    {
        let run = run();
        let mut staging = node.stage(dump.node.clone(), StageContext::new(run.clone())).await.unwrap();
        staging.begin().await.unwrap();
        load(&*staging, &*dump.node).await.unwrap();
        staging.prepare().await.unwrap();
        let token = staging.journal();
        std::thread::scope(|scope| {
            let killing = scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(after));
                source.server.kill();
            });
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    let _whatever = staging.commit().await;
                });
            });
            killing.join().unwrap();
        });
        source.server.restart();
        if forward {
            let mut again = node.resume(&token, StageContext::new(run.clone())).await.unwrap();
            again.commit().await.unwrap();
            assert!(source.fingerprint() == dumped, "{after}");
        }
        for _twice in 0..2 {
            let mut again = node.resume(&token, StageContext::new(run.clone())).await.unwrap();
            again.rollback().await.unwrap();
            assert_eq!(source.fingerprint(), before, "{after}");
        }
        assert_eq!(source.beside(), ["database 1".to_owned(), "database 2".to_owned()].into());
    }
}
