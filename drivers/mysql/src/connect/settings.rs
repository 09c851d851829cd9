//! Everything that what a server prints or does depends on, at a value of our own.

use std::time::Duration;

use super::server::Server;
use super::session::Charset;

/// Longer than any archive takes. A server ends sessions that are silent, or read slowly.
const PATIENCE: &str = "86400";
const LONGEST_LOCK_TIMEOUT: u64 = 31_536_000;
/// What strict statements, zero dates and zeros in counted columns need. It has neither `ANSI_QUOTES` nor
/// `NO_BACKSLASH_ESCAPES`, on which quoting rests, nor `PAD_CHAR_TO_FULL_LENGTH`, which changes what is read.
pub(super) const SQL_MODE: &str = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,STRICT_ALL_TABLES";

/// How long a statement may wait, and how long it may take. `None`: for ever.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) lock: Option<Duration>,
    pub(super) statement: Option<Duration>,
}

/// Statements that every server must take.
pub(super) fn required(limits: Limits) -> Vec<String> {
    let lock =
        limits.lock.map_or(LONGEST_LOCK_TIMEOUT, |limit| limit.as_secs().clamp(1, LONGEST_LOCK_TIMEOUT));
    vec![
        "SET NAMES utf8mb4".to_owned(),
        format!(
            "SET SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', autocommit = 1, character_set_results = {}, \
             wait_timeout = {PATIENCE}, net_read_timeout = {PATIENCE}, net_write_timeout = {PATIENCE}, \
             lock_wait_timeout = {lock}, innodb_lock_wait_timeout = {}, sql_quote_show_create = 1, \
             foreign_key_checks = 1, unique_checks = 1, sql_safe_updates = 0, sql_big_selects = 1, \
             sql_select_limit = 18446744073709551615, max_sort_length = 1048576, group_concat_max_len = 4294967295, \
             sql_auto_is_null = 0, completion_type = NO_CHAIN",
            Charset::Utf8mb4.name(),
            lock.min(100_000_000)
        ),
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE".to_owned(),
    ]
}

/// Statements that only some servers know, or let us make. What they do is for the better, and nothing rests on it.
pub(super) fn welcome(server: &Server, limits: Limits) -> Vec<String> {
    let seconds = limits.statement.map_or(0, |limit| limit.as_secs());
    let mut statements = Vec::new();
    if server.is_mariadb_since(10, 1, 1) {
        statements.push(format!("SET SESSION max_statement_time = {seconds}"));
    }
    if server.is_mysql_since(5, 7, 8) {
        statements.push(format!("SET SESSION max_execution_time = {}", seconds.saturating_mul(1000)));
    }
    if server.is_mysql_since(8, 0, 3) {
        // Else sizes and counters are told as they were a day ago.
        statements.push("SET SESSION information_schema_stats_expiry = 0".to_owned());
    }
    if server.is_mysql_since(8, 0, 30) {
        // A table without a primary key stays one.
        statements.push("SET SESSION sql_generate_invisible_primary_key = OFF".to_owned());
        // One that a server has made is a column as any other.
        statements.push("SET SESSION show_gipk_in_create_table_and_information_schema = ON".to_owned());
    }
    if server.is_mysql_since(8, 4, 0) {
        // A foreign key to columns that are not unique, from times when that was allowed, stays one.
        statements.push("SET SESSION restrict_fk_on_non_standard_key = OFF".to_owned());
    }
    if server.is_mariadb_since(10, 3, 0) {
        statements.push("SET SESSION idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0, idle_write_transaction_timeout = 0".to_owned());
    }
    statements
}
