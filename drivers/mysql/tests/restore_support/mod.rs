//! Databases to dump and restore, and the content of a database as text.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test file uses its share; a fixture that fails ends the test"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use dumprestore_testkit::{MysqlServer, MysqlVersion, Seed};

/// A database of its own, with a name that is hard to quote.
pub struct Database {
    pub server: &'static MysqlServer,
    pub name: String,
}

pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

impl Database {
    /// On a server that all tests of a program share.
    pub fn new() -> Self {
        Self::of(MysqlServer::shared(MysqlVersion::Mariadb10_11))
    }

    pub fn of(server: &'static MysqlServer) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // No more odd characters than this: while a backup's lock is held, MariaDB 10.11.18 writes each renamed table into a
        // buffer that many of them overrun, at five bytes each, and crashes. Other tests dump at the same time.
        Self { server, name: format!("we`ird \u{fc}{}x{number}", std::process::id()) }
    }

    pub fn quoted(&self) -> String {
        quoted(&self.name)
    }

    /// Its URL, with a password in it.
    pub fn url(&self, user: &str, password: &str) -> String {
        format!("mysql://{user}:{password}@127.0.0.1:{}/{}", self.server.port(), encoded(&self.name))
    }

    pub fn root_url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}/{}", self.server.port(), encoded(&self.name))
    }

    pub fn batch(&self, sql: &str) {
        self.server.batch(&self.name, sql);
    }

    pub fn value(&self, sql: &str) -> String {
        self.server.value(&self.name, sql)
    }

    /// Names of all databases beside it that a restore may have made.
    pub fn beside(&self) -> Vec<String> {
        let rows = self.server.rows("", "SELECT schema_name FROM information_schema.schemata");
        let names = rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
        names.filter(|name| name.starts_with(&format!("{}_dumprestore", self.name))).collect()
    }

    pub fn drop(&self) {
        self.server.drop_database(&self.name);
    }

    pub fn is_there(&self) -> bool {
        let name = self.name.replace('\'', "''");
        let asked = format!("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = '{name}'");
        self.server.value("", &asked) == "1"
    }

    /// Makes it anew, empty.
    pub fn make(&self) {
        self.drop();
        self.server.batch(
            "",
            &format!("CREATE DATABASE {} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", self.quoted()),
        );
    }

    /// Replaces it by one with the content of `seed`.
    pub fn seed(&self, seed: Seed) {
        self.make();
        let is_mariadb = self.server.version() != MysqlVersion::Mysql9_7;
        match seed {
            Seed::Empty => {}
            Seed::Ordinary => {
                self.batch(ORDINARY);
                for statement in ORDINARY_PROGRAMS {
                    self.batch(statement);
                }
                if is_mariadb {
                    self.batch(ORDINARY_OF_MARIADB);
                }
            }
            Seed::Hostile => self.batch(HOSTILE),
            Seed::Large => self.batch(LARGE),
        }
    }

    /// Changes a bit of everything.
    pub fn mutate(&self) {
        self.batch(MUTATE);
    }

    /// All that a user would call the content, as the server's own dump tells it; rows in an order of their own.
    pub fn fingerprint(&self) -> String {
        if !self.is_there() {
            return "(no database)".to_owned();
        }
        let name = self.name.replace('\'', "''");
        let options = self.server.rows(
            "",
            &format!(
                "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata \
                 WHERE schema_name = '{name}'"
            ),
        );
        format!("{options:?}\n{}", self.told(&["--routines", "--events", "--triggers"], &[]))
    }

    /// Names of tables and views that one of these patterns means.
    pub fn tables(&self, meant: impl Fn(&str) -> bool) -> Vec<String> {
        let name = self.name.replace('\'', "''");
        let asked = format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = '{name}' ORDER BY 1"
        );
        let rows = self.server.rows("", &asked);
        rows.into_iter()
            .filter_map(|row| row.into_iter().next().flatten())
            .filter(|name| meant(name))
            .collect()
    }

    /// What the server's own dump tells with these options, of these tables.
    pub fn told(&self, options: &[&str], tables: &[String]) -> String {
        let program = match self.server.version() {
            MysqlVersion::Mysql9_7 => "mysqldump",
            _ => "mariadb-dump",
        };
        let output = self
            .server
            .programs()
            .command(program)
            .arg("--no-defaults")
            .arg(format!("--socket={}", self.server.socket().display()))
            .args([
                "--user=root",
                "--skip-comments",
                "--hex-blob",
                "--order-by-primary",
                "--skip-extended-insert",
            ])
            .args(options)
            .arg(&self.name)
            .args(tables)
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8_lossy(&output.stdout).replace(&self.quoted(), "`x`");
        // MySQL remembers whether a column's collation was given or is that of its table, and then tells its character set.
        normal(&told.replace(" CHARACTER SET utf8mb4 COLLATE", " COLLATE"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A test that has failed is to say why itself, even if its server is gone.
        if std::thread::panicking() {
            return;
        }
        // The server goes with the program; until then others need its room.
        for name in self.beside().into_iter().chain([self.name.clone()]) {
            self.server.drop_database(&name);
        }
    }
}

/// Rows sorted, and without what tells of the moment.
fn normal(dump: &str) -> String {
    let mut lines = Vec::new();
    let mut rows: Vec<&str> = Vec::new();
    for line in dump.lines() {
        if line.starts_with("INSERT INTO") {
            rows.push(line);
            continue;
        }
        rows.sort_unstable();
        lines.append(&mut rows);
        lines.push(line);
    }
    lines.join("\n")
}

const ORDINARY: &str = "
    CREATE TABLE customer (id int PRIMARY KEY AUTO_INCREMENT, name varchar(100) NOT NULL, mood enum ('glad', 'sad')
        DEFAULT 'glad', name_length int GENERATED ALWAYS AS (char_length(name)) STORED, born date, seen timestamp NULL,
        KEY name (name)) COMMENT='it''s them';
    CREATE TABLE product (sku varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, image varchar(100),
        sha256 char(64) CHARACTER SET ascii, price decimal(10, 2) CHECK (price >= 0), owner int,
        CONSTRAINT owned FOREIGN KEY (owner) REFERENCES customer (id) ON DELETE SET NULL, UNIQUE KEY image (image));
    CREATE TABLE log (at int, what text, KEY log_at (at)) PARTITION BY RANGE (at)
        (PARTITION p1 VALUES LESS THAN (50), PARTITION p2 VALUES LESS THAN MAXVALUE);
    CREATE TABLE draft (id int PRIMARY KEY, parent int, FOREIGN KEY (parent) REFERENCES draft (id), body blob, flags bit(9));
    CREATE TABLE spread (k bigint unsigned PRIMARY KEY, v varchar(20), f double, g float) ENGINE=MyISAM;
    INSERT INTO customer (id, name, born, seen) SELECT n, CONCAT('customer ', n), '2001-02-03', '2020-01-01 00:00:00' + INTERVAL n HOUR
        FROM (WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 100) SELECT n FROM s) s;
    INSERT INTO product SELECT CONCAT('sku-', id), CONCAT('img/', id, '.png'), LPAD(LOWER(HEX(id)), 64, '0'), id * 1.5, id FROM customer;
    INSERT INTO log SELECT id, CONCAT('thing ', id) FROM customer WHERE id < 100;
    INSERT INTO spread SELECT id, CONCAT('v', id), id / 7, id / 3 FROM customer;
    INSERT INTO draft VALUES (2, NULL, x'00ff5c0a09', b'101010101'), (1, 2, '', NULL);
    CREATE VIEW owned AS SELECT name, sku FROM customer JOIN product ON owner = customer.id;
    CREATE VIEW a_view_of_a_view AS SELECT name FROM owned;";

