//! `init`: MySQL and MariaDB databases that the environment and an application's files name.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

mod support;

use dumprestore_testkit::{MysqlServer, MysqlVersion};
use insta::assert_snapshot;
use support::{Ran, Shop};

/// Whatever it is part of must not be copied.
const SECRET: &str = "n0t-to-be-seen";

const COMPOSE: &str = "\
services:
  db:
    image: mariadb:11
    environment:
      MARIADB_ROOT_PASSWORD: n0t-to-be-seen-1
      MARIADB_DATABASE: shop
      MARIADB_USER: shop
      MARIADB_PASSWORD: n0t-to-be-seen-2
    ports: [\"3307:3306\"]
  legacy:
    image: docker.io/library/mysql:8.4
    environment: [\"MYSQL_DATABASE=${LEGACY:-old one}\", MYSQL_ROOT_PASSWORD]
  stats:
    image: percona/percona-server
    environment: { MYSQL_ROOT_PASSWORD_FILE: /run/secrets/stats }
    ports: [{ target: 3306, published: 3308 }]
  events: { image: postgres, environment: { POSTGRES_PASSWORD: n0t-to-be-seen-3 } }
secrets: { stats: { file: ./stats-password } }
";

const RAILS: &str = "\
production:
  primary:
    adapter: trilogy
    host: db
    username: <%= ENV['STORE_USER'] %>
    database: store
    password: n0t-to-be-seen-4
  queue: { adapter: mysql2, database: queue, socket: /run/mysqld/mysqld.sock }
  events: { adapter: postgresql, database: events }
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
fn a_compose_file_names_its_servers_of_every_family() {
    let shop = Shop::empty();
    std::fs::write(shop.path("compose.yaml"), COMPOSE).unwrap();
    assert_snapshot!("init_mysql_compose", nodes(&init(&shop, &[]).1));
}

#[test]
fn a_rails_application_may_use_several_families() {
    let shop = Shop::empty();
    std::fs::create_dir(shop.path("config")).unwrap();
    std::fs::write(shop.path("config/database.yml"), RAILS).unwrap();
    assert_snapshot!("init_mysql_rails", nodes(&init(&shop, &[]).1));
}

#[test]
fn frameworks_say_in_the_environment_and_in_env_files_which_family_is_meant() {
    let shop = Shop::empty();
    let laravel = "DB_CONNECTION=mysql\nDB_HOST=db\nDB_PORT=3306\nDB_DATABASE=blog\nDB_USERNAME=blog\n\
        DB_PASSWORD=n0t-to-be-seen-5\nMYSQL_DATABASE=blog\n";
    std::fs::write(shop.path(".env"), laravel).unwrap();
    let local = "WORDPRESS_DB_HOST=wp\nWORDPRESS_DB_NAME=press\nWORDPRESS_DB_USER=wp\nWORDPRESS_DB_PASSWORD=n0t-to-be-seen-6\n\
        OTHER_URL=mysql2://u:n0t-to-be-seen-7@h/other?reconnect=true\n";
    std::fs::write(shop.path(".env.local"), local).unwrap();
    let environment = [
        (
            "DATABASE_URL",
            "mysql://app:n0t-to-be-seen-8@127.0.0.1:3306/shop?serverVersion=8.0.32&charset=utf8mb4",
        ),
        ("JAWSDB_MARIA_URL", "mysql://x:n0t-to-be-seen-9@h:3306/shop"),
    ];
    assert_snapshot!("init_mysql_environment", nodes(&init(&shop, &environment).1));
}

#[test]
fn what_is_written_can_be_checked_dumped_and_written_as_sql_at_once() {
    let server = MysqlServer::start(MysqlVersion::Mariadb10_11);
    let database = server.create_database();
    server.batch(&database, "CREATE TABLE t (v text); INSERT INTO t VALUES ('a\\\\b')");
    server.batch("", &format!("ALTER USER root@'127.0.0.1' IDENTIFIED BY '{SECRET}'"));
    let shop = Shop::empty();
    let (compose, _) = COMPOSE.split_once("  legacy:").unwrap();
    let compose = compose
        .replace("3307", &server.port().to_string())
        .replace("MARIADB_DATABASE: shop", &format!("MARIADB_DATABASE: {database}"));
    std::fs::write(shop.path("compose.yml"), compose).unwrap();
    init(&shop, &[]);
    let must = |arguments: &[&str]| {
        let environment = [("MYSQL_ROOT_PASSWORD", SECRET)];
        let ran = shop.ran(arguments, &shop.command(arguments).envs(environment).output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.transcript());
        ran.stdout
    };
    must(&["check"]);
    must(&["dump"]);
    let script = must(&["extract", "latest", &database, "--sql", "-o", "-"]);
    assert!(script.contains("\nINSERT INTO `t` (`v`) VALUES\n('a\\\\b');\n"), "{script}");
    assert!(!script.contains(SECRET));
}
