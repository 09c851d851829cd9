//! Everything that a server holds comes back, from the file alone.

use dumprestore_testkit::{RedisServer, RedisVersion};

use crate::dump_support::{all, dump, fill, loaded, scanned, state, try_dump};

async fn everything_comes_back(version: RedisVersion) {
    let server = RedisServer::start(version);
    fill(&server);
    let before = state(&server);
    let keys: u64 = before.1.len() as u64;
    let functions = if version == RedisVersion::Redis6_0 { 0 } else { 1 };
    for config in [all(&server), scanned(all(&server))] {
        let dump = try_dump(config).await.unwrap_or_else(|error| panic!("{error:?}: {}", server.log()));
        assert_eq!(dump.keys, keys);
        assert_eq!(dump.facts["keys"], keys.to_string());
        assert_eq!(dump.facts["functions"], functions.to_string());
        assert_eq!(dump.facts["databases"], "all");
        assert!(dump.facts["server_version"].contains(version.number()), "{:?}", dump.facts);
        // Servers that can't do without a file are told to remove it.
        assert!(dump.ledger.iter().all(|entry| entry.what == "rdb-del-sync-files"), "{:?}", dump.ledger);
        let again = loaded(version, &dump.bytes);
        assert_eq!(state(&again), before);
        if functions > 0 {
            let said: String = again.ask(0, redis::cmd("FCALL").arg("f").arg(0));
            assert_eq!(said, "of a function");
        }
        let groups: Vec<redis::Value> = again.ask(0, redis::cmd("XPENDING").arg("stream:large").arg("group"));
        assert_eq!(groups[0], redis::Value::Int(9));
        // Nothing in it makes a server believe that it is another.
        assert!(!dump.has("repl-id"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_of_redis_6() {
    everything_comes_back(RedisVersion::Redis6_0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_of_redis_7() {
    everything_comes_back(RedisVersion::Redis7_0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_of_redis_8() {
    everything_comes_back(RedisVersion::Redis8_0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_of_valkey_8() {
    everything_comes_back(RedisVersion::Valkey8_1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_of_valkey_9() {
    everything_comes_back(RedisVersion::Valkey9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_server_gives_a_file_without_keys() {
    let server = RedisServer::start(RedisVersion::Redis7_0);
    for config in [all(&server), scanned(all(&server))] {
        let dump = dump(config).await;
        assert_eq!(dump.keys, 0);
        assert_eq!(state(&loaded(RedisVersion::Redis7_0, &dump.bytes)), state(&server));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_has_expired_and_is_still_there_is_dumped_with_its_time() {
    let server = RedisServer::start(RedisVersion::Redis7_0);
    server.run(0, redis::cmd("DEBUG").arg("SET-ACTIVE-EXPIRE").arg(0));
    server.run(0, redis::cmd("SET").arg("expired").arg("x").arg("PX").arg(1));
    server.run(0, redis::cmd("SET").arg("lasting").arg("x"));
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let dump = dump(all(&server)).await;
    assert_eq!(dump.keys, 2);
    assert!(dump.has("expired"));
    let again = loaded(RedisVersion::Redis7_0, &dump.bytes);
    let keys: Vec<String> = again.ask(0, redis::cmd("KEYS").arg("*"));
    assert_eq!(keys, ["lasting"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_of_use_survive() {
    let options = dumprestore_testkit::RedisOptions::new(RedisVersion::Redis7_0);
    let server = options.setting("maxmemory-policy", "allkeys-lfu").setting("maxmemory", "100mb").start();
    server.run(0, redis::cmd("SET").arg("often").arg("x"));
    for _ in 0..200 {
        server.run(0, redis::cmd("GET").arg("often"));
    }
    let dump = dump(all(&server)).await;
    // The opcode of a frequency, and then the type and the key.
    let at = dump.bytes.windows(7).position(|window| window == b"\x00\x05often").unwrap();
    assert_eq!(dump.bytes[at - 2], 0xf9);
    assert!(dump.bytes[at - 1] > 5);
}