const ORDINARY_PROGRAMS: [&str; 5] = [
    "CREATE FUNCTION twice(a int) RETURNS int DETERMINISTIC RETURN a * 2",
    "CREATE PROCEDURE count_them(OUT many int) BEGIN SELECT COUNT(*) INTO many FROM customer; END",
    "CREATE TRIGGER logged AFTER INSERT ON customer FOR EACH ROW BEGIN INSERT INTO log VALUES (99, new.name); END",
    "CREATE TRIGGER priced BEFORE UPDATE ON product FOR EACH ROW SET new.price = ROUND(new.price, 1)",
    "CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DISABLE COMMENT 'it''s ENABLE' DO DELETE FROM log WHERE at < 0",
];

const ORDINARY_OF_MARIADB: &str = "
    CREATE SEQUENCE order_number START WITH 1000 CACHE 10;
    DO NEXTVAL(order_number);
    CREATE SEQUENCE behind_its_start START WITH 100 MINVALUE 1;
    ALTER SEQUENCE behind_its_start RESTART 5;
    CREATE TABLE orders (id bigint PRIMARY KEY DEFAULT NEXTVAL(order_number), customer int, KEY customer (customer));
    INSERT INTO orders (customer) VALUES (1), (2), (3);
    CREATE TABLE priced (id int PRIMARY KEY, price int) WITH SYSTEM VERSIONING;
    INSERT INTO priced VALUES (1, 10), (2, 20);";

