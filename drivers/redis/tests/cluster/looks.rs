//! Ways to a cluster, and what is told of it.

use dumprestore_driver::{
    ArchivedNode, CutContext, CutMode, Inspection, OldState, OpenContext, Severity, StageContext,
};
use dumprestore_testkit::{RedisCluster, RedisOptions, RedisServer, free_port};
use serde_json::json;

use crate::archive::{driver, dump, prepared};
use crate::restore_support::cmd;
use crate::shop::{Ground, V, change, content, driver_of, fill, own, start};

fn told(inspection: &Inspection, text: &str) -> bool {
    inspection.problems.iter().any(|problem| {
        problem.message.contains(text) || problem.hint.as_ref().is_some_and(|hint| hint.contains(text))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_tls_and_a_password_is_dumped_and_put_back() {
    let options = RedisOptions::new(V)
        .tls()
        .password("p@ss word")
        .user("ops", "on >other ~* +@all -@admin +config|get");
    let cluster = RedisCluster::with(&options);
    fill(&cluster);
    let before = content(cluster.nodes());
    let first = &cluster.nodes()[0];
    let url = format!("{}?tls-ca={}", first.tls_url(0), first.authority().file().display());
    let with_all = driver(json!({ "url": url }));
    let inspection = with_all.inspect().await.unwrap();
    assert!(
        inspection.problems.iter().all(|problem| problem.severity == Severity::Warning),
        "{inspection:?}"
    );
    let dump = dump(&*with_all).await;
    assert_eq!(dump.node.parts().count(), 3);
    change(&cluster);
    // As who restores only.
    let (_, place) = url.split_once('@').unwrap();
    let login = driver(json!({ "url": format!("rediss://{place}"), "user": "ops", "password": "other" }));
    let mut staging = prepared(&*login, dump.node.clone()).await.unwrap();
    staging.commit().await.unwrap();
    staging.finish(OldState::Drop).await.unwrap();
    assert!(content(cluster.nodes()) == before);
    let facts = format!("{:?}", dump.node.facts());
    assert!(!facts.contains("ss word") && !facts.contains("ss%20word"));
    // Its other nodes are no `localhost`, which the authority does not mind.
    let by_address = url.replace("localhost", "127.0.0.1");
    assert!(driver(json!({ "url": by_address })).inspect().await.unwrap().facts.contains_key("primaries"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_not_where_the_cluster_says_is_told_of_with_what_to_set() {
    let cluster = start();
    let closed = free_port();
    cluster.nodes()[0].run(0, &cmd(&["CONFIG", "SET", "cluster-announce-port", &closed.to_string()]));
    let inspection = driver_of(&cluster.url()).inspect().await.unwrap();
    assert!(told(&inspection, "cluster-announce-ip"), "{inspection:?}");
    assert!(told(&inspection, &format!("127.0.0.1:{closed}")), "{inspection:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_ask_who_has_the_slots_is_told_so() {
    let options = RedisOptions::new(V).user("half", "on >half ~* +@all -cluster|nodes");
    let cluster = RedisCluster::with(&options);
    let half = driver(json!({ "url": cluster.url(), "user": "half", "password": "half" }));
    let inspection = half.inspect().await.unwrap();
    assert!(told(&inspection, "cluster|nodes"), "{inspection:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_no_slots_is_not_dumped_as_an_empty_server() {
    let alone = RedisOptions::new(V).setting("cluster-enabled", "yes").start();
    let driver = driver_of(&alone.url(0));
    assert!(told(&driver.inspect().await.unwrap(), "has no slots"));
    let folder = dumprestore_testkit::TempDir::with_prefix("dumprestore-").unwrap();
    let error = match driver.open(OpenContext::new("run", folder.path())).await {
        Err(error) => error,
        Ok(mut source) => {
            source.pin(&CutContext::new(std::time::SystemTime::now(), CutMode::Open)).await.unwrap_err()
        }
    };
    assert!(error.to_string().contains("has no slots"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_with_the_least_room_tells_what_a_restore_needs() {
    let Ground { cluster, driver, dump, .. } = Ground::of(own()).await;
    let cx = StageContext::new("run");
    let changes = || driver.changes(dump.node.clone(), &cx);
    let unlimited = changes().await.unwrap();
    assert_eq!((unlimited.needs_bytes, unlimited.free_bytes), (None, None));
    // One of them has the long value.
    let room = |node: &RedisServer, most: u64| {
        node.run(0, &cmd(&["CONFIG", "SET", "maxmemory", &most.to_string()]));
    };
    cluster.nodes().iter().for_each(|node| room(node, 1 << 30));
    let roomy = changes().await.unwrap();
    assert!((1 << 20..3 << 20).contains(&roomy.needs_bytes.unwrap()), "{roomy:?}");
    for node in cluster.nodes() {
        room(node, node.info("used_memory").parse::<u64>().unwrap() + 1000);
        let tight = changes().await.unwrap();
        assert!(tight.needs_bytes > tight.free_bytes, "{tight:?}");
        room(node, 1 << 30);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_at_another_primary_is_told_with_its_place() {
    let cluster = start();
    let other = &cluster.nodes()[2];
    let used: u64 = other.info("used_memory").parse().unwrap();
    other.run(0, &cmd(&["CONFIG", "SET", "maxmemory", &(used + 1000).to_string()]));
    let inspection = driver_of(&cluster.url()).inspect().await.unwrap();
    let place = format!("127.0.0.1:{}: `maxmemory`", other.port());
    assert!(told(&inspection, &place), "{inspection:?}");
    // What all have in common is told once.
    let common = inspection.problems.iter().filter(|problem| problem.message.contains("it is a cluster"));
    assert_eq!(common.count(), 1);
}
