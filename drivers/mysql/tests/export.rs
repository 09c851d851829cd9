//! A dump as one SQL script, run by the clients.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

use std::fs::{File, Permissions};
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, BuildContext, Content, CutMode, DriverConfig, ErrorKind, NodePath, OpenContext, Selection,
};
use dumprestore_mysql::MysqlConfig;
use dumprestore_testkit::{Damage, Dumping, Faulty, MysqlFamily, MysqlServer, MysqlVersion, StoredNode};

/// What every server knows.
const EVERY_KIND: &str = include_str!("export/every_kind.sql");
const OF_MARIADB: &str = include_str!("export/of_mariadb.sql");
const OF_MYSQL: &str = include_str!("export/of_mysql.sql");

/// As the head of a script says, but for the database and the file.
const TOLD: &[&str] = &["--default-character-set=utf8mb4", "--binary-mode", "--comments"];

struct Database {
    server: &'static MysqlServer,
    name: String,
}

impl Database {
    fn new(version: MysqlVersion) -> Self {
        let server = MysqlServer::shared(version);
        Self { server, name: server.create_database() }
    }

    fn every_kind(version: MysqlVersion) -> Self {
        let database = Self::new(version);
        database.batch(EVERY_KIND);
        match version.family() {
            MysqlFamily::Mariadb => database.batch(OF_MARIADB),
            MysqlFamily::Mysql => database.batch(OF_MYSQL),
        }
        database
    }

    fn batch(&self, sql: &str) {
        self.server.batch(&self.name, sql);
    }

    /// A client that came with the server, or else the system's.
    fn client(&self, mariadb: &str, mysql: &str) -> Command {
        let name = match self.server.version().family() {
            MysqlFamily::Mariadb => mariadb,
            MysqlFamily::Mysql => mysql,
        };
        let programs = self.server.programs();
        let mut command = match programs.path(name) {
            Some(_) => programs.command(name),
            None => Command::new(name),
        };
        command.arg("--no-defaults").args(["-u", "root", "-S"]).arg(self.server.socket());
        command
    }

    /// Makes an empty one, as the head of the script says.
    fn like(origin: &Self, script: &str) -> Self {
        let statement = script.lines().find_map(|line| line.strip_prefix("-- CREATE DATABASE ")).unwrap();
        let options = statement.strip_prefix(&format!("`{}`", origin.name)).unwrap();
        let copy = Self::new(origin.server.version());
        copy.batch(&format!("ALTER DATABASE `{}` {options}", copy.name));
        copy
    }

    fn run(&self, arguments: &[&str], file: &Path) -> Output {
        let mut client = self.client("mariadb", "mysql");
        client.current_dir(file.parent().unwrap());
        client.args(arguments).arg(&self.name).stdin(Stdio::from(File::open(file).unwrap()));
        client.output().unwrap()
    }

    fn load(&self, arguments: &[&str], file: &Path) {
        let output = self.run(arguments, file);
        let said = said(&output);
        assert!(
            output.status.success() && said.is_empty() && output.stdout.is_empty(),
            "{arguments:?}: {said}"
        );
    }

    /// Definitions as the server's own tool dumps them, and what the rows are.
    fn content(&self) -> String {
        let mut dump = self.client("mariadb-dump", "mysqldump");
        dump.args(["--routines", "--events", "--triggers", "--no-data", "--skip-comments", &self.name]);
        let output = dump.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // A server names its own database before a sequence; and one that is sent many statements at once keeps what ended
        // one of them.
        let definitions = String::from_utf8_lossy(&output.stdout).replace(&self.name, "DATABASE");
        let definitions = definitions.replace("; */;;", " */;;").replace("; ;;", " ;;");
        format!("{definitions}\n{:?}", self.checksums())
    }

    fn checksums(&self) -> Vec<(String, String)> {
        let tables =
            self.server.rows(&self.name, "SHOW FULL TABLES WHERE Table_type NOT IN ('VIEW', 'SEQUENCE')");
        let tables = tables.into_iter().filter_map(|row| row.into_iter().next().flatten());
        tables
            .map(|table| {
                let sql = format!("CHECKSUM TABLE `{}` EXTENDED", table.replace('`', "``"));
                let sum = self.server.rows(&self.name, &sql)[0][1].clone();
                (table, sum.unwrap())
            })
            .collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.server.drop_database(&self.name);
    }
}

