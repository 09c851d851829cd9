//! The URL of a server.
//!
//! No error repeats any of it: who knows where in it the password is.

use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, Result};
use percent_encoding::percent_decode_str;

use super::parameters::Parameters;
use super::place::{Address, Place};

const DEFAULT_PORT: u16 = 6379;
const DEFAULT_SENTINEL_PORT: u16 = 26379;

/// What a URL says.
#[derive(Debug)]
pub(super) struct Url {
    pub(super) place: Place,
    pub(super) encrypted: bool,
    /// `#insecure`, as other clients have it: whoever answers is believed.
    pub(super) insecure: bool,
    /// `db`, `user` and `password` among them, wherever in the URL they stood.
    pub(super) parameters: Parameters,
}

enum Scheme {
    Server { encrypted: bool },
    Sentinel { encrypted: bool },
    Socket,
}

fn bad(why: &str) -> Error {
    Error::config(format!("`url` {why}")).with_hint(
        "write `redis://USER:PASSWORD@HOST:PORT/INDEX`, with characters that mean something there as `%40`, or the \
         password in the option `password`",
    )
}

/// Reads a URL. Paths begin at `base`.
///
/// # Errors
/// If it is none of Redis or Valkey, or has parameters that nobody knows.
pub(super) fn parse(text: &str, base: &Path) -> Result<Url> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("is not a URL"))?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "redis" | "valkey" => Scheme::Server { encrypted: false },
        "rediss" | "valkeys" => Scheme::Server { encrypted: true },
        "redis-sentinel" | "redis+sentinel" | "sentinel" | "valkey-sentinel" => {
            Scheme::Sentinel { encrypted: false }
        }
        "rediss-sentinel" | "rediss+sentinel" => Scheme::Sentinel { encrypted: true },
        "redis+unix" | "valkey+unix" | "redis+socket" | "redis-socket" | "unix" => Scheme::Socket,
        "postgres" | "postgresql" => {
            return Err(bad("is of PostgreSQL").with_hint("use the driver `postgres` for this node"));
        }
        "mysql" | "mariadb" => {
            return Err(bad("is of MySQL").with_hint("use the driver `mysql` for this node"));
        }
        _ => return Err(bad("is not of Redis or Valkey")),
    };
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let insecure = match fragment {
        "" => false,
        "insecure" => true,
        _ => {
            return Err(bad("has something after a `#`").with_hint("write a `#` of a password as `%23`"));
        }
    };
    let mut parameters = Parameters::default();
    let (login, rest) = split_login(rest);
    read_login(login, &mut parameters)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if query.contains('@') {
        return Err(bad("has an `@` in its parameters, which may be the end of a password"));
    }
    let (place, encrypted) = match scheme {
        Scheme::Server { encrypted } => (server(rest, &mut parameters)?, encrypted),
        Scheme::Sentinel { encrypted } => (sentinels(rest, &mut parameters)?, encrypted),
        Scheme::Socket => (Place::Socket(socket(rest, base)?), false),
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| bad("has a parameter without a value"))?;
        parameters.set_named(&decode(name)?, decode(value)?)?;
    }
    Ok(Url { place, encrypted, insecure, parameters })
}

/// What stands before the last `@` of what may hold one.
fn split_login(rest: &str) -> (Option<&str>, &str) {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest.get(..end).and_then(|authority| authority.rfind('@')) {
        Some(at) => (rest.get(..at), rest.get(at + 1..).unwrap_or_default()),
        None => (None, rest),
    }
}

fn read_login(login: Option<&str>, parameters: &mut Parameters) -> Result<()> {
    let Some(login) = login else { return Ok(()) };
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    parameters.set("user", decode(user)?);
    if let Some(password) = password {
        parameters.set("password", decode(password)?);
    }
    Ok(())
}

fn server(rest: &str, parameters: &mut Parameters) -> Result<Place> {
    let (server, index) = rest.split_once('/').unwrap_or((rest, ""));
    set_index(index, parameters)?;
    if server.contains(',') {
        return Err(bad("names more than one server")
            .with_hint("name one of a cluster: it knows the others; sentinels are `redis-sentinel://…`"));
    }
    Ok(Place::Tcp(address(server, DEFAULT_PORT)?))
}

fn sentinels(rest: &str, parameters: &mut Parameters) -> Result<Place> {
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (primary, index) = path.split_once('/').unwrap_or((path, ""));
    set_index(index, parameters)?;
    let primary = decode(primary)?;
    if primary.is_empty() {
        return Err(bad("names no primary for the sentinels to find")
            .with_hint("write `redis-sentinel://HOST:PORT,HOST:PORT/NAME/INDEX`"));
    }
    if primary.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(bad("has characters in the name of the primary that no such name has"));
    }
    if primary.contains('@') {
        return Err(bad("has an `@` in the name of the primary, which may be the end of a password"));
    }
    let sentinels = hosts.split(',').map(|one| address(one, DEFAULT_SENTINEL_PORT));
    Ok(Place::Sentinels { sentinels: sentinels.collect::<Result<_>>()?, primary })
}

fn socket(rest: &str, base: &Path) -> Result<PathBuf> {
    let path = decode(rest)?;
    if path.is_empty() || path.ends_with('/') {
        return Err(
            bad("has no path of a socket").with_hint("write `redis+unix:///run/redis/redis.sock?db=0`")
        );
    }
    if path.chars().any(char::is_control) {
        return Err(bad("has control characters in the path of its socket"));
    }
    // Of a password with a `/` in it the rest would pass for a path, and be shown as that.
    if path.contains('@') {
        return Err(bad("has an `@` in the path of its socket, which may be the end of a password"));
    }
    Ok(base.join(path))
}

fn set_index(text: &str, parameters: &mut Parameters) -> Result<()> {
    let index = decode(text)?;
    let index = index.trim_end_matches('/');
    // Of a password with `/` and `@` in it the rest would pass for an index.
    if !index.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad("has something other than the index of a database after its host").with_hint(
            "write `redis://HOST:PORT/0`; a `/` of a password is `%2F`, or use the option `password`",
        ));
    }
    parameters.set("db", index);
    Ok(())
}

fn address(text: &str, default_port: u16) -> Result<Address> {
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
    let host = match decode(host)? {
        host if host.is_empty() => "localhost".to_owned(),
        host if host.chars().any(|c| c.is_control() || c.is_whitespace() || "/?#@".contains(c)) => {
            return Err(bad("has a host with characters in it that no host has"));
        }
        host => host,
    };
    let port = match port {
        "" => default_port,
        port => match port.parse() {
            Ok(0) | Err(_) => {
                return Err(bad("has a port that is no number from 1 to 65535").with_hint(
                    "if it is a part of the password, write `/` in it as `%2F`, `:` as `%3A`, `@` as `%40`",
                ));
            }
            Ok(port) => port,
        },
    };
    Ok(Address { host, port })
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
