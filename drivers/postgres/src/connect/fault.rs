//! What went wrong at the server, turned into ours: who must act, and how.

use std::fmt;
use std::io;

use dumprestore_driver::{Error, ErrorKind};
use tokio_postgres::error::DbError;

const SQLSTATE: &str = "sqlstate";

/// `what` failed. The server's own words follow, with detail, hint and where it happened.
pub(crate) fn fault(error: tokio_postgres::Error, what: impl Into<String>) -> Error {
    let what = what.into();
    match error.as_db_error() {
        Some(said) => of_server(said, what),
        None => of_connection(error, what),
    }
}

/// The server's code, if an error has one.
pub(crate) fn sqlstate(error: &Error) -> Option<&str> {
    error.context().iter().find(|(name, _)| *name == SQLSTATE).map(|(_, value)| value.as_str())
}

fn of_server(said: &DbError, what: String) -> Error {
    let code = said.code().code();
    let made = Error::new(kind_of(code), what).with_context(SQLSTATE, code).with_source(Said::from(said));
    match hint_for(code).or(said.hint()) {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

fn kind_of(code: &str) -> ErrorKind {
    match code {
        "3D000" => ErrorKind::Config,
        "0A000" => ErrorKind::Unsupported,
        _ if code.starts_with("28") => ErrorKind::Config,
        _ => ErrorKind::Environment,
    }
}

fn hint_for(code: &str) -> Option<&'static str> {
    Some(match code {
        "3D000" => "check the name of the database in `url`",
        "28P01" => {
            "check user and password: those of `url`, the option `password`, `PGPASSWORD`, or `.pgpass`"
        }
        "42501" => "use a login that may do this, or have its owner grant it",
        "53300" => "use fewer lanes (`parallel`), end sessions, or raise `max_connections`",
        "53100" => "make room on the server's disk and run it again",
        "53200" => {
            "the server is out of memory, or of locks: raise `max_locks_per_transaction` if it says so"
        }
        "55P03" => "somebody holds a lock for long: end that session, or raise `lock_timeout`",
        "57014" => "raise `statement_timeout`, if it was that; else somebody cancelled it on the server",
        "57P01" | "57P02" => "the server was stopped, or an administrator ended the session: run it again",
        "57P03" => "the server is starting, stopping or recovering: try again when it takes connections",
        "40P01" => "another session waited for us while we waited for it: run it again",
        "25006" => "it is a standby, or made read-only: use the primary",
        _ if code.starts_with("28") => {
            "let the server's `pg_hba.conf` admit this user from here, or use another login"
        }
        _ => return None,
    })
}

/// `what` failed, for there was no way to the server.
pub(super) fn unreached(error: io::Error, what: impl Into<String>) -> Error {
    let hint = hint_for_io(error.kind());
    hinted(Error::environment(what).with_source(error), hint)
}

fn of_connection(error: tokio_postgres::Error, what: String) -> Error {
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let io = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>());
    let hint = match io.and_then(|io| hint_for_io(io.kind())) {
        None if error.to_string().contains("TLS") => Some(hint_for_tls(&cause)),
        None if error.is_closed() || breaks_off(&error) => Some(LOST),
        hint => hint,
    };
    hinted(Error::environment(what).with_source(error), hint)
}

fn hinted(error: Error, hint: Option<&'static str>) -> Error {
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Whether the stream ended within a message.
fn breaks_off(error: &tokio_postgres::Error) -> bool {
    error.to_string().starts_with("error communicating with the server")
}

const LOST: &str = "see the server's log: it may have been stopped, or killed";

fn hint_for_io(kind: io::ErrorKind) -> Option<&'static str> {
    use io::ErrorKind::{
        BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, PermissionDenied, TimedOut, UnexpectedEof,
    };
    Some(match kind {
        ConnectionRefused | NotFound => "is the server running, and does it listen there?",
        TimedOut => "is the server to be reached from here?",
        PermissionDenied => "run as a user who may use the server's socket",
        ConnectionReset | BrokenPipe | UnexpectedEof => LOST,
        _ => return None,
    })
}

fn hint_for_tls(cause: &str) -> &'static str {
    if cause.contains("does not support TLS") {
        "switch `ssl` on at the server, or use another `sslmode`"
    } else if cause.contains("NotValidForName") || cause.contains("not valid for name") {
        "connect to a name that the server's certificate has, or use `sslmode=verify-ca`"
    } else if cause.contains("UnsupportedCertVersion") {
        "the server's certificate is of the first version of X.509: make one with a `subjectAltName`"
    } else if cause.contains("UnknownIssuer") {
        "name the authority that signed the server's certificate with `sslrootcert`"
    } else {
        "check `sslmode`, `sslrootcert` and `sslcert`, and the server's certificate"
    }
}

/// What a server said, on one line.
#[derive(Debug)]
struct Said(String);

impl From<&DbError> for Said {
    fn from(said: &DbError) -> Self {
        let mut text = said.message().to_owned();
        let more = [("detail", said.detail()), ("hint", said.hint()), ("where", said.where_())];
        for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            text.push_str(&format!("; {name}: {value}"));
        }
        Self(text.replace('\n', " "))
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}