/// What a client complains of, but for what an old one has against newer character sets.
fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines().filter(|line| !line.contains("Warning: Charset id")).collect::<Vec<_>>().join("\n")
}

async fn dumped(database: &Database, folder: &Path) -> StoredNode {
    dumped_by(&database.server.url(&database.name), folder).await
}

async fn dumped_by(url: &str, folder: &Path) -> StoredNode {
    let driver = MysqlConfig::new(url)
        .with_variables([])
        .build(&BuildContext::new(NodePath::new("db").unwrap(), "/"))
        .unwrap();
    let cx = OpenContext::new("run", folder);
    let parts = folder.join("parts");
    let mut dumping = Dumping::open(&*driver, cx, parts, Arc::<Faulty>::default()).await.unwrap();
    dumping.pin(CutMode::Open).await.unwrap();
    dumping.stream(async || {}).await.unwrap();
    let (node, released) = dumping.release().await;
    released.unwrap();
    node
}

fn script(archived: &dyn ArchivedNode, content: Content, file: &Path) -> String {
    script_of(archived, &Selection::default().with_content(content), file)
}

fn script_of(archived: &dyn ArchivedNode, selection: &Selection, file: &Path) -> String {
    let mut out = BufWriter::new(File::create(file).unwrap());
    MysqlConfig::export_sql(archived, selection, &mut out).unwrap();
    drop(out);
    String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned()
}

/// Shows where they differ.
fn same(found: &str, expected: &str) {
    let differ = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(found == expected, "{differ:?}");
}

