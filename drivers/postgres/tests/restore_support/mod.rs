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

use dumprestore_testkit::{PostgresServer, PostgresVersion, Seed};

/// A database of its own, with a name that is hard to quote, on a server that all tests of a program share.
pub struct Database {
    pub server: &'static PostgresServer,
    pub name: String,
}

pub fn server() -> &'static PostgresServer {
    PostgresServer::shared(PostgresVersion::V15)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
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
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { server: server(), name: format!("we\"ird 'db; -- \u{fc} {} {number}", std::process::id()) }
    }

    pub fn quoted(&self) -> String {
        quoted(&self.name)
    }

    /// Its URL, with a password in it.
    pub fn url(&self, password: &str) -> String {
        format!("postgres://postgres:{password}@127.0.0.1:{}/{}", self.server.port(), encoded(&self.name))
    }

    pub fn batch(&self, sql: &str) {
        self.server.batch(&self.name, sql);
    }

    /// Names of all databases beside it that a restore may have made.
    pub fn beside(&self) -> Vec<String> {
        let rows = self.server.rows("postgres", "SELECT datname FROM pg_database");
        let names = rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
        names.filter(|name| name.starts_with(&format!("{}.dumprestore", self.name))).collect()
    }

    pub fn drop(&self) {
        self.server.drop_database(&self.name.replace('"', "\"\""));
    }

    pub fn is_there(&self) -> bool {
        let name = self.name.replace('\'', "''");
        self.server.value("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"))
            == "1"
    }

    /// Replaces it by one with the content of `seed`.
    pub fn seed(&self, seed: Seed) {
        self.drop();
        let name = self.quoted();
        let options = match seed {
            // A restore in place can't change it: the others have that of the server.
            Seed::Large => "ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'",
            _ => "",
        };
        self.server.batch("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0 {options}"));
        match seed {
            Seed::Empty => {}
            Seed::Ordinary => {
                self.batch(ORDINARY);
                self.server
                    .batch("postgres", &ORDINARY_DATABASE.replace("DATABASE x", &format!("DATABASE {name}")));
            }
            Seed::Hostile => self.batch(HOSTILE),
            Seed::Large => self.batch(LARGE),
        }
    }

    /// Changes a bit of everything.
    pub fn mutate(&self) {
        self.batch(MUTATE);
    }

    /// All that a user would call the content, as `pg_dump` tells it; rows in an order of their own.
    pub fn fingerprint(&self) -> String {
        if !self.is_there() {
            return "(no database)".to_owned();
        }
        self.told(&["--create"])
    }

    /// What `pg_dump` tells with these options.
    pub fn told(&self, options: &[&str]) -> String {
        let programs = PostgresVersion::V15.programs();
        let output = programs
            .command("pg_dump")
            .args(options)
            .arg("--host")
            .arg(self.server.folder())
            .args(["--port", &self.server.port().to_string(), "--username", "postgres", "--dbname"])
            .arg(format!("dbname='{}'", self.name.replace('\\', "\\\\").replace('\'', "\\'")))
            .output()
            .expect("pg_dump starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        normal(&String::from_utf8_lossy(&output.stdout).replace(&self.quoted(), "x"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server goes with the program; until then others need its room.
        for name in self.beside().into_iter().chain([self.name.clone()]) {
            self.server.drop_database(&name.replace('"', "\"\""));
        }
    }
}

/// Without comments, which tell versions and names; rows sorted.
fn normal(dump: &str) -> String {
    let mut lines = Vec::new();
    let mut rows: Option<Vec<&str>> = None;
    for line in dump.lines() {
        match &mut rows {
            Some(found) if line == "\\." => {
                found.sort_unstable();
                lines.append(found);
                rows = None;
            }
            Some(found) => found.push(line),
            None if line.starts_with("COPY ") && line.ends_with("FROM stdin;") => {
                lines.push(line);
                rows = Some(Vec::new());
            }
            None if line.is_empty() || line.starts_with("--") || line.starts_with('\\') => {}
            None => lines.push(line),
        }
    }
    lines.join("\n")
}

