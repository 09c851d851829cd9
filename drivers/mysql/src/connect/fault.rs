//! What went wrong at the server, turned into ours: who must act, and how.

use std::io;

use dumprestore_driver::{Error, ErrorKind};

use super::said::{Complaint, Trouble};
use super::target::Target;

const CODE: &str = "code";
/// As much of a statement as tells which one it is.
const SHOWN: usize = 100;

/// The server's number of an error, if it is one of a server.
pub(crate) fn code(error: &Error) -> Option<u16> {
    error.context().iter().find(|(name, _)| *name == CODE).and_then(|(_, value)| value.parse().ok())
}

/// A statement failed.
pub(super) fn of_statement(trouble: Trouble, statement: &[u8], target: &Target) -> Error {
    match trouble {
        Trouble::Refused(said) => {
            of_server(said, "a statement failed", target).with_context("statement", beginning(statement))
        }
        Trouble::Lost(error) => of_connection(error, "the connection to the server was lost", target)
            .with_context("statement", beginning(statement)),
        Trouble::Ours(error) => error,
    }
}

/// Nobody was let in.
pub(super) fn of_login(error: mysql_async::Error, target: &Target) -> Error {
    use mysql_async::DriverError;
    let what = format!("can't connect to the database `{}` as `{}`", target.database, target.user);
    match error {
        mysql_async::Error::Driver(DriverError::UnknownAuthPlugin { name }) => of_plugin(what, &name, target),
        mysql_async::Error::Driver(DriverError::CleartextPluginDisabled) => {
            of_plugin(what, "mysql_clear_password", target)
        }
        mysql_async::Error::Driver(DriverError::MysqlOldPasswordDisabled) => {
            of_plugin(what, "mysql_old_password", target)
        }
        error => match Trouble::from(error) {
            Trouble::Refused(said) => of_server(said, what, target),
            Trouble::Lost(error) => of_connection(error, what, target),
            Trouble::Ours(error) => error,
        },
    }
}

fn of_plugin(what: String, name: &str, target: &Target) -> Error {
    // What a server calls it goes into a message only if it looks like a name.
    let harmless = name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let shown = if harmless { name } else { "?" };
    Error::unsupported(what)
        .with_context("server", &target.place)
        .with_source(io::Error::other(format!("the server's plugin `{shown}` for logins is not supported")))
        .with_hint("use a login by `caching_sha2_password`, `mysql_native_password` or `ed25519`")
}

