//! A server's `my.cnf`.

use std::fmt::Write as _;
use std::path::Path;

use super::super::{Account, Programs};
use super::{MysqlFamily, MysqlOptions, REDO_LOG};

/// Nothing has to survive a crash of the machine, but what is committed that of the server; and many servers run beside
/// each other.
const FOR_BOTH: &[(&str, &str)] = &[
    ("bind_address", "127.0.0.1"),
    ("skip_name_resolve", "ON"),
    ("default_time_zone", "+00:00"),
    ("event_scheduler", "OFF"),
    ("performance_schema", "OFF"),
    ("max_connections", "100"),
    ("innodb_buffer_pool_size", "64M"),
    ("innodb_flush_log_at_trx_commit", "2"),
    ("sync_binlog", "0"),
];

const FOR_MARIADB: &[(&str, &str)] = &[
    ("innodb_log_file_size", REDO_LOG),
    // Through the page cache, which outlives the server.
    ("innodb_flush_method", "fsync"),
    ("aria_pagecache_buffer_size", "16M"),
    ("debug_no_sync", "ON"),
];

const FOR_MYSQL: &[(&str, &str)] = &[
    ("innodb_redo_log_capacity", REDO_LOG),
    ("innodb_flush_method", "fsync"),
    ("mysqlx", "OFF"),
    ("disable_log_bin", "ON"),
];

/// Writes it for a server that lives in `folder`.
pub(super) fn write(options: &MysqlOptions, programs: &Programs, folder: &Path, tls: bool) {
    let mut text = "[mysqld]\n".to_owned();
    let mut set = |name: &str, value: &str| {
        writeln!(text, "{name} = \"{}\"", value.replace('\\', r"\\").replace('"', "\\\"")).expect("a string");
    };
    for (name, place) in options.version.places(programs) {
        set(name, &place.display().to_string());
    }
    let mut places = vec![("datadir", "data"), ("socket", "socket"), ("pid_file", "pid")];
    places.extend([("tmpdir", "tmp"), ("secure_file_priv", "files")]);
    if tls {
        places.extend([("ssl_ca", "ca.crt"), ("ssl_cert", "server.crt"), ("ssl_key", "server.key")]);
    }
    for (name, file) in places {
        set(name, &folder.join(file).display().to_string());
    }
    let of_the_family = match options.version.family() {
        MysqlFamily::Mariadb => FOR_MARIADB,
        MysqlFamily::Mysql => FOR_MYSQL,
    };
    for (name, value) in FOR_BOTH.iter().chain(of_the_family) {
        set(name, value);
    }
    for (name, value) in &options.settings {
        set(name, value);
    }
    writeln!(text, "!include {}", folder.join("port.cnf").display()).expect("a string");
    for own in ["tmp", "files"] {
        std::fs::create_dir(folder.join(own)).expect("a folder");
        Account::of_servers().give(&folder.join(own), 0o700);
    }
    give(&folder.join("my.cnf"), &text);
}

/// Writes the one setting that may have to change before the server is up.
pub(super) fn write_port(folder: &Path, port: u16) {
    give(&folder.join("port.cnf"), &format!("[mysqld]\nport = {port}\n"));
}

fn give(file: &Path, text: &str) {
    std::fs::write(file, text).expect("a file of the server");
    // They are not read if others may write them.
    Account::of_servers().give(file, 0o644);
}
