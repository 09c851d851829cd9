//! Connection strings: a URL, or `name=value` pairs, as libpq reads them.
//!
//! No error repeats any of the string: who knows where in it the password is.

use std::collections::BTreeMap;
use std::fmt;

use dumprestore_driver::{Error, Result, closest};
use percent_encoding::percent_decode_str;

/// Parameters of a connection by libpq's names.
#[derive(Clone, Default)]
pub(crate) struct Parameters(BTreeMap<&'static str, String>);

/// What is understood.
const KNOWN: [&str; 28] = [
    "service",
    "servicefile",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "passfile",
    "channel_binding",
    "connect_timeout",
    "options",
    "application_name",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslsni",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "target_session_attrs",
    "load_balance_hosts",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
];

/// What may stand there and changes nothing for us.
const WITHOUT_EFFECT: [&str; 10] = [
    "client_encoding",
    "fallback_application_name",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "sslcompression",
    "sslcertmode",
    "max_protocol_version",
    "min_protocol_version",
    "sslkeylogfile",
];

/// What libpq would understand, and would be less safe if it were passed over.
const REFUSED: [&str; 8] = [
    "sslcrl",
    "sslcrldir",
    "sslpassword",
    "requirepeer",
    "require_auth",
    "gssencmode",
    "replication",
    "scram_client_key",
];

impl Parameters {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Sets it, unless it is set already.
    pub(crate) fn or_set(&mut self, name: &str, value: &str) -> Result<()> {
        if self.get(name).is_none() { self.set(name, value.to_owned()) } else { Ok(()) }
    }

    /// Sets it.
    ///
    /// # Errors
    /// If nobody knows such a parameter, or we can't heed it.
    pub(crate) fn set(&mut self, name: &str, value: String) -> Result<()> {
        if let Some(name) = KNOWN.iter().find(|known| **known == name) {
            self.0.insert(name, value);
            return Ok(());
        }
        match name {
            "ssl" if value == "true" => self.set("sslmode", "require".to_owned()),
            "gssencmode" if matches!(value.as_str(), "disable" | "prefer") => Ok(()),
            _ if WITHOUT_EFFECT.contains(&name) => Ok(()),
            _ if REFUSED.contains(&name) => {
                Err(Error::config(format!("the connection parameter `{name}` is not supported")))
            }
            _ => Err(unknown(name)),
        }
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

fn unknown(name: &str) -> Error {
    // A password that was not quoted could look like a name.
    let harmless = name.len() <= 30 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    if !harmless {
        return bad("has something in it that is no parameter");
    }
    let error = Error::config(format!("there is no connection parameter `{name}`"));
    match closest(name, KNOWN) {
        Some(known) => error.with_hint(format!("did you mean `{known}`?")),
        None => error.with_hint("see the connection parameters in libpq's documentation"),
    }
}

fn bad(why: &str) -> Error {
    Error::config(format!("`url` {why}")).with_hint(
        "write `postgres://USER@HOST:PORT/DATABASE`, with characters that mean something there as `%40`",
    )
}

/// Reads a URL, or pairs.
///
/// # Errors
/// If it is neither.
pub(crate) fn parse(text: &str) -> Result<Parameters> {
    let text = text.trim();
    match ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme)) {
        Some(rest) => parse_url(rest),
        None if is_url(text) => Err(bad("is not of PostgreSQL")),
        None if !text.contains('=') && !text.is_empty() => {
            Err(bad("is neither a URL nor `name=value` pairs"))
        }
        None => parse_pairs(text),
    }
}

/// Whether it begins as a URL does. The value of a pair may hold `://` as well.
fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character))
    })
}

fn parse_url(rest: &str) -> Result<Parameters> {
    let mut parameters = Parameters::default();
    let (login, place) = split_login(rest);
    if let Some(login) = login {
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        parameters.set("user", decode(user)?)?;
        if let Some(password) = password {
            parameters.set("password", decode(password)?)?;
        }
    }
    let (place, query) = place.split_once('?').unwrap_or((place, ""));
    let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
    // Of a password with `/` and `@` in it the rest would pass for a server and a database, and be shown as that.
    if database.contains('@') {
        return Err(bad("has an `@` in the name of its database, which may be the end of a password"));
    }
    set_hosts(&mut parameters, hosts)?;
    parameters.set("dbname", decode(database)?)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| bad("has a parameter without a value"))?;
        parameters.set(&decode(name)?, decode(value)?)?;
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

fn set_hosts(parameters: &mut Parameters, text: &str) -> Result<()> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for one in text.split(',') {
        let (host, port) = split_port(one)?;
        hosts.push(decode(host)?);
        ports.push(decode(port)?);
    }
    let any = |list: &[String]| list.iter().any(|one| !one.is_empty());
    if any(&hosts) {
        parameters.set("host", hosts.join(","))?;
    }
    if any(&ports) {
        parameters.set("port", ports.join(","))?;
    }
    Ok(())
}

fn split_port(one: &str) -> Result<(&str, &str)> {
    let Some(bracketed) = one.strip_prefix('[') else {
        return Ok(one.split_once(':').unwrap_or((one, "")));
    };
    let (host, rest) = bracketed.split_once(']').ok_or_else(|| bad("has a `[` without its `]`"))?;
    match (rest, rest.strip_prefix(':')) {
        ("", _) => Ok((host, "")),
        (_, Some(port)) => Ok((host, port)),
        _ => Err(bad("has something other than a port after `]`")),
    }
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

fn parse_pairs(text: &str) -> Result<Parameters> {
    let mut parameters = Parameters::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=').ok_or_else(|| bad("has a name without its `=`"))?;
        let (value, after) = take_value(value.trim_start())?;
        parameters.set(name.trim_end(), value)?;
        rest = after.trim_start();
    }
    Ok(parameters)
}

/// A value, quoted or not, and what follows it.
fn take_value(text: &str) -> Result<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            _ if !quoted && character.is_whitespace() => {
                return Ok((value, text.get(at..).unwrap_or_default()));
            }
            _ => value.push(character),
        }
    }
    if quoted { Err(bad("has a `'` without its second")) } else { Ok((value, "")) }
}