/// `what` failed, for there was no way to the server.
pub(super) fn of_connection(error: io::Error, what: impl Into<String>, target: &Target) -> Error {
    let hint = hint_for_io(&error);
    let made = Error::environment(what).with_context("server", &target.place).with_source(error);
    match hint {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

fn of_server(said: Complaint, what: impl Into<String>, target: &Target) -> Error {
    let code = said.code;
    let hint = hint_for(&said);
    let made = Error::new(kind_of(code), what)
        .with_context(CODE, code)
        .with_context("database", target)
        .with_source(said);
    match hint {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

fn kind_of(code: u16) -> ErrorKind {
    match code {
        1044 | 1045 | 1049 | 1130 | 1698 | 1862 | 1820 | 3118 | 3159 | 4151 => ErrorKind::Config,
        1235 | 1251 | 1289 => ErrorKind::Unsupported,
        _ => ErrorKind::Environment,
    }
}

fn hint_for(said: &Complaint) -> Option<&'static str> {
    Some(match said.code {
        1040 | 1203 | 1226 => {
            "use fewer `connections`, end sessions, or raise `max_connections` and the limits of the user"
        }
        1044 => "grant the user rights on this database: `GRANT ALL ON DATABASE.* TO USER`",
        1045 | 1698 => {
            "check user and password: those of `url`, the option `password`, an option file (`my.cnf`), or `MYSQL_PWD`"
        }
        1049 => "check the name of the database in `url`",
        1129 => "the server blocks this host after too many failed connections: `FLUSH HOSTS` there",
        1130 => "let the server admit this user from this host: users are of the form `'USER'@'HOST'`",
        1142 | 1143 | 1227 | 1370 | 1419 | 3879 => {
            "grant the user the right that is named there, or use another login"
        }
        1153 => "raise `max_allowed_packet` at the server",
        1205 => "somebody holds a lock for long: end that session, or raise `lock_timeout`",
        1213 => "another session waited for us while we waited for it: run it again",
        1114 | 1021 | 3675 => "make room on the server's disk, or in its tablespace, and run it again",
        1037 | 1038 | 1041 => "the server is out of memory",
        1053 | 1927 => "the server was stopped, or an administrator ended the session: run it again",
        1158..=1161 => "the network was too slow for the server's `net_read_timeout` or `net_write_timeout`",
        1290 if said.message.contains("read-only") || said.message.contains("read_only") => READ_ONLY,
        1836 | 3100 | 1792 => READ_ONLY,
        1290 => "an option that the server was started with forbids it",
        1461 => "raise `max_prepared_stmt_count` at the server",
        1317 => "somebody cancelled it on the server",
        1820 | 1862 => "the password of the user has expired: set a new one",
        3118 | 4151 => "the user is locked at the server",
        3159 => "the server takes encrypted connections only: set `ssl-mode=required`",
        1524 | 2059 => "the server has no such plugin for logins: use a login with another one",
        3024 | 1969 => "raise `statement_timeout`",
        3948 | 4166 => "switch `local_infile` on at the server",
        4031 => "the session was idle for longer than the server lets it",
        _ => return None,
    })
}

const READ_ONLY: &str = "it is a replica, or made read-only: use the primary";
const LOST: &str = "see the server's log: it may have been stopped, or killed the session";

fn hint_for_io(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotFound, PermissionDenied,
        TimedOut, UnexpectedEof,
    };
    if let Some(tls) = tls_of(error) {
        return Some(hint_for_tls(&tls));
    }
    Some(match error.kind() {
        ConnectionRefused | NotFound => "is the server running, and does it listen there?",
        TimedOut => "is the server to be reached from here? `connect-timeout` in `url` gives it longer",
        PermissionDenied => "run as a user who may use the server's socket",
        ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof => LOST,
        _ => return None,
    })
}

/// What is wrong with TLS, if that is what is wrong.
fn tls_of(error: &io::Error) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = cause {
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return Some(tls.to_string());
        }
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && let Some(tls) = tls_of(io)
        {
            return Some(tls);
        }
        cause = inner.source();
    }
    None
}

fn hint_for_tls(cause: &str) -> &'static str {
    if cause.contains("not valid for name") || cause.contains("NotValidForName") {
        "connect to a name that the server's certificate has"
    } else if cause.contains("UnknownIssuer") {
        "name the authority that signed the server's certificate with `ssl-ca`"
    } else if cause.contains("ProtocolVersion") || cause.contains("ServerDoesNotSupportTls12Or13") {
        "the server has no TLS of version 1.2 or newer: update it, or use `ssl-mode=disabled` where nobody listens between"
    } else {
        "check `ssl-mode`, `ssl-ca` and `ssl-cert`, and the server's certificate"
    }
}

/// The beginning of a statement, without any value that it may hold.
fn beginning(statement: &[u8]) -> String {
    let text = String::from_utf8_lossy(statement.get(..SHOWN * 4).unwrap_or(statement));
    let harmless = text.split(['\'', '"']).next().unwrap_or_default();
    let hexadecimal = |word: &&str| word.trim_start_matches('(').starts_with("0x");
    let mut shown = String::new();
    for word in harmless.split_whitespace().take_while(|word| !hexadecimal(word)) {
        if shown.len() + word.len() >= SHOWN {
            break;
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(word);
    }
    // Nothing of what follows is told, but that something does.
    let whole = shown.split(' ').count() == text.split_whitespace().count() && text.len() == statement.len();
    if whole { shown } else { shown + " …" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_statement_no_value_is_shown() {
        assert_eq!(beginning(b"SELECT 1\n FROM `t`"), "SELECT 1 FROM `t`");
        assert_eq!(beginning(b"SET PASSWORD = 'se''cret'"), "SET PASSWORD = …");
        assert_eq!(beginning(b"INSERT INTO `t` VALUES (0xdeadbeef, 1)"), "INSERT INTO `t` VALUES …");
        let long = beginning("SELECT column_with_a_long_name ".repeat(1000).as_bytes());
        assert!(long.len() <= SHOWN + 5, "{long}");
    }
}
