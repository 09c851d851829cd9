//! Extensions with tables whose rows are the user's.

use std::os::unix::fs::PermissionsExt;

use std::sync::Arc;

use dumprestore_driver::{Content, OldState, Placement, Selection, StageContext};
use dumprestore_testkit::{Faulty, PostgresOptions, PostgresServer, PostgresVersion, Restoring, Step};

use crate::scripts;
use crate::support::{config, content, driver, dump, restore, same, told};

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

/// Tables that refer to each other, made and registered in an order in which they can't be loaded.
const LINKED: &str = "
    CREATE TABLE layer (id integer PRIMARY KEY, topology integer, filling text);
    CREATE TABLE topology (id integer PRIMARY KEY, is_own boolean);
    ALTER TABLE layer ADD CONSTRAINT of_topology FOREIGN KEY (topology) REFERENCES topology;
    COMMENT ON CONSTRAINT of_topology ON layer IS 'said';
    INSERT INTO topology VALUES (0, true);
    CREATE TABLE tree (id integer PRIMARY KEY, above integer, filling text) WITH (fillfactor = 10);
    ALTER TABLE tree ADD FOREIGN KEY (above) REFERENCES tree;
    CREATE TABLE one (id integer PRIMARY KEY, other integer);
    CREATE TABLE other (id integer PRIMARY KEY, one integer REFERENCES one);
    ALTER TABLE one ADD FOREIGN KEY (other) REFERENCES other DEFERRABLE;
    SELECT pg_extension_config_dump('layer', '');
    SELECT pg_extension_config_dump('tree', '');
    SELECT pg_extension_config_dump('one', '');
    SELECT pg_extension_config_dump('other', '');
    SELECT pg_extension_config_dump('topology', 'WHERE NOT is_own');";

/// A server that has such extensions.
fn server(folder: &std::path::Path) -> PostgresServer {
    let extensions = folder.join("extension");
    std::fs::create_dir(&extensions).unwrap();
    for (name, script) in [("configured", SCRIPT), ("linked", LINKED)] {
        let control = format!("default_version = '1.0'\nrelocatable = true\ncomment = '{name}'\n");
        std::fs::write(extensions.join(format!("{name}.control")), control).unwrap();
        std::fs::write(extensions.join(format!("{name}--1.0.sql")), script).unwrap();
    }
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

/// All rows of the tables of `linked`, and their foreign keys.
fn linked(server: &PostgresServer, database: &str) -> String {
    let sum = |table: &str| {
        format!("(SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY id)) FROM linked.{table} t)")
    };
    let sums = ["layer", "topology", "tree", "one", "other"].map(sum).join(", ");
    let keys = "(SELECT string_agg(concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid), \
        obj_description(oid, 'pg_constraint')), ', ' ORDER BY conrelid::regclass::text) FROM pg_constraint \
        WHERE contype = 'f')";
    server.value(database, &format!("SELECT concat_ws(', ', {sums}, {keys})"))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_configuration_tables_that_refer_to_each_other_survive() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let database = server.create_database();
    server.batch(
        &database,
        "CREATE SCHEMA linked; CREATE EXTENSION linked SCHEMA linked; SET search_path = linked;
        INSERT INTO topology SELECT n, false FROM generate_series(1, 20) n;
        INSERT INTO layer SELECT n, n % 21, repeat('x', 100) FROM generate_series(1, 2000) n;
        INSERT INTO tree SELECT n, nullif(n + 1, 4801), repeat('y', 900) FROM generate_series(1, 4800) n;",
    );
    let script = tempfile::tempdir_in(folder.path()).unwrap();
    let archived = dump(config(&server, &database), script.path()).await;
    let (copy, all) = (format!("{database}_copy"), linked(&server, &database));
    server.batch("postgres", &format!("CREATE DATABASE {copy}"));
    let run = scripts::psql(&server, &copy, &scripts::write(&archived, script.path()));
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(linked(&server, &copy), all);

    // A ring can't be in a script. The table that refers to itself has several parts.
    server.batch(
        &database,
        "SET search_path = linked; INSERT INTO one VALUES (1, NULL); INSERT INTO other VALUES (2, 1);
        UPDATE one SET other = 2",
    );
    let archived = dump(config(&server, &database), folder.path()).await;
    let all = linked(&server, &database);
    restore(&archived, &server, &copy).await;
    assert_eq!(linked(&server, &copy), all);

    // In place the extension stays, or is made.
    let whole = Selection::default;
    for (change, selection) in [
        ("DELETE FROM linked.layer; INSERT INTO linked.topology VALUES (99, false)", whole()),
        ("DROP EXTENSION linked", whole()),
        (
            "DELETE FROM linked.layer; INSERT INTO linked.topology VALUES (99, false)",
            whole().with_content(Content::DataOnly),
        ),
    ] {
        server.batch(&copy, change);
        let cx = StageContext::new("20260101T000000Z-0c0f1950")
            .with_placement(Placement::InPlace)
            .with_selection(selection);
        let driver = driver(config(&server, &copy));
        driver.changes(archived.clone(), &cx).await.unwrap();
        let restoring = Restoring::stage(&*driver, archived.clone(), cx, Arc::<Faulty>::default()).await;
        let restored = restoring.unwrap().go(Step::Finish, OldState::Drop).await;
        restored.unwrap_or_else(|error| panic!("{change}: {}", told(&error)));
        assert_eq!(linked(&server, &copy), all, "{change}");
    }
}
