//! `init`: PostgreSQL databases that the environment and an application's files name.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use dumprestore_testkit::{PostgresServer, PostgresVersion};
use insta::assert_snapshot;
use support::{Ran, Shop};

/// Whatever it is part of must not be copied.
const SECRET: &str = "n0t-to-be-seen";

const COMPOSE: &str = "\
x-environment: &environment
  POSTGRES_USER: ${SHOP_USER:-shop}
  POSTGRES_PASSWORD: n0t-to-be-seen-1
services:
  app: { image: shop, environment: { POSTGRES_PASSWORD: n0t-to-be-seen-2 } }
  db:
    image: postgres:16-alpine
    environment: { <<: *environment, POSTGRES_DB: shop }
    ports: [\"127.0.0.1:5433:5432\"]
  events:
    image: timescale/timescaledb-ha:pg16
    environment:
      - POSTGRES_DB=events
      - POSTGRES_PASSWORD=${EVENTS_PASSWORD:-n0t-to-be-seen-3}
    ports:
      - { target: 5432, published: \"${EVENTS_PORT:-5434}\", host_ip: 0.0.0.0 }
  geo:
    image: postgis/postgis
    env_file: geo.env
    environment: { POSTGRES_PASSWORD_FILE: /run/secrets/geo }
secrets: { geo: { file: ./geo-password } }
";

const RAILS: &str = "\
default: &default
  adapter: postgresql
  pool: <%= ENV.fetch(\"RAILS_MAX_THREADS\") { 5 } %>
  username: rails
  password: n0t-to-be-seen-4$
development:
  <<: *default
  database: store_development
production:
  primary: &primary
    <<: *default
    host: <%= ENV['STORE_HOST'] %>
    database: it's the store
    password: <%= ENV[\"STORE_PASSWORD\"] %>
  replica: { <<: *primary, replica: true }
  queue:
    <<: *default
    database: queue
";

fn init(shop: &Shop, environment: &[(&str, &str)]) -> (Ran, String) {
    let output = shop.command(&["init"]).envs(environment.iter().copied()).output().unwrap();
    let text = std::fs::read_to_string(shop.path("dumprestore.yaml")).unwrap_or_default();
    let ran = shop.ran(&["init"], &output);
    assert!(![&text, &ran.stdout, &ran.stderr].iter().any(|said| said.contains(SECRET)), "{text}");
    (ran, text)
}

/// The nodes alone.
fn nodes(text: &str) -> &str {
    text.split_once("\nset:\n").map(|(_, nodes)| nodes).unwrap_or_default()
}

#[test]
fn a_compose_file_names_its_servers_and_no_password_is_copied() {
    let shop = Shop::empty();
    std::fs::write(shop.path("docker-compose.yml"), COMPOSE).unwrap();
    std::fs::write(shop.path("geo.env"), "POSTGRES_USER=geo\nPOSTGRES_PASSWORD=n0t-to-be-seen-5\n").unwrap();
    std::fs::create_dir(shop.path("uploads")).unwrap();
    let (ran, text) = init(&shop, &[]);
    assert_eq!(ran.code, 0, "{}", ran.transcript());
    assert_snapshot!("init_compose", nodes(&text));
}

#[test]
fn a_rails_application_names_its_databases() {
    let shop = Shop::empty();
    std::fs::create_dir(shop.path("config")).unwrap();
    std::fs::write(shop.path("config/database.yml"), RAILS).unwrap();
    let (ran, text) = init(&shop, &[]);
    assert_eq!(ran.code, 0, "{}", ran.transcript());
    assert_snapshot!("init_rails", nodes(&text));
}

#[test]
fn the_environment_and_env_files_are_referred_to_and_the_same_database_is_found_once() {
    let shop = Shop::empty();
    let laravel = "DB_CONNECTION=pgsql\nDB_HOST=db\nDB_DATABASE=blog\nDB_USERNAME=blog\nDB_PASSWORD=n0t-to-be-seen-6\n\
        CACHE_URL='postgresql://cache:n0t-to-be-seen-7@db/cache?sslmode=require'\nTEST_URL=postgres://x/test\n";
    std::fs::write(shop.path(".env"), laravel).unwrap();
    std::fs::write(shop.path("compose.yaml"), COMPOSE.split_once("  events:").unwrap().0).unwrap();
    let environment = [
        ("DATABASE_URL", "postgres://shop:n0t-to-be-seen-8@localhost/shop"),
        ("PGHOST", "/run/postgresql"),
        ("PGDATABASE", "metrics"),
        ("PGPASSWORD", "n0t-to-be-seen-9"),
        ("POSTGRES_URL", "mongodb://x/y"),
    ];
    let (ran, text) = init(&shop, &environment);
    assert_eq!(ran.code, 0, "{}", ran.transcript());
    assert_snapshot!("init_environment", nodes(&text));
}

#[test]
fn what_is_no_such_server_or_can_t_be_understood_makes_no_node() {
    let shop = Shop::empty();
    std::fs::write(shop.path(".env"), "DB_CONNECTION=sqlsrv\nDB_DATABASE=x\nDATABASE_URL=sqlserver://x/y\n")
        .unwrap();
    std::fs::write(
        shop.path("compose.yml"),
        "services: { db: { image: \"mongo:8\" }, x: { image: postgrest } }",
    )
    .unwrap();
    let (ran, text) = init(&shop, &[("PGUSER", "somebody"), ("PGPORT", "5433")]);
    assert_eq!((ran.code, text.as_str()), (1, ""), "{}", ran.transcript());
    std::fs::create_dir(shop.path("uploads")).unwrap();
    std::fs::write(shop.path("compose.yml"), "services: [").unwrap();
    let (ran, text) = init(&shop, &[]);
    assert!(ran.stderr.contains("can't understand `compose.yml`"), "{}", ran.transcript());
    assert!(!text.contains("postgres"), "{text}");
}

#[test]
fn what_is_written_can_be_checked_dumped_and_written_as_sql_at_once() {
    let server = PostgresServer::shared(PostgresVersion::V15);
    let database = server.create_database();
    server.batch(&database, "CREATE TABLE t (v text); INSERT INTO t VALUES (E'a\\\\b')");
    let shop = Shop::empty();
    let compose = COMPOSE
        .replace("5433", &server.port().to_string())
        .replace("POSTGRES_DB: shop", &format!("POSTGRES_DB: {database}"));
    std::fs::write(shop.path("docker-compose.yml"), compose.split_once("  events:").unwrap().0).unwrap();
    init(&shop, &[]);
    let must = |arguments: &[&str]| {
        let environment = [("SHOP_USER", "postgres"), ("POSTGRES_PASSWORD", SECRET)];
        let ran = shop.ran(arguments, &shop.command(arguments).envs(environment).output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.transcript());
        ran.stdout
    };
    must(&["check"]);
    must(&["dump"]);
    let script = must(&["extract", "latest", &database, "--sql", "-o", "-"]);
    assert!(script.contains("\nCOPY \"public\".\"t\" (\"v\") FROM STDIN;\na\\\\b\n\\.\n"), "{script}");
    assert!(!script.contains(SECRET));
    server.drop_database(&database);
}