const ORDINARY_DATABASE: &str = "
    ALTER DATABASE x SET search_path TO \"$user\", shop, public;
    ALTER DATABASE x SET statement_timeout TO '90s';
    ALTER DATABASE x SET default_transaction_read_only TO off;
    ALTER ROLE postgres IN DATABASE x SET work_mem TO '5MB';
    ALTER DATABASE x CONNECTION LIMIT 77;
    COMMENT ON DATABASE x IS 'it''s the shop';
    REVOKE ALL ON DATABASE x FROM PUBLIC;
    GRANT CONNECT ON DATABASE x TO pg_monitor WITH GRANT OPTION;
    GRANT CREATE, TEMPORARY ON DATABASE x TO pg_monitor;";

const ORDINARY: &str = "
    CREATE SCHEMA shop;
    CREATE TYPE shop.mood AS ENUM ('glad', 'sad');
    CREATE DOMAIN shop.price AS numeric(10, 2) CHECK (VALUE >= 0);
    CREATE TABLE shop.customer (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, name text NOT NULL,
        mood shop.mood DEFAULT 'glad', name_length integer GENERATED ALWAYS AS (length(name)) STORED);
    CREATE TABLE shop.product (sku text PRIMARY KEY, image text, sha256 text, price shop.price,
        owner integer REFERENCES shop.customer (id));
    CREATE TABLE shop.log (at integer, what text) PARTITION BY RANGE (at);
    CREATE TABLE shop.log_1 PARTITION OF shop.log FOR VALUES FROM (0) TO (50);
    CREATE TABLE shop.log_2 PARTITION OF shop.log DEFAULT;
    CREATE TABLE shop.draft (at integer, what text) PARTITION BY RANGE (at);
    CREATE TABLE shop.draft_1 PARTITION OF shop.draft DEFAULT;
    CREATE TABLE shop.spread (k integer PRIMARY KEY, v text) PARTITION BY HASH (k);
    CREATE TABLE shop.spread_0 PARTITION OF shop.spread FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE shop.spread_1 PARTITION OF shop.spread FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO shop.customer (id, name) SELECT n, 'customer ' || n FROM generate_series(1, 100) n;
    INSERT INTO shop.product SELECT 'sku-' || n, 'img/' || n || '.png', lpad(to_hex(n), 64, '0'), n * 1.5, n
        FROM generate_series(1, 100) n;
    INSERT INTO shop.log SELECT n, 'thing ' || n FROM generate_series(1, 99) n;
    INSERT INTO shop.spread SELECT n, 'v' || n FROM generate_series(1, 99) n;
    CREATE INDEX product_owner ON shop.product (owner) WHERE owner IS NOT NULL;
    CREATE INDEX log_at ON shop.log (at);
    CREATE VIEW shop.owned AS SELECT name, sku FROM shop.customer JOIN shop.product ON owner = customer.id;
    CREATE MATERIALIZED VIEW shop.counted AS SELECT mood, count(*) FROM shop.customer GROUP BY mood;
    CREATE UNIQUE INDEX counted_mood ON shop.counted (mood);
    CREATE MATERIALIZED VIEW shop.empty AS SELECT 1 AS one WITH NO DATA;
    CREATE SEQUENCE shop.order_number START 1000;
    SELECT nextval('shop.order_number');
    SELECT setval('shop.customer_id_seq', 100);
    CREATE FUNCTION shop.logged() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO shop.log VALUES (99, new.name); RETURN new; END $$;
    CREATE TRIGGER logged AFTER INSERT ON shop.customer FOR EACH ROW EXECUTE FUNCTION shop.logged();
    ALTER TABLE shop.customer ENABLE ROW LEVEL SECURITY;
    CREATE POLICY glad_ones ON shop.customer FOR SELECT TO pg_monitor USING (mood = 'glad');
    GRANT SELECT ON shop.product TO pg_monitor;
    ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO pg_monitor;
    CREATE STATISTICS shop.related (dependencies) ON sku, owner FROM shop.product;
    CREATE PUBLICATION everything FOR ALL TABLES;
    SELECT lo_from_bytea(4711, 'a large object'), lo_from_bytea(4712, convert_to(repeat('x', 300000), 'UTF8'));
    COMMENT ON LARGE OBJECT 4711 IS 'of no use';
    GRANT SELECT ON LARGE OBJECT 4711 TO pg_monitor;
    CREATE FUNCTION shop.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
    CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION shop.watch();
    COMMENT ON EVENT TRIGGER watching IS 'sees everything';
    ANALYZE;";