const HOSTILE: &str = "
    CREATE TABLE `we ``.n/'%\\\"` (`a.b` text, `select` blob, `x y` double, `\u{fc}\u{1f0}` varchar(9) CHARACTER SET latin1);
    INSERT INTO `we ``.n/'%\\\"` VALUES ('', '', -0e0, '\u{e9}'), ('\\\\N', x'00ff', 1e-300, ''),
        ('\\t\\n\\r\\\\.', NULL, 1.7976931348623157e308, NULL), (NULL, x'5c2e0a5c4e0a', NULL, '\\\\'), ('\\\\', x'1a', 0.1, 'x');
    CREATE TABLE `\u{202e}\u{fc}` (id int AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 4711;
    SET sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO';
    CREATE TABLE odd (id int AUTO_INCREMENT PRIMARY KEY, d date, dt datetime(6), e enum ('a', 'b'), s set ('x', 'y'), t time(3), y year,
        b bit(64), u bigint unsigned, dec_ decimal(65, 30));
    INSERT INTO odd VALUES (0, '0000-00-00', '0000-00-00 00:00:00', 'nonsense', '', '-838:59:59', 0, b'1', 18446744073709551615, -1.5),
        (-1, '2020-02-31', '9999-12-31 23:59:59.999999', 'a', 'x,y', '00:00:00.001', 2155, NULL, 0, NULL);
    CREATE TABLE customer (id int PRIMARY KEY AUTO_INCREMENT, name text);
    CREATE TABLE kid (id int PRIMARY KEY, p int, CONSTRAINT `k 1` FOREIGN KEY (p) REFERENCES customer (id) ON DELETE CASCADE);
    INSERT INTO customer SELECT n, CONCAT('line\\nfeed ', n) FROM (WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 300) SELECT n FROM s) s;
    INSERT INTO kid SELECT id, id FROM customer;";

const LARGE: &str = "
    CREATE TABLE customer (id int PRIMARY KEY AUTO_INCREMENT, name text, photo text, hash char(32), KEY hash (hash), FULLTEXT KEY words (name));
    INSERT INTO customer SELECT n, CONCAT('customer ', n), REPEAT(MD5(n), 60), MD5(n + 7)
        FROM (WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 1000) SELECT n FROM s) s;
    INSERT INTO customer SELECT id + 1000, name, photo, hash FROM customer;
    INSERT INTO customer SELECT id + 2000, name, photo, hash FROM customer;
    CREATE TABLE product (sku int PRIMARY KEY, owner int, KEY k (owner), CONSTRAINT o FOREIGN KEY (owner) REFERENCES customer (id) ON DELETE SET NULL);
    INSERT INTO product SELECT id, id FROM customer;";

const MUTATE: &str = "
    CREATE TABLE IF NOT EXISTS customer (id int PRIMARY KEY AUTO_INCREMENT, name text);
    UPDATE customer SET name = CONCAT(name, '!') WHERE id % 3 = 0;
    DELETE FROM customer WHERE id IN (5, 6);
    INSERT INTO customer (id, name) SELECT LEAST(COALESCE(MIN(id), 0), 0) - 1, CONCAT('new ', UUID()) FROM customer;
    CREATE TABLE IF NOT EXISTS product (sku varchar(40) PRIMARY KEY, owner int);
    UPDATE product SET owner = NULL WHERE sku LIKE '%5';
    DELETE FROM product WHERE sku = 'sku-5';
    CREATE TABLE IF NOT EXISTS of_its_own (id int AUTO_INCREMENT PRIMARY KEY);
    INSERT INTO of_its_own () VALUES ();";
