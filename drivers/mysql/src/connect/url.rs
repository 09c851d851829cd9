//! The URL of a database.
//!
//! No error repeats any of it: who knows where in it the password is.

use dumprestore_driver::{Error, Result};
use percent_encoding::percent_decode_str;

use super::parameters::Parameters;

/// What frameworks write into the URLs of applications, and is of no concern here.
const OF_FRAMEWORKS: [&str; 9] = [
    "charset",
    "collation",
    "encoding",
    "parsetime",
    "pool",
    "prepared_statements",
    "reconnect",
    "serverversion",
    "timeout",
];

fn bad(why: &str) -> Error {
    Error::config(format!("`url` {why}")).with_hint(
        "write `mysql://USER@HOST:PORT/DATABASE`, with characters that mean something there as `%40`",
    )
}

/// Reads a URL.
///
/// # Errors
/// If it is none of MySQL or MariaDB, or has parameters that nobody knows.
pub(super) fn parse(text: &str) -> Result<Parameters> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("is not a URL"))?;
    match scheme.to_ascii_lowercase().as_str() {
        // Some frameworks name their adapter there.
        "mysql" | "mariadb" | "mysql2" | "trilogy" => read(rest),
        "postgres" | "postgresql" => {
            Err(bad("is of PostgreSQL").with_hint("use the driver `postgres` for this node"))
        }
        "redis" | "rediss" => Err(bad("is of Redis").with_hint("use the driver `redis` for this node")),
        "sqlite" => Err(bad("is of SQLite").with_hint("use the driver `sqlite` for this node")),
        _ => Err(bad("is not of MySQL or MariaDB")),
    }
}

fn read(rest: &str) -> Result<Parameters> {
    let mut parameters = Parameters::default();
    let (login, place) = split_login(rest);
    if let Some(login) = login {
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        parameters.set("user", decode(user)?);
        if let Some(password) = password {
            parameters.set("password", decode(password)?);
        }
    }
    let (place, query) = place.split_once('?').unwrap_or((place, ""));
    let (server, database) = place.split_once('/').unwrap_or((place, ""));
    // Of a password with `/` and `@` in it the rest would pass for a server and a database, and be shown as that.
    if database.contains('@') {
        return Err(bad("has an `@` in the name of its database, which may be the end of a password"));
    }
    if query.contains('@') {
        return Err(bad("has an `@` in its parameters, which may be the end of a password"));
    }
    if database.contains('/') {
        return Err(bad("has a `/` in the name of its database").with_hint("write it as `%2F`"));
    }
    set_server(&mut parameters, server)?;
    parameters.set("database", decode(database)?);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| bad("has a parameter without a value"))?;
        let name = decode(name)?;
        if !OF_FRAMEWORKS.contains(&name.to_ascii_lowercase().as_str()) {
            parameters.set_named(&name, decode(value)?)?;
        }
    }
    Ok(parameters)
}

/// What stands before the last `@` of what may hold one.
fn split_login(rest: &str) -> (Option<&str>, &str) {
    let end = rest.find('/').unwrap_or(rest.len());
    match rest.get(..end).and_then(|authority| authority.rfind('@')) {
        Some(at) => (rest.get(..at), rest.get(at + 1..).unwrap_or_default()),
        None => (None, rest),
    }
}

fn set_server(parameters: &mut Parameters, text: &str) -> Result<()> {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').ok_or_else(|| bad("has a `[` without its `]`"))?;
            match (rest, rest.strip_prefix(':')) {
                ("", _) => (host, ""),
                (_, Some(port)) => (host, port),
                _ => return Err(bad("has something other than a port after `]`")),
            }
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    if host.contains(',') {
        return Err(
            bad("names more than one server").with_hint("name the one to dump from, or to restore to")
        );
    }
    let host = decode(host)?;
    match host.starts_with('/') {
        true => parameters.set("socket", host),
        false if host.is_empty() => {}
        false => parameters.set("host", host),
    }
    if !port.is_empty() {
        parameters.set("port", decode(port)?);
    }
    Ok(())
}

fn decode(text: &str) -> Result<String> {
    let bytes = text.as_bytes();
    let whole =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
            bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
        });
    if !whole {
        return Err(bad("has a `%` that is not followed by two hexadecimal digits")
            .with_hint("write a `%` of a password as `%25`, or use the option `password`"));
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| bad("is not UTF-8"))?;
    if decoded.contains('\0') {
        return Err(bad("has a zero byte in it"));
    }
    Ok(decoded.into_owned())
}