async fn comes_back_the_same(version: MysqlVersion) {
    let origin = Database::every_kind(version);
    let folder = tempfile::tempdir().unwrap();
    let archived = dumped(&origin, folder.path()).await;
    let file = folder.path().join("all.sql");
    let text = script(&archived, Content::All, &file);
    let copy = Database::like(&origin, &text);
    copy.load(TOLD, &file);
    same(&copy.content(), &origin.content());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_makes_every_kind_of_thing_again_on_mariadb_10_11() {
    comes_back_the_same(MysqlVersion::Mariadb10_11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_makes_every_kind_of_thing_again_on_mariadb_11_8() {
    comes_back_the_same(MysqlVersion::Mariadb11_8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_makes_every_kind_of_thing_again_on_mysql_9_7() {
    comes_back_the_same(MysqlVersion::Mysql9_7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_and_rows_come_apart() {
    for version in MysqlVersion::ALL {
        let origin = Database::new(version);
        origin.batch(
            "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE a_child (id int, p int, n int AS (id + 1) STORED,
                FOREIGN KEY (p) REFERENCES parent (id));
             INSERT INTO parent VALUES (0), (1); INSERT INTO a_child (id, p) VALUES (1, 1), (2, NULL), (3, 0);
             CREATE VIEW v AS SELECT n FROM a_child",
        );
        let folder = tempfile::tempdir().unwrap();
        let archived = dumped(&origin, folder.path()).await;
        let file = folder.path().join("half.sql");
        let copy = Database::like(&origin, &script(&archived, Content::SchemaOnly, &file));
        copy.load(TOLD, &file);
        assert_eq!(copy.server.value(&copy.name, "SELECT count(*) FROM parent"), "0");
        script(&archived, Content::DataOnly, &file);
        copy.load(TOLD, &file);
        same(&copy.content(), &origin.content());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_hold_for_ever_do_so_on_a_server_of_another_version() {
    let versions = [MysqlVersion::Mariadb10_11, MysqlVersion::Mariadb11_8];
    for (from, to) in [(versions[0], versions[1]), (versions[1], versions[0])] {
        let origin = Database::new(from);
        origin.batch(
            "CREATE TABLE v (a int PRIMARY KEY, b int) WITH SYSTEM VERSIONING;
             INSERT INTO v VALUES (1, 1), (2, 2); UPDATE v SET b = 3 WHERE a = 1;
             CREATE TABLE named (a int, s timestamp(6) GENERATED ALWAYS AS ROW START, `e, x` timestamp(6) GENERATED ALWAYS AS ROW END,
                z varchar(30), PERIOD FOR SYSTEM_TIME (s, `e, x`)) WITH SYSTEM VERSIONING;
             INSERT INTO named (a, z) VALUES (1, '2106-02-07 06:28:15.999999'); DELETE FROM named; INSERT INTO named (a) VALUES (2)",
        );
        let folder = tempfile::tempdir().unwrap();
        let archived = dumped(&origin, folder.path()).await;
        let file = folder.path().join("all.sql");
        script(&archived, Content::All, &file);
        let copy = Database::new(to);
        copy.load(TOLD, &file);
        for sql in [
            "SELECT a, b FROM v ORDER BY a",
            "SELECT a, b FROM v FOR SYSTEM_TIME ALL ORDER BY a, b",
            "SELECT a, z FROM named",
            "SELECT a, z, s FROM named FOR SYSTEM_TIME ALL ORDER BY a",
        ] {
            assert_eq!(
                copy.server.rows(&copy.name, sql),
                origin.server.rows(&origin.name, sql),
                "{from:?}: {sql}"
            );
        }
    }
}

/// Values, names and bodies that a client might take for something of its own.
fn traps() -> String {
    let (run, system) = ("\\! touch hit".to_owned(), "system touch hit".to_owned());
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let values = [
        run.clone(),
        format!("'; \n{run}\n"),
        format!("\\'; {run} \n"),
        format!("中\\'; {run} \n"),
        format!("中\\\n{system}\n"),
        format!("ソ表\\'); {run} \n'"),
        format!("\"`/*!'; {run} */ -- "),
        format!("\nDELIMITER //\n{system}\n//\n"),
        format!("\r\n;\r\n{system}\r\n\0\u{1a}"),
        "\\N".to_owned(),
        String::new(),
    ];
    let rows: Vec<String> =
        values.iter().map(|value| format!("('{0}', '{0}', '{0}')", escaped(value))).collect();
    format!(
        "CREATE TABLE `t\n{run}\n{system}\n;x` (
            a text CHARACTER SET utf8mb4, `l\n{system}\nx` text CHARACTER SET gbk COMMENT '\n{comment}\n', b blob);
         INSERT INTO `t\n{run}\n{system}\n;x` VALUES {rows};
         CREATE VIEW `v\n{system}\n;;x` AS SELECT a AS `\n{run}\nx`, '{comment}' AS x FROM `t\n{run}\n{system}\n;x`;
         CREATE PROCEDURE `p` () COMMENT '\n{comment}\n' BEGIN
            -- it's `not \" a /* quote {run}
            /* nor ' this ;; {run}
DELIMITER //
{system}
            */
            SELECT '
DELIMITER //
{comment}
;; $$ //', \"\n{system}\n\"; # '
         END",
        comment = escaped(&run),
        rows = rows.join(", "),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_database_is_a_command_of_the_client() {
    for version in [MysqlVersion::Mariadb10_11, MysqlVersion::Mysql9_7] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let touched = folder.path().join("hit");
        let origin = Database::new(version);
        origin.batch(&traps());
        let archived = dumped(&origin, folder.path()).await;
        let file = folder.path().join("all.sql");
        let text = script(&archived, Content::All, &file);
        // Also for who does not read the head.
        for told in [TOLD, &[], &["--default-character-set=gbk"], &["--default-character-set=sjis"]] {
            let copy = Database::like(&origin, &text);
            let output = copy.run(told, &file);
            let said = said(&output);
            assert!(!touched.exists(), "{version:?} {told:?}: {said}");
            assert!(output.status.success() && said.is_empty(), "{version:?} {told:?}: {said}");
            assert_eq!(copy.checksums(), origin.checksums(), "{version:?} {told:?}");
            if told == TOLD {
                same(&copy.content(), &origin.content());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_tables_are_many_statements_and_large_values_are_whole() {
    let origin = Database::new(MysqlVersion::Mariadb10_11);
    origin.batch(
        "CREATE TABLE t (id int PRIMARY KEY, a longtext, b longblob);
         INSERT INTO t SELECT seq, REPEAT('x', 2000), REPEAT(x'00ff27', 300) FROM seq_1_to_3000;
         INSERT INTO t VALUES (0, REPEAT('é', 2000000), REPEAT(x'00', 3000000))",
    );
    let folder = tempfile::tempdir().unwrap();
    let archived = dumped(&origin, folder.path()).await;
    let file = folder.path().join("all.sql");
    let text = script(&archived, Content::All, &file);
    assert!(text.matches("INSERT INTO").count() > 8);
    let copy = Database::like(&origin, &text);
    copy.load(&[], &file);
    assert_eq!(copy.checksums(), origin.checksums());
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_any_bytes_come_back_whatever_a_client_takes_them_for() {
    let origin = Database::new(MysqlVersion::Mariadb10_11);
    let special = r#"ELT(1 + seq % 9, '\\', '''', '"', '`', ';\n\\! touch x\n', '\n', '\r\n', '/*', '\0')"#;
    let letter =
        "CONVERT(UNHEX(LPAD(HEX(IF(seq % 3, 19968 + seq * 7 % 20000, seq % 255 + 1)), 4, '0')) USING utf16)";
    let text = format!("CONCAT({letter}, {special}, {letter}, '''')");
    let columns = ["utf8mb4", "gbk", "sjis", "ucs2", "big5", "cp1251", "koi8r", "ujis", "euckr", "gb2312"];
    let defined = columns.map(|charset| format!("{charset}_ text CHARACTER SET {charset}")).join(", ");
    let values = columns.map(|_| text.as_str()).join(", ");
    origin.batch(&format!(
        "SET sql_mode = '';
         CREATE TABLE every (id int PRIMARY KEY, b blob, l1 varchar(20) CHARACTER SET latin1, {defined});
         INSERT INTO every SELECT seq, UNHEX(MD5(seq)), CONVERT(UNHEX(MD5(seq + 9999)) USING latin1), {values}
         FROM seq_1_to_3000;
         CREATE TABLE plain (id int PRIMARY KEY, b blob, t text) CHARACTER SET utf8mb4 SELECT id, b, utf8mb4_ AS t FROM every;
         CREATE TABLE alike (id int PRIMARY KEY, t text CHARACTER SET gbk, l varchar(20) CHARACTER SET latin1)
         SELECT id, gbk_ AS t, l1 AS l FROM every"
    ));
    let folder = tempfile::tempdir().unwrap();
    let archived = dumped(&origin, folder.path()).await;
    let file = folder.path().join("all.sql");
    let text = script(&archived, Content::All, &file);
    for told in [TOLD, &[], &["--default-character-set=gbk"], &["--default-character-set=sjis"]] {
        let copy = Database::like(&origin, &text);
        copy.load(told, &file);
        assert_eq!(copy.checksums(), origin.checksums(), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn some_tables_are_written_with_all_that_belongs_to_them() {
    let origin = Database::every_kind(MysqlVersion::Mariadb10_11);
    let folder = tempfile::tempdir().unwrap();
    let archived = dumped(&origin, folder.path()).await;
    let file = folder.path().join("some.sql");
    let copy = Database::like(&origin, &script(&archived, Content::All, &file));
    copy.load(TOLD, &file);
    copy.batch("SET foreign_key_checks = 0; DROP TABLE child, parent; DROP VIEW v1");
    let text = script_of(&archived, &Selection::of(["child", "pare*", "v1"]), &file);
    assert!(!text.contains("`texts`") && !text.contains("ALTER DATABASE"), "{text}");
    copy.load(TOLD, &file);
    same(&copy.content(), &origin.content());
    for (thing, hint) in [("childs", "did you mean `child`?"), ("nowhere*", "letter case"), ("[", "")] {
        let error = MysqlConfig::export_sql(&archived, &Selection::of([thing]), &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_ends_at_its_first_error() {
    let origin = Database::new(MysqlVersion::Mariadb10_11);
    origin.batch("CREATE TABLE a (a int); CREATE TABLE b (a int); INSERT INTO b VALUES (1)");
    let folder = tempfile::tempdir().unwrap();
    let archived = dumped(&origin, folder.path()).await;
    let file = folder.path().join("all.sql");
    let copy = Database::like(&origin, &script(&archived, Content::All, &file));
    copy.batch("CREATE TABLE a (other int)");
    assert!(!copy.run(TOLD, &file).status.success());
    assert_eq!(copy.checksums().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_foreign_archive_becomes_no_script() {
    let origin = Database::every_kind(MysqlVersion::Mariadb10_11);
    let folder = tempfile::tempdir().unwrap();
    let archived = dumped(&origin, folder.path()).await;
    let export = |archived: &StoredNode| {
        MysqlConfig::export_sql(archived, &Selection::default(), &mut Vec::new()).unwrap_err()
    };
    for part in archived.names() {
        for damage in [Damage::AtTheEnd, Damage::Halfway] {
            let error = export(&archived.with_damage(part.clone(), damage));
            assert_eq!(error.kind(), ErrorKind::Archive, "{part}: {error}");
        }
    }
    assert_eq!(export(&archived.with_format(99)).kind(), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_of_mariadb_are_made_by_a_script_on_mysql() {
    let origin = Database::new(MysqlVersion::Mariadb10_11);
    origin.batch("ALTER DATABASE COLLATE utf8mb4_bin");
    origin.batch(
        "SET NAMES utf8mb4 COLLATE utf8mb4_general_ci; SET sql_mode = 'STRICT_TRANS_TABLES,NO_AUTO_CREATE_USER';
         CREATE TABLE t (n int); CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.n = 1",
    );
    let folder = tempfile::tempdir().unwrap();
    let archived = dumped(&origin, folder.path()).await;
    let file = folder.path().join("all.sql");
    script(&archived, Content::All, &file);
    let copy = Database::new(MysqlVersion::Mysql9_7);
    copy.load(TOLD, &file);
    let modes = copy.server.rows(&copy.name, "SHOW TRIGGERS")[0][6].clone();
    assert_eq!(modes.as_deref(), Some("STRICT_TRANS_TABLES"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_stands_where_it_stood_behind_its_start() {
    let origin = Database::new(MysqlVersion::Mariadb10_11);
    origin.batch("CREATE SEQUENCE s START WITH 100; ALTER SEQUENCE s RESTART WITH 5");
    let folder = tempfile::tempdir().unwrap();
    let archived = dumped(&origin, folder.path()).await;
    let file = folder.path().join("all.sql");
    let copy = Database::like(&origin, &script(&archived, Content::All, &file));
    copy.load(TOLD, &file);
    assert_eq!(copy.server.rows(&copy.name, "SELECT NEXTVAL(s)")[0][0].as_deref(), Some("5"));
}

#[tokio::test(flavor = "multi_thread")]
async fn views_that_only_the_dump_may_not_read_are_made_at_the_end() {
    for version in MysqlVersion::ALL {
        let origin = Database::new(version);
        let other = Database::new(version);
        other.batch("CREATE TABLE c (id int)");
        origin.batch(&format!(
            "CREATE TABLE t (id int); CREATE TABLE gone (id int);
             CREATE SQL SECURITY INVOKER VIEW a_of_other AS SELECT id FROM `{}`.c;
             CREATE SQL SECURITY INVOKER VIEW a_upon AS SELECT id FROM a_of_other;
             CREATE VIEW b AS SELECT id FROM a_of_other; CREATE VIEW b_upon AS SELECT b.id FROM t JOIN b;
             CREATE VIEW of_gone AS SELECT id FROM gone; CREATE VIEW upon_gone AS SELECT id FROM of_gone;
             CREATE VIEW z AS SELECT id FROM t; DROP TABLE gone;
             CREATE USER dump_{name}@'%'; GRANT ALL ON `{name}`.* TO dump_{name}@'%'",
            other.name,
            name = origin.name
        ));
        let folder = tempfile::tempdir().unwrap();
        let url = origin.server.url(&origin.name).replace("root@", &format!("dump_{}@", origin.name));
        let archived = dumped_by(&url, folder.path()).await;
        let file = folder.path().join("all.sql");
        let text = script(&archived, Content::All, &file);
        let copy = Database::like(&origin, &text);
        copy.load(TOLD, &file);
        let views = copy.server.rows(&copy.name, "SHOW FULL TABLES WHERE Table_type = 'VIEW'");
        let views: Vec<_> = views.iter().map(|row| row[0].as_deref().unwrap()).collect();
        assert_eq!(views, ["a_of_other", "a_upon", "b", "b_upon", "z"], "{version:?}");
        assert!(text.find("VIEW `z`") < text.find("VIEW `a_of_other`"));
        for upon in ["b", "b_upon"] {
            assert!(text.find("VIEW `a_of_other`") < text.find(&format!("VIEW `{upon}`")), "{version:?}");
        }
    }
}
