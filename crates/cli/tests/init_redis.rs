//! `init`: databases of Redis and Valkey that the environment and an application's files name.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use dumprestore_testkit::{RedisOptions, RedisVersion};
use insta::assert_snapshot;
use support::{Ran, Shop};

/// Whatever it is part of must not be copied.
const SECRET: &str = "n0t-to-be-seen";

const COMPOSE: &str = "\
services:
  cache:
    image: redis:7-alpine
    ports: [\"127.0.0.1:6380:6379\"]
  queue:
    image: docker.io/valkey/valkey:9
    command: valkey-server --appendonly yes --requirepass \"${QUEUE_PASSWORD:?}\"
    ports: [\"6381:6379\"]
  sessions:
    image: bitnami/redis
    environment: { REDIS_PASSWORD: n0t-to-be-seen-1 }
  written:
    image: redis
    command: [redis-server, --requirepass, n0t-to-be-seen-2]
    ports: [{ target: 6379, published: 6382 }]
  exporter: { image: oliver006/redis_exporter }
  commander: { image: rediscommander/redis-commander }
";

fn init(shop: &Shop, environment: &[(&str, &str)]) -> (Ran, String) {
    let output = shop.command(&["init"]).envs(environment.iter().copied()).output().unwrap();
    let text = std::fs::read_to_string(shop.path("dumprestore.yaml")).unwrap_or_default();
    let ran = shop.ran(&["init"], &output);
    assert!(![&text, &ran.stdout, &ran.stderr].iter().any(|said| said.contains(SECRET)), "{text}");
    assert_eq!(ran.code, 0, "{}", ran.transcript());
    (ran, text)
}

/// The nodes alone.
fn nodes(text: &str) -> &str {
    text.split_once("\nset:\n").map(|(_, nodes)| nodes).unwrap_or_default()
}

#[test]
fn a_compose_file_names_its_servers() {
    let shop = Shop::empty();
    std::fs::write(shop.path("compose.yaml"), COMPOSE).unwrap();
    assert_snapshot!("init_redis_compose", nodes(&init(&shop, &[]).1));
}

#[test]
fn the_nearest_place_counts_and_one_database_is_one_node() {
    let shop = Shop::empty();
    std::fs::write(shop.path("compose.yaml"), COMPOSE).unwrap();
    std::fs::write(shop.path(".env"), "REDIS_HOST=cache\nREDIS_PORT=6379\n").unwrap();
    let environment = [
        ("REDIS_URL", "redis://:n0t-to-be-seen-3@localhost:6379/0"),
        ("CELERY_BROKER_URL", "redis://:n0t-to-be-seen-3@127.0.0.1/1"),
        ("VALKEY_URL", "redis://127.0.0.1:6379"),
    ];
    assert_snapshot!("init_redis_environment", nodes(&init(&shop, &environment).1));
}

#[test]
fn frameworks_name_the_parts_of_a_connection_in_env_files() {
    let shop = Shop::empty();
    let laravel = "DB_CONNECTION=mysql\nDB_HOST=db\nDB_DATABASE=blog\nDB_USERNAME=blog\n\
        REDIS_CLIENT=phpredis\nREDIS_HOST=127.0.0.1\nREDIS_PASSWORD=null\nREDIS_PORT=6379\n";
    std::fs::write(shop.path(".env"), laravel).unwrap();
    assert_snapshot!("init_redis_env_file", nodes(&init(&shop, &[]).1));
    let shop = Shop::empty();
    let all =
        "REDIS_HOST=r\nREDIS_PORT=6379\nREDIS_USERNAME=app\nREDIS_PASSWORD=n0t-to-be-seen-4\nREDIS_DB=3\n";
    std::fs::write(shop.path(".env"), all).unwrap();
    assert_snapshot!("init_redis_env_file_parts", nodes(&init(&shop, &[]).1));
}

#[test]
fn what_is_written_can_be_checked_dumped_and_restored_at_once() {
    let server = RedisOptions::new(RedisVersion::Redis7_0).password(SECRET).start();
    let key = || redis::cmd("GET").arg("key").clone();
    server.run(0, redis::cmd("SET").arg("key").arg("old"));
    let shop = Shop::empty();
    let compose = format!(
        "services:\n  cache:\n    image: redis:7\n    command: redis-server --requirepass ${{REDIS_PASSWORD}}\n    \
         ports: [\"{}:6379\"]\n",
        server.port()
    );
    std::fs::write(shop.path("compose.yml"), compose).unwrap();
    init(&shop, &[]);
    let must = |arguments: &[&str]| {
        let environment = [("REDIS_PASSWORD", SECRET)];
        let ran = shop.ran(arguments, &shop.command(arguments).envs(environment).output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.transcript());
        assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{}", ran.transcript());
        ran.stdout
    };
    must(&["check"]);
    must(&["dump"]);
    must(&["verify", "latest"]);
    server.run(0, redis::cmd("SET").arg("key").arg("new"));
    must(&["restore", "latest", "--yes"]);
    assert_eq!(server.ask::<String>(0, &key()), "old");
}
