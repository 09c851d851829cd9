//! A server's `redis.conf`.

use std::fmt::Write as _;
use std::path::Path;

use super::super::Account;
use super::RedisOptions;

/// Many servers run beside each other, and nothing of them is to be kept. No other replica is waited for where one asks for
/// all data, and that a save is done is found out at once, not within a tenth of a second.
const FOR_SERVERS: &[(&str, &str)] = &[
    ("save", ""),
    ("repl-diskless-sync-delay", "0"),
    ("io-threads", "1"),
    ("hz", "100"),
    ("cluster-node-timeout", "5000"),
];

/// Writes it for a server that lives in `folder`, once it is known which ports it has.
pub(super) fn write(options: &RedisOptions, folder: &Path, port: u16, tls_port: Option<u16>) {
    let mut text = String::new();
    let mut set = |name: &str, value: &str| {
        let value = value.replace('\\', r"\\").replace('"', "\\\"");
        writeln!(text, "{name} \"{value}\"").expect("a string");
    };
    let file = |name: &str| folder.join(name).display().to_string();
    set("port", &port.to_string());
    set("bind", "127.0.0.1");
    set("dir", &file("data"));
    set("unixsocket", &file("socket"));
    set("unixsocketperm", "777");
    set("daemonize", "no");
    if !options.sentinel {
        FOR_SERVERS.iter().for_each(|(name, value)| set(name, value));
        if options.version.is_since_7() {
            set("enable-debug-command", "local");
        }
    }
    if options.cluster {
        set("cluster-enabled", "yes");
        set("cluster-config-file", &file("data/nodes.conf"));
    }
    if let Some(password) = &options.password {
        set("requirepass", password);
        if options.cluster {
            set("masterauth", password);
        }
    }
    if let Some(port) = tls_port {
        set("tls-port", &port.to_string());
        set("tls-ca-cert-file", &file("ca.crt"));
        set("tls-cert-file", &file("server.crt"));
        set("tls-key-file", &file("server.key"));
        set("tls-auth-clients", "optional");
        if options.cluster {
            set("tls-cluster", "yes");
            set("tls-replication", "yes");
        }
    }
    for (name, value) in &options.settings {
        set(name, value);
    }
    for line in &options.lines {
        writeln!(text, "{line}").expect("a string");
    }
    let path = folder.join("redis.conf");
    std::fs::write(&path, text).expect("a file of the server");
    // A sentinel writes into it what it finds out.
    Account::of_servers().give(&path, 0o644);
}
