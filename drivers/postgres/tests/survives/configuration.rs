//! Extensions with tables whose rows are the user's.

use std::os::unix::fs::PermissionsExt;

use dumprestore_testkit::{PostgresOptions, PostgresServer, PostgresVersion};

use crate::support::{config, content, dump, restore, same};

const SCRIPT: &str = "
    CREATE TABLE settings (name text PRIMARY KEY, value text);
    INSERT INTO settings VALUES ('default', 'of the extension');
    SELECT pg_extension_config_dump('settings', $$WHERE name <> 'default'$$);
    CREATE TABLE entries (id serial PRIMARY KEY, entry text, twice text GENERATED ALWAYS AS (entry || entry) STORED);
    SELECT pg_extension_config_dump('entries', '');
    SELECT pg_extension_config_dump('entries_id_seq', '');
    CREATE TABLE scratch (a int);
    CREATE TABLE large (a integer PRIMARY KEY, is_own boolean, filling text) WITH (fillfactor = 10);
    INSERT INTO large SELECT n, true, repeat('x', 900) FROM generate_series(1, 4000) n;
    SELECT pg_extension_config_dump('large', 'WHERE NOT is_own OR is_own IS NULL');
    CREATE FUNCTION configured() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM settings';";

/// A server that has such an extension.
fn server(folder: &std::path::Path) -> PostgresServer {
    let extensions = folder.join("extension");
    std::fs::create_dir(&extensions).unwrap();
    let control = "default_version = '1.0'\nrelocatable = true\ncomment = 'configured'\n";
    std::fs::write(extensions.join("configured.control"), control).unwrap();
    std::fs::write(extensions.join("configured--1.0.sql"), SCRIPT).unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:$system", folder.display());
    PostgresOptions::new(PostgresVersion::V18).setting("extension_control_path", &path).start()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_configuration_tables_survive_beside_those_of_the_extension() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let database = server.create_database();
    server.batch(
        &database,
        "CREATE SCHEMA \"ext %\"; CREATE EXTENSION configured SCHEMA \"ext %\"; SET search_path = \"ext %\";
         INSERT INTO settings VALUES ('mine', 'x'), ('yours', NULL); INSERT INTO scratch VALUES (1);
         INSERT INTO entries (entry) VALUES ('a'), ('b'); SELECT nextval('entries_id_seq');
         REVOKE EXECUTE ON FUNCTION configured() FROM PUBLIC; GRANT SELECT ON settings TO pg_monitor;
         CREATE TABLE refers (name text REFERENCES settings); INSERT INTO refers VALUES ('mine'), ('default')",
    );
    // More than goes into one part.
    server.batch(
        &database,
        "INSERT INTO \"ext %\".large SELECT n, NULLIF(n % 2 = 0, true), repeat('y', 900) FROM generate_series(4001, 4800) n",
    );
    let size = server.value(&database, "SELECT pg_table_size('\"ext %\".large')");
    assert!(size.parse::<u64>().unwrap() > 33 << 20, "{size}");
    let archived = dump(config(&server, &database), folder.path()).await;
    let copy = format!("{database}_copy");
    restore(&archived, &server, &copy).await;
    same(&content(&server, &copy), &content(&server, &database));
    let all = "SELECT string_agg(name, ',' ORDER BY name) FROM \"ext %\".settings";
    assert_eq!(server.value(&copy, all), "default,mine,yours");
    let sum = "SELECT md5(string_agg(l::text, ',' ORDER BY a)) FROM \"ext %\".large l";
    assert_eq!(server.value(&copy, sum), server.value(&database, sum));
    let stands = "SELECT last_value FROM \"ext %\".entries_id_seq";
    assert_eq!(server.value(&copy, stands), "3");
}
