//! What is in the databases of a bazaar, and how they are told apart.

use std::collections::BTreeMap;
use std::fs;

use dumprestore_testkit::MysqlServer;

use crate::wares::hex_of;
use crate::{Application, Bazaar, Traded};

/// Fills its databases and its folder.
pub(crate) fn fill(bazaar: &Bazaar, products: u32) {
    let (db, crm) = (bazaar.name("db"), bazaar.name("crm"));
    let server = bazaar.server();
    server.batch(&db, DB_SCHEMA);
    server.batch(&db, TRIGGER);
    server.batch(&crm, CRM_SCHEMA);
    let uploads = bazaar.folder().join("uploads");
    let (mut rows, mut customers, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
    for id in 1..=products {
        let image = format!("{:02}/{id}.jpg", id % 16);
        let content = format!("image {id} ").repeat(40).into_bytes();
        let path = uploads.join(&image);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &content).unwrap();
        rows.push(format!("({id}, '{image}', '{}')", hex_of(&content)));
        customers.push(format!("({id}, 'customer {id}')"));
        accounts.push(format!("({id})"));
    }
    server.batch(&db, &format!("INSERT INTO customer VALUES {}", customers.join(", ")));
    server.batch(&db, &format!("INSERT INTO product (id, image, sha256) VALUES {}", rows.join(", ")));
    server.batch(&crm, &format!("INSERT INTO account (customer) VALUES {}", accounts.join(", ")));
    let till = bazaar.till();
    let schema = "PRAGMA journal_mode = WAL; CREATE TABLE sale (id INTEGER PRIMARY KEY, customer INTEGER)";
    till.execute_batch(schema).unwrap();
    till.execute_batch("INSERT INTO sale (customer) VALUES (1), (2), (3), (3)").unwrap();
}

pub(crate) fn spoil(bazaar: &Bazaar) {
    let server = bazaar.server();
    server.batch(&bazaar.name("db"), SPOIL);
    server.batch(&bazaar.name("crm"), "DROP TABLE account; CREATE TABLE oops (at datetime)");
    bazaar.till().execute_batch("DELETE FROM sale WHERE id = 1").unwrap();
    let uploads = bazaar.folder().join("uploads");
    fs::remove_dir_all(uploads.join("01")).unwrap();
    fs::write(uploads.join("00/16.jpg"), "spoilt").unwrap();
    fs::write(uploads.join("new.jpg"), "extra").unwrap();
}

/// All that a user would call a database's content, and what belongs to it as a whole.
pub(crate) fn read(server: &MysqlServer, database: &str, name: &str, state: &mut BTreeMap<String, String>) {
    let whole = server.rows(
        "",
        &format!(
            "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata \
            WHERE schema_name = '{database}'"
        ),
    );
    let Some(whole) = whole.first() else { return };
    let mut note = |what: String, told: String| {
        assert!(state.insert(format!("{name}/{what}"), told).is_none(), "two things are called {what}");
    };
    note("database".to_owned(), format!("{whole:?}"));
    let list = |sql: &str| -> Vec<String> {
        let rows = server.rows(database, sql);
        rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
    };
    let shown = |what: &str, thing: &str| {
        format!("{:?}", server.rows(database, &format!("SHOW CREATE {what} `{thing}`")))
    };
    for table in list(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'",
    ) {
        let rows = server.rows(database, &format!("CHECKSUM TABLE `{table}`"));
        let count = server.value(database, &format!("SELECT COUNT(*) FROM `{table}`"));
        // A crash of the server counts on from the rows that are there.
        let created = shown("TABLE", &table);
        let created = created
            .split(" AUTO_INCREMENT=")
            .map(|piece| piece.trim_start_matches(|c: char| c.is_ascii_digit()));
        let created = created.collect::<String>();
        note(format!("table {table}"), format!("{created} {count} rows {:?}", rows[0].last()));
    }
    let things = [
        ("VIEW", "SELECT table_name FROM information_schema.views WHERE table_schema = DATABASE()"),
        ("TRIGGER", "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()"),
        ("EVENT", "SELECT event_name FROM information_schema.events WHERE event_schema = DATABASE()"),
        (
            "FUNCTION",
            "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE() AND routine_type = 'FUNCTION'",
        ),
        (
            "PROCEDURE",
            "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE() AND routine_type = 'PROCEDURE'",
        ),
    ];
    for (what, asked) in things {
        for thing in list(asked) {
            let mut told = server.rows(database, &format!("SHOW CREATE {what} `{thing}`"));
            if what == "TRIGGER" {
                // When it was made.
                told.iter_mut().for_each(|row| row.truncate(6));
            }
            note(format!("{} {thing}", what.to_lowercase()), format!("{told:?}"));
        }
    }
}

const DB_SCHEMA: &str = "
    CREATE TABLE customer (id integer PRIMARY KEY AUTO_INCREMENT, name varchar(100) NOT NULL);
    CREATE TABLE product (id integer PRIMARY KEY AUTO_INCREMENT, image varchar(200) NOT NULL, sha256 char(64), \
        seen integer NOT NULL DEFAULT 0, KEY product_image (image));
    CREATE TABLE review (product integer, stars integer CHECK (stars < 6), KEY (product), \
        CONSTRAINT of_product FOREIGN KEY (product) REFERENCES product (id) ON DELETE CASCADE);
    CREATE VIEW names AS SELECT name FROM customer;
    CREATE FUNCTION twice(n integer) RETURNS integer DETERMINISTIC RETURN n * 2;
    CREATE PROCEDURE clear_reviews() DELETE FROM review;
    CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM review WHERE stars = 0;";

const TRIGGER: &str = "CREATE TRIGGER seen_at_first BEFORE INSERT ON product FOR EACH ROW SET NEW.seen = 1";

const CRM_SCHEMA: &str =
    "CREATE TABLE account (id integer PRIMARY KEY AUTO_INCREMENT, customer integer NOT NULL);";

const SPOIL: &str = "
    DELETE FROM product WHERE id % 2 = 0;
    UPDATE customer SET name = 'oops';
    ALTER TABLE customer ADD COLUMN oops integer;
    DROP INDEX product_image ON product;
    INSERT INTO review VALUES (1, 5);
    DROP TRIGGER seen_at_first;
    CREATE TRIGGER oops AFTER DELETE ON customer FOR EACH ROW DELETE FROM review WHERE product = OLD.id;
    DROP FUNCTION twice;
    CREATE FUNCTION twice(n integer) RETURNS integer DETERMINISTIC RETURN n * 3;
    DROP VIEW names;
    CREATE VIEW oopses AS SELECT oops FROM customer;
    DROP EVENT nightly;
    ALTER DATABASE DEFAULT CHARACTER SET latin1;";
