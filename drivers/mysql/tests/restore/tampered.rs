//! Archives that somebody has changed on their way.

use std::sync::Arc;

use dumprestore_driver::StageContext;
use dumprestore_testkit::{MysqlServer, MysqlVersion, Seed};
use serde_json::{Value, json};

use crate::archive::{Archive, prepared, run};
use crate::dump_support::{config, driver};
use crate::restore_support::Database;

/// One definition of an archive, replaced by another. `kind`: the list that it is in.
fn with_definition(archive: &Archive, kind: &str, name: &str, sql: &[u8], charset: &str) -> Arc<Archive> {
    archive.with("contents.json", |text| {
        let mut contents: Value = serde_json::from_slice(text).unwrap();
        let of_kind = contents[kind].as_array_mut().unwrap();
        let definition = of_kind.iter_mut().find(|definition| definition["name"] == name).unwrap();
        let hex: String = sql.iter().map(|byte| format!("{byte:02x}")).collect();
        definition["create"] = json!({ "hex": hex });
        if !charset.is_empty() {
            definition["made"]["character_set_client"] = json!(charset);
        }
        *text = serde_json::to_vec(&contents).unwrap();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_definition_carries_another_statement_along() {
    for version in MysqlVersion::ALL {
        let database = Database::of(MysqlServer::shared(version));
        database.seed(Seed::Ordinary);
        let archive = Archive::of(config(&database.root_url())).await;
        let before = database.fingerprint();
        let driver = driver(config(&database.root_url())).unwrap();
        let stolen = format!("stolen_{}", run().replace('-', "_"));
        let more = format!("CREATE DATABASE {stolen}");
        let text = |text: &str| text.replace("MORE", &more).replace("STOLEN", &stolen).into_bytes();
        // A byte of the character set where `~` stands.
        let bytes = |sql: &str, bytes: &[u8]| {
            let mut out = Vec::new();
            for byte in text(sql) {
                match byte {
                    b'~' => out.extend_from_slice(bytes),
                    other => out.push(other),
                }
            }
            out
        };
        let cases = [
            ("tables", "log", text("CREATE TABLE log (at int, what text); MORE"), ""),
            (
                "tables",
                "log",
                text("CREATE TABLE log (at int, what text) /*!999999 ' */; MORE /*!999999 ' */"),
                "",
            ),
            (
                "tables",
                "log",
                text("CREATE TABLE log (at int, what text) COMMENT='a' --\r'\n; MORE -- '"),
                "",
            ),
            ("tables", "log", text("/*!50000 MORE #*/ CREATE TABLE log (at int, what text)\n*/"), ""),
            ("views", "owned", text("CREATE VIEW owned AS select 1; MORE"), ""),
            ("views", "owned", text("CREATE VIEW owned AS select 1 /*!999999 ' */; MORE /*!999999 ' */"), ""),
            ("views", "owned", text("CREATE /*!50000 DATABASE STOLEN #*/ VIEW owned AS\n*/"), ""),
            ("views", "owned", bytes("CREATE VIEW owned AS select 1 --~'\n; MORE -- '", b"\xa0"), "latin1"),
            ("views", "owned", bytes("CREATE VIEW owned AS select '~\\'; MORE -- '", b"\xb1\\"), "sjis"),
            ("views", "owned", bytes("CREATE VIEW owned AS select '~\\'; MORE -- '", b"\xbf\xbf\\"), "gbk"),
            (
                "triggers",
                "logged",
                text("CREATE TRIGGER logged AFTER INSERT ON customer FOR EACH ROW SET @a = 1; MORE"),
                "",
            ),
            (
                "triggers",
                "logged",
                bytes(
                    "CREATE TRIGGER logged AFTER INSERT ON customer FOR EACH ROW BEGIN SET @a = '~\\'; END; MORE -- '; END",
                    b"\xb1\\",
                ),
                "sjis",
            ),
            ("routines", "count_them", text("CREATE PROCEDURE count_them() BEGIN SELECT 1; END; MORE"), ""),
            (
                "routines",
                "twice",
                text("CREATE FUNCTION twice(a int) RETURNS int DETERMINISTIC RETURN 1; MORE"),
                "",
            ),
            (
                "events",
                "tidy",
                text("CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1; MORE"),
                "",
            ),
        ];
        for (kind, name, sql, charset) in cases {
            let shown = String::from_utf8_lossy(&sql).into_owned();
            let tampered = with_definition(&archive, kind, name, &sql, charset);
            let refused = prepared(&*driver, &tampered, StageContext::new(run())).await;
            let asked =
                format!("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = '{stolen}'");
            assert_eq!(database.server.value("", &asked), "0", "{version:?}: {shown}");
            assert!(refused.is_err(), "{version:?}: {shown}");
            assert_eq!(database.fingerprint(), before);
            assert!(database.beside().is_empty());
        }
    }
}
