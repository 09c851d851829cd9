//! The drivers of the stock binary.

use dumprestore::Registry;
use dumprestore_command::CommandConfig;
use dumprestore_filesystem::FilesystemConfig;
use dumprestore_mysql::MysqlConfig;
use dumprestore_postgres::PostgresConfig;
use dumprestore_redis::RedisConfig;
use dumprestore_sqlite::SqliteConfig;

/// All drivers that come with dumprestore.
pub(crate) fn stock_drivers() -> Registry {
    Registry::new()
        .with::<SqliteConfig>()
        .with::<PostgresConfig>()
        .with::<MysqlConfig>()
        .with::<RedisConfig>()
        .with::<FilesystemConfig>()
        .with::<CommandConfig>()
}