const HOSTILE: &str = "
    DROP SCHEMA public;
    CREATE SCHEMA \"S; DROP TABLE x; --\";
    CREATE TABLE \"S; DROP TABLE x; --\".\"we \"\"ird; -- ' .na/me % \\\" (\"a.b\" text, \"select\" bytea, \" \" float8);
    INSERT INTO \"S; DROP TABLE x; --\".\"we \"\"ird; -- ' .na/me % \\\" VALUES
        ('', '', '-0'), (E'\\\\N', '\\x00ff', 'NaN'), (E'\\t\\n\\r\\\\.', NULL, '-Infinity'), (NULL, '\\x5c2e0a', NULL),
        (E'\\\\.', '\\x', 1e-300);
    CREATE TABLE \"S; DROP TABLE x; --\".\"\u{202e}\u{1f980}\" ();
    INSERT INTO \"S; DROP TABLE x; --\".\"\u{202e}\u{1f980}\" DEFAULT VALUES;
    INSERT INTO \"S; DROP TABLE x; --\".\"\u{202e}\u{1f980}\" DEFAULT VALUES;
    CREATE SCHEMA shop;
    CREATE TABLE shop.customer (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, name text);
    CREATE TABLE shop.never_true (a integer, at timestamptz, span interval, cash money);
    INSERT INTO shop.never_true VALUES (-1, 'infinity', '-1 year 2 mons -3 days 04:05:06.7', '12.34'),
        (-2, '0044-03-15 BC', '-00:00:00.000001', '-0.01');
    ALTER TABLE shop.never_true ADD CONSTRAINT never_true_a_check CHECK (a > 0) NOT VALID;
    INSERT INTO shop.customer SELECT n, E'line\\nfeed ' || n FROM generate_series(1, 300) n;
    SELECT lo_create(1), lo_create(4294967295);";

const LARGE: &str = "
    CREATE SCHEMA shop;
    CREATE TABLE shop.customer (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, name text, photo text);
    ALTER TABLE shop.customer ALTER photo SET STORAGE EXTERNAL;
    INSERT INTO shop.customer SELECT n, 'customer ' || n, (SELECT string_agg(md5(n::text || m), '')
        FROM generate_series(1, 60) m) FROM generate_series(1, 4000) n;
    CREATE INDEX customer_name ON shop.customer (name);";

const MUTATE: &str = "
    CREATE SCHEMA IF NOT EXISTS shop;
    CREATE TABLE IF NOT EXISTS shop.customer (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, name text);
    DO $$ BEGIN
        IF to_regclass('shop.product') IS NOT NULL THEN
            DELETE FROM shop.product WHERE sku = (SELECT min(sku) FROM shop.product);
            UPDATE shop.product SET owner = NULL WHERE sku LIKE '%5';
        END IF;
    END $$;
    DELETE FROM shop.customer WHERE id = (SELECT min(c.id) FROM shop.customer c
        WHERE to_regclass('shop.product') IS NULL);
    UPDATE shop.customer SET name = name || '!' WHERE id % 3 = 0;
    INSERT INTO shop.customer (id, name) SELECT coalesce(max(id), 0) + 1, 'new ' || random() FROM shop.customer;
    SELECT lo_from_bytea(0, 'another');";
