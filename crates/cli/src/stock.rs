//! The drivers of the stock binary.

use dumprestore::Registry;
use dumprestore_command::CommandConfig;
use dumprestore_filesystem::FilesystemConfig;
use dumprestore_media::MediaConfig;
use dumprestore_mysql::MysqlConfig;
use dumprestore_postgres::PostgresConfig;
use dumprestore_redis::RedisConfig;
use dumprestore_sqlite::SqliteConfig;
use dumprestore_store::ArchiveOptions;

/// All drivers that come with dumprestore.
pub(crate) fn stock_drivers() -> Registry {
    Registry::new()
        .with::<SqliteConfig>()
        .with::<PostgresConfig>()
        .with::<MysqlConfig>()
        .with::<RedisConfig>()
        .with::<MediaConfig>()
        .with::<FilesystemConfig>()
        .with::<CommandConfig>()
        .with_archives::<ArchiveOptions>()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const REFERENCE: &str = include_str!("../../../docs/configuration.md");

    /// What stands in the reference of an option, in the table of that head: one line may tell of several.
    fn row_of<'r>(head: &str, option: &str) -> Option<&'r str> {
        let (_, table) = REFERENCE.split_once(&format!("| {head} | default |"))?;
        let (table, _) = table.split_once("\n\n")?;
        let names =
            |line: &&str| line.split('|').nth(1).is_some_and(|names| names.contains(&format!("`{option}`")));
        table.lines().find(names)
    }

    #[test]
    fn every_option_of_every_driver_is_documented_with_its_default() {
        let schema = stock_drivers().schema();
        let branches = schema.pointer("/$defs/node/allOf").and_then(Value::as_array).unwrap();
        assert_eq!(branches.len(), stock_drivers().kinds().count());
        for branch in branches {
            let kind = branch.pointer("/if/properties/driver/const").and_then(Value::as_str).unwrap();
            for (option, schema) in branch.pointer("/then/properties").and_then(Value::as_object).unwrap() {
                // What concerns the store is told once, for media and archives alike.
                let of_store = || if kind == "media" { row_of("store", option) } else { None };
                let row = row_of(&format!("`{kind}`"), option)
                    .or_else(of_store)
                    .unwrap_or_else(|| panic!("`{kind}`: `{option}` is not documented"));
                let default = schema.get("default").map(|default| default.to_string().replace('"', ""));
                let default = default.filter(|default| !matches!(default.as_str(), "null" | "[]" | "{}"));
                assert!(
                    row.contains(default.as_deref().unwrap_or(" | ")),
                    "`{kind}`: `{option}`: {default:?} is not in {row:?}"
                );
            }
        }
    }
}
