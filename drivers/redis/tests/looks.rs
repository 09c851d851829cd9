//! What is found out by looking, before a run.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod look_support;

use dumprestore_driver::{Claim, Severity};
use dumprestore_redis::{All, Databases, Mode, RedisConfig};
use dumprestore_testkit::{RedisCluster, RedisOptions, RedisServer, RedisVersion, soon};
use look_support::{about, driver, look, look_at, serious};
use redis::cmd;

const V: RedisVersion = RedisVersion::Redis7_0;

fn with(url: &str, change: impl FnOnce(&mut RedisConfig)) -> RedisConfig {
    let mut config = RedisConfig::new(url);
    change(&mut config);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_server_has_no_problems_and_tells_its_size() {
    for version in RedisVersion::ALL {
        let server = RedisServer::start(version);
        server.run(0, cmd("SET").arg("key").arg(vec![b'x'; 100_000]));
        for mode in [Mode::Replication, Mode::Scan] {
            let inspection = look(with(&server.url(0), |config| config.mode = mode)).await;
            assert!(serious(&inspection).is_empty(), "{version:?}: {:?}", inspection.problems);
            assert!(inspection.size.unwrap() > 50_000, "{:?}", inspection.size);
            assert_eq!(inspection.parts, Some(1));
            assert!(!inspection.absent);
            assert_eq!(inspection.facts["keys"], "1");
            assert_eq!(inspection.facts["role"], "primary");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_leaves_no_trace_in_the_keys() {
    for version in RedisVersion::ALL {
        let server = RedisServer::start(version);
        server.run(0, cmd("SET").arg("key").arg("value"));
        let before = (server.info("rdb_changes_since_last_save"), server.info("keyspace_hits"));
        look(with(&server.url(0), |config| config.mode = Mode::Scan)).await;
        look_at(&server.url(0)).await;
        assert_eq!((server.info("rdb_changes_since_last_save"), server.info("keyspace_hits")), before);
        assert_eq!(server.info("rdb_bgsave_in_progress"), "0");
        assert_eq!(server.ask::<i64>(0, &cmd("DBSIZE")), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_hold_keys_and_are_left_out_are_told_of() {
    let server = RedisServer::start(V);
    for index in [0, 4, 7] {
        server.run(index, cmd("SET").arg("key").arg("value"));
    }
    let some = look(with(&server.url(0), |config| config.databases = Some(Databases::These(vec![4])))).await;
    assert_eq!(about(&some, "leaves out: 0, 7").severity, Severity::Warning);
    let all = look(with(&server.url(0), |config| config.databases = Some(Databases::All(All::All)))).await;
    assert!(
        serious(&all).is_empty()
            && !all.problems.iter().any(|problem| problem.message.contains("leaves out"))
    );
    assert!(all.size.unwrap() >= some.size.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_claims_each_of_its_databases() {
    let server = RedisServer::start(V);
    let claims = |inspection: dumprestore_driver::Inspection| {
        inspection.claims.into_iter().map(|claim| match claim {
            Claim::Name(name) => name,
            other => panic!("{other:?}"),
        })
    };
    let two: Vec<_> = claims(
        look(with(&server.url(0), |config| config.databases = Some(Databases::These(vec![7, 4])))).await,
    )
    .collect();
    assert!(two[0].starts_with("redis://") && two[0].ends_with("/4") && two[1].ends_with("/7"), "{two:?}");
    let all: Vec<_> =
        claims(look(with(&server.url(0), |config| config.databases = Some(Databases::All(All::All)))).await)
            .collect();
    assert_eq!(all.len(), 16);
    assert!(two.iter().all(|claim| all.contains(claim)));
    let other = RedisServer::start(V);
    let others: Vec<_> = claims(look_at(&other.url(4)).await).collect();
    assert!(!all.contains(&others[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_an_error() {
    let server = RedisServer::start(V);
    let of_url = look_at(&server.url(16)).await;
    assert_eq!(about(&of_url, "out of range").severity, Severity::Error);
    let listed =
        look(with(&server.url(0), |config| config.databases = Some(Databases::These(vec![1, 99])))).await;
    assert_eq!(about(&listed, "there is no database 99").severity, Severity::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_do_something_is_told_what() {
    for version in RedisVersion::ALL {
        let server = RedisServer::start(version);
        let user = |name: &str, rights: &[&str]| {
            server.run(0, cmd("ACL").arg("SETUSER").arg(name).arg("on").arg(">pw").arg(rights));
            server.url(0).replace("://", &format!("://{name}:pw@"))
        };
        let all = look_at(&user("all", &["~*", "+@all"])).await;
        assert!(serious(&all).is_empty(), "{version:?}: {:?}", all.problems);
        // Who may not replicate.
        let url = user("nosync", &["~*", "+@all", "-sync", "-psync", "-replconf"]);
        let inspection = look_at(&url).await;
        assert_eq!(about(&inspection, "mode: scan").severity, Severity::NoDump, "{version:?}");
        assert_eq!(serious(&inspection).len(), 1);
        let scan = look(with(&url, |config| config.mode = Mode::Scan)).await;
        assert!(serious(&scan).is_empty(), "{version:?}: {:?}", scan.problems);
        // Who may only read.
        let url = user(
            "reader",
            &[
                "~*",
                "+@read",
                "+@connection",
                "+info",
                "+time",
                "+config|get",
                "+sync",
                "+multi",
                "+discard",
                "+acl|whoami",
            ],
        );
        let inspection = look_at(&url).await;
        let severities: Vec<_> = serious(&inspection).iter().map(|problem| problem.severity).collect();
        assert!(severities.contains(&Severity::NoRestore), "{version:?}: {:?}", inspection.problems);
        assert!(!severities.contains(&Severity::Error), "{version:?}: {:?}", inspection.problems);
        // Who may do everything with some keys.
        let url = user("some", &["~mine:*", "+@all"]);
        let scan = look(with(&url, |config| config.mode = Mode::Scan)).await;
        assert!(
            serious(&scan).iter().any(|problem| problem.severity == Severity::NoDump),
            "{version:?}: {:?}",
            scan.problems
        );
        // Who may not even ask.
        let inspection = look_at(&user("nothing", &["~*", "+ping"])).await;
        assert_eq!(about(&inspection, "NOPERM").severity, Severity::Error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_which_commands_are_switched_off_is_told_from_one_that_forbids_them() {
    let server =
        RedisOptions::new(V).line("rename-command SYNC \"\"").line("rename-command CONFIG \"\"").start();
    let inspection = look_at(&server.url(0)).await;
    let problem = about(&inspection, "unknown command");
    assert_eq!(problem.severity, Severity::NoDump);
    assert!(problem.hint.as_ref().unwrap().contains("mode: scan"));
    assert!(serious(&look(with(&server.url(0), |config| config.mode = Mode::Scan)).await).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_can_be_dumped_and_not_restored_into() {
    let primary = RedisOptions::new(V).setting("repl-diskless-sync-delay", "0").start();
    let replica = RedisOptions::new(V).replica_of(&primary).start();
    soon("a link", || replica.info("master_link_status") == "up");
    let inspection = look_at(&replica.url(0)).await;
    assert_eq!(about(&inspection, "takes no writes").severity, Severity::NoRestore);
    assert_eq!(serious(&inspection).len(), 1);
    drop(primary);
    soon("a lost link", || replica.info("master_link_status") == "down");
    let inspection = look_at(&replica.url(0)).await;
    assert_eq!(about(&inspection, "has lost its primary").severity, Severity::NoDump);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_needs_an_empty_database_for_each_of_the_node() {
    let server = RedisOptions::new(V).setting("databases", "4").start();
    for index in [0, 1] {
        server.run(index, cmd("SET").arg("key").arg("value"));
    }
    let of = |databases: Databases| look(with(&server.url(0), |config| config.databases = Some(databases)));
    assert!(serious(&of(Databases::These(vec![0, 1])).await).is_empty());
    server.run(2, cmd("SET").arg("key").arg("value"));
    let inspection = of(Databases::These(vec![0, 1])).await;
    assert_eq!(
        about(&inspection, "a restore needs 2 that are empty, and there is one").severity,
        Severity::Warning
    );
    let inspection = of(Databases::All(All::All)).await;
    assert_eq!(
        about(&inspection, "a restore needs 3 that are empty, and there is one").severity,
        Severity::Warning
    );
    assert!(serious(&of(Databases::These(vec![0])).await).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_does_not_hold_the_data_twice_is_told_of() {
    let server = RedisServer::start(V);
    server.run(0, cmd("CONFIG").arg("SET").arg("maxmemory").arg("40mb"));
    assert!(
        look_at(&server.url(0)).await.problems.iter().all(|problem| !problem.message.contains("maxmemory"))
    );
    server.run(0, cmd("SET").arg("key").arg(vec![b'x'; 15 << 20]));
    server.run(0, cmd("CONFIG").arg("SET").arg("maxmemory").arg("20mb"));
    let inspection = look_at(&server.url(0)).await;
    assert_eq!(about(&inspection, "maxmemory").severity, Severity::Warning);
    server.run(0, cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg("allkeys-lru"));
    let inspection = look_at(&server.url(0)).await;
    assert!(about(&inspection, "allkeys-lru").message.contains("live keys"));
    assert_eq!(inspection.facts["maxmemory_policy"], "allkeys-lru");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_not_save_takes_no_restore() {
    let server = RedisOptions::new(V).line("save 3600 1").start();
    server.run(0, cmd("SET").arg("key").arg("value"));
    let data = server.folder().join("data");
    std::fs::remove_dir(&data).unwrap();
    server.run(0, &cmd("BGSAVE"));
    soon("a save that failed", || server.info("rdb_last_bgsave_status") == "err");
    let inspection = look_at(&server.url(0)).await;
    assert_eq!(about(&inspection, "could not save").severity, Severity::NoRestore);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_of_a_cluster_tells_of_all_of_it() {
    let cluster = RedisCluster::start(V);
    let first = look_at(&cluster.url()).await;
    for node in cluster.nodes() {
        let inspection = look_at(&node.url(0)).await;
        assert_eq!(about(&inspection, "it is a cluster").severity, Severity::Warning);
        assert!(inspection.problems.iter().all(|problem| problem.severity == Severity::Warning));
        assert_eq!(inspection.parts, Some(3));
        assert_eq!(inspection.facts["primaries"], "3");
        assert_eq!(inspection.claims, first.claims);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_which_a_slot_moves_is_not_touched() {
    let cluster = RedisCluster::start(V);
    let [from, to, _] = cluster.nodes() else { panic!() };
    let id: String = from.ask(0, cmd("CLUSTER").arg("MYID"));
    to.run(0, cmd("CLUSTER").arg("SETSLOT").arg(0).arg("IMPORTING").arg(id));
    let inspection = look_at(&from.url(0)).await;
    let problem = about(&inspection, "being moved");
    assert_eq!(problem.severity, Severity::Error);
    assert!(problem.hint.as_deref().unwrap().contains("--cluster check"));
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_scans_are_warned_of() {
    let server = RedisServer::start(V);
    let inspection = look(with(&server.url(0), |config| config.exclude = vec!["tmp:*".to_owned()])).await;
    assert_eq!(about(&inspection, "renames keys one after the other").severity, Severity::Warning);
    let inspection = look(with(&server.url(0), |config| config.mode = Mode::Scan)).await;
    assert_eq!(about(&inspection, "not of one instant").severity, Severity::Warning);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_the_cut_waiting_is_told_of() {
    let server = RedisServer::start(V);
    server.run(0, cmd("CONFIG").arg("SET").arg("repl-diskless-sync-delay").arg(5));
    let inspection = look_at(&server.url(0)).await;
    assert_eq!(about(&inspection, "waits 5 s").severity, Severity::Warning);
    server.run(0, cmd("CONFIG").arg("SET").arg("repl-diskless-sync-delay").arg(0));
    assert_eq!(look_at(&server.url(0)).await.problems, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_earlier_restores_have_left_is_told_of() {
    let server = RedisServer::start(V);
    let mark = |index: u64, run: &str, what: &str| {
        server.run(index, cmd("HSET").arg("dumprestore:restore").arg(run).arg(what));
    };
    mark(9, "RUN:0", "old");
    mark(8, "OTHER:0", "kept");
    server.run(8, cmd("SET").arg("key").arg("value"));
    (10..16).for_each(|index| mark(index, "RUN:1", "staged"));
    (1..8).for_each(|index| server.run(index, cmd("SET").arg("key").arg("value")));
    let inspection =
        look(with(&server.url(0), |config| config.databases = Some(Databases::All(All::All)))).await;
    let cut_off = about(&inspection, "cut off, in databases: 10, 11, 12, 13, 14, 15, 9");
    assert!(cut_off.hint.as_ref().unwrap().contains("recover") && cut_off.severity == Severity::Warning);
    let kept = about(&inspection, "the previous state is kept in databases: 8");
    assert!(kept.hint.as_ref().unwrap().contains(":previous"));
    // What was staged is room once it is recovered.
    about(&inspection, "needs 7 that are empty, and there are 6");
}

#[test]
fn options_that_contradict_themselves_are_refused() {
    let url = "redis://localhost";
    let refused = |config: RedisConfig, said: &str| {
        let error = driver(config).err().unwrap();
        assert!(error.to_string().contains(said), "{error}");
    };
    refused(
        with(url, |config| config.databases = Some(Databases::These(Vec::new()))),
        "`databases` is empty",
    );
    refused(with(url, |config| config.databases = Some(Databases::These(vec![1, 2, 1]))), "twice");
    for databases in [Databases::These(vec![0, 1]), Databases::These(vec![4]), Databases::All(All::All)] {
        let named = with("redis://localhost/3", |config| config.databases = Some(databases));
        refused(named, "`databases` says otherwise");
    }
    refused(with(url, |config| config.include = vec![String::new()]), "`include` has an empty pattern");
    refused(with(url, |config| config.user = Some("u".to_owned())), "a user and no password");
    refused(with(url, |config| config.sentinel_user = Some("u".to_owned())), "sentinel_password");
}

#[test]
fn databases_are_a_list_or_all() {
    let parsed = |yaml: serde_json::Value| serde_json::from_value::<RedisConfig>(yaml);
    let config = parsed(serde_json::json!({ "url": "redis://h", "databases": "all" })).unwrap();
    assert_eq!(config.databases, Some(Databases::All(All::All)));
    let config = parsed(serde_json::json!({ "url": "redis://h", "databases": [0, 3] })).unwrap();
    assert_eq!(config.databases, Some(Databases::These(vec![0, 3])));
    assert!(parsed(serde_json::json!({ "url": "redis://h", "databases": "some" })).is_err());
    assert!(parsed(serde_json::json!({ "url": "redis://h", "database": 1 })).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_queue_commands_has_none_of_them_executed() {
    for version in RedisVersion::ALL {
        let server = RedisServer::start(version);
        for denied in ["-multi", "-discard", "-exec"] {
            server.run(0, cmd("SET").arg("key").arg("value"));
            server.run(1, cmd("SET").arg("other").arg("value"));
            let rights = ["on", ">pw", "~*", "+@all", denied];
            let user = denied.trim_start_matches('-');
            server.run(0, cmd("ACL").arg("SETUSER").arg(user).arg(&rights));
            let url = server.url(0).replace("://", &format!("://{user}:pw@"));
            for mode in [Mode::Replication, Mode::Scan] {
                let inspection = look(with(&url, |config| config.mode = mode)).await;
                let no_restore =
                    serious(&inspection).iter().any(|problem| problem.severity == Severity::NoRestore);
                assert_eq!(no_restore, denied == "-multi", "{version:?} {denied}: {:?}", inspection.problems);
            }
            assert_eq!(server.ask::<i64>(0, cmd("EXISTS").arg("key")), 1, "{version:?} {denied}");
            assert_eq!(server.ask::<i64>(1, cmd("EXISTS").arg("other")), 1, "{version:?} {denied}");
            assert_eq!(server.ask::<i64>(0, &cmd("DBSIZE")), 1, "{version:?} {denied}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_the_documentation_names_are_enough() {
    let reference = include_str!("../../../docs/configuration.md");
    let (_, rest) = reference.split_once("A login for dumps needs `").unwrap();
    let (dump, rest) = rest.split_once("`; one for restores `").unwrap();
    let (restore, _) = rest.split_once('`').unwrap();
    for version in RedisVersion::ALL {
        // Older ones know no rights for parts of `CONFIG`.
        let spelt = |rights: &str| match version {
            RedisVersion::Redis6_0 => rights.replace("+config|get", "+config"),
            _ => rights.to_owned(),
        };
        let server = RedisServer::start(version);
        let login = |name: &str, rights: &str| {
            let rights: Vec<String> = spelt(rights).split(' ').map(str::to_owned).collect();
            server.run(0, cmd("ACL").arg("SETUSER").arg(name).arg(&["on", ">pw"]).arg(rights));
            server.url(0).replace("://", &format!("://{name}:pw@"))
        };
        let severities = |inspection: &dumprestore_driver::Inspection| {
            serious(inspection).iter().map(|problem| problem.severity).collect::<Vec<_>>()
        };
        let inspection = look_at(&login("dump", dump)).await;
        assert_eq!(severities(&inspection), [Severity::NoRestore], "{version:?}: {:?}", inspection.problems);
        let inspection = look_at(&login("restore", restore)).await;
        assert!(
            !severities(&inspection).contains(&Severity::NoRestore),
            "{version:?}: {:?}",
            inspection.problems
        );
        assert!(
            !severities(&inspection).contains(&Severity::Error),
            "{version:?}: {:?}",
            inspection.problems
        );
    }
}
