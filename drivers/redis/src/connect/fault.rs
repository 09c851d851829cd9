//! What went wrong at the server, turned into ours: who must act, and how.

use std::fmt;
use std::io;

use dumprestore_driver::{Error, ErrorKind, Revealed};

use super::target::{Login, Target};

const CODE: &str = "code";
/// As much of what a server says as is shown.
const SHOWN: usize = 300;

/// What a server said when it refused, fit to be shown.
#[derive(Debug)]
struct Said {
    code: String,
    text: String,
}

impl Said {
    fn new(text: &str) -> Self {
        let code: String = text.split_whitespace().next().unwrap_or_default().chars().take(30).collect();
        Self { code, text: shown(harmless(text)) }
    }
}

/// A server that does not know a command repeats what came with it: values, perhaps a password.
fn harmless(text: &str) -> &str {
    text.split(", with args beginning with").next().unwrap_or_default()
}

/// The beginning of what a server says, with nothing in it that a terminal would act on.
pub(crate) fn shown(text: &str) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.trim().chars().take(SHOWN).map(escaped).collect()
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Said {}

fn said(error: &Error) -> Option<&Said> {
    std::error::Error::source(error)?.downcast_ref()
}

/// The server's code of an error, if it is one of a server: `NOPERM`, `ERR`.
pub(crate) fn code(error: &Error) -> Option<&str> {
    said(error).map(|said| said.code.as_str())
}

/// Whether the server would not do it for this login, or not for anybody: the command is not granted, is switched off, or
/// is none that it knows.
pub(crate) fn is_refusal(error: &Error) -> bool {
    said(error).is_some_and(|said| said.code == "NOPERM" || is_unknown(&said.text))
}

/// The same, of what the server said.
pub(crate) fn is_refusal_text(text: &str) -> bool {
    let said = Said::new(text);
    said.code == "NOPERM" || is_unknown(&said.text)
}

fn is_unknown(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("unknown command") || text.contains("unknown subcommand") || text.contains("unknown config")
}

/// Whether what a server says to the first command means that it lets us do nothing.
pub(super) fn keeps_out(text: &str) -> bool {
    ["NOAUTH", "DENIED", "WRONGPASS"].iter().any(|code| text.starts_with(code))
        || text.contains("max number of clients")
        || text.contains("operation not permitted")
}

/// The name of a command, without what could be a value.
pub(super) fn name_of(parts: &[&[u8]]) -> String {
    const CONTAINERS: [&str; 9] =
        ["ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "FUNCTION", "MEMORY", "MODULE", "SENTINEL"];
    let word = |at: usize| parts.get(at).map(|part| part.escape_ascii().to_string().to_uppercase());
    let name = word(0).unwrap_or_default();
    match word(1) {
        Some(second) if CONTAINERS.contains(&name.as_str()) => format!("{name} {second}"),
        _ => name,
    }
}

/// The server refused a command.
pub(super) fn of_command(text: &str, command: &str, target: &Target) -> Error {
    of_server(text, "a command failed", target).with_context("command", command)
}

/// Nobody was let in: the server says why.
pub(super) fn of_login_reply(text: &str, target: &Target) -> Error {
    of_server(text, "can't log in to the server", target)
}

/// A user or a password is not taken.
pub(super) fn of_password(text: &str, login: &Login, target: &Target) -> Error {
    let password = login.password.as_ref().map(Revealed::expose).filter(|password| !password.is_empty());
    // Whatever answers may be no Redis at all.
    let repeats = password.is_some_and(|password| harmless(text).contains(password));
    of_login_reply(if repeats { "ERR" } else { text }, target)
}

/// Nobody was let in, for there was no way to the server.
pub(super) fn of_login(error: io::Error, target: &Target) -> Error {
    of_connection(error, "can't connect to the server", target)
}

/// Nobody answered, or not as one who understands us.
pub(super) fn of_entering(error: io::Error, target: &Target) -> Error {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    let hint = match (error.kind(), target.protection.is_some()) {
        // Who speaks no TLS waits for the end of a line.
        (TimedOut, true) => Some(
            "does the server speak TLS there? Without it is `redis://…`; else `connect-timeout` in `url` gives it longer",
        ),
        (BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof, false) => Some(
            "does the server want TLS there? That is `rediss://…`; else see its log: it closed the connection",
        ),
        _ => None,
    };
    let made = of_connection(error, "the connection to the server was lost", target);
    match hint {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// The same, where the attempt has told of a lost connection already.
pub(super) fn not_in(error: Error, target: &Target) -> Error {
    match error.kind() {
        ErrorKind::Environment => {
            let hint = error.hint().map(str::to_owned);
            let made =
                Error::environment("can't connect to the server").with_context("server", &target.place);
            let made = match hint {
                Some(hint) => made.with_hint(hint),
                None => made,
            };
            match Cause::of(&error) {
                Some(cause) => made.with_source(cause),
                None => made,
            }
        }
        _ => error,
    }
}

/// The causes of an error, without what it was said of.
#[derive(Debug)]
struct Cause(String);

impl Cause {
    fn of(error: &Error) -> Option<Self> {
        std::error::Error::source(error).map(|cause| Self(cause.to_string()))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

/// `what` failed, for there was no way to the server. An error of ours that travelled in the other comes out whole.
pub(super) fn of_connection(error: io::Error, what: &str, target: &Target) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(error) => {
            let hint = hint_for_io(&error);
            let made = Error::environment(what).with_context("server", &target.place).with_source(error);
            match hint {
                Some(hint) => made.with_hint(hint),
                None => made,
            }
        }
    }
}

fn of_server(text: &str, what: &str, target: &Target) -> Error {
    let said = Said::new(text);
    let hint = hint_for(&said);
    let made =
        Error::new(kind_of(&said), what).with_context("server", &target.place).with_context(CODE, &said.code);
    let made = made.with_source(said);
    match hint {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

fn kind_of(said: &Said) -> ErrorKind {
    match said.code.as_str() {
        "NOAUTH" | "WRONGPASS" | "NOPERM" => ErrorKind::Config,
        _ if is_unknown(&said.text) => ErrorKind::Unsupported,
        _ if said.text.contains("without any password configured")
            || said.text.contains("index is out of range") =>
        {
            ErrorKind::Config
        }
        _ => ErrorKind::Environment,
    }
}

fn hint_for(said: &Said) -> Option<&'static str> {
    Some(match said.code.as_str() {
        "NOAUTH" => "give the password in `url` (`redis://:PASSWORD@HOST`), or with the option `password`",
        "WRONGPASS" => "check user and password: those of `url`, or the options `user` and `password`",
        "NOPERM" => {
            "grant the login the command or the keys that are named there (`ACL SETUSER`), or use another"
        }
        "LOADING" => "the server still reads its data from disk: wait until it has, and run it again",
        "BUSY" => "a script is running there: wait, or end it with `SCRIPT KILL`",
        "MISCONF" => "the server can't save its data, and takes none: see its log; mostly its disk is full",
        "READONLY" => "it is a replica: use the primary",
        "OOM" => "raise `maxmemory` at the server, or make room there",
        "CLUSTERDOWN" => "the cluster is not whole: see `CLUSTER INFO`",
        "MOVED" | "ASK" => {
            "the cluster is being changed, or the server is a node of one that was not taken for it"
        }
        "MASTERDOWN" | "NOMASTERLINK" => "the replica has lost its primary: use another server",
        "NOREPLICAS" => {
            "the server takes writes only with replicas, and has too few: `min-replicas-to-write`"
        }
        "DENIED" => "the server is in protected mode: give it a password, or connect from its own machine",
        "UNKILLABLE" | "TRYAGAIN" => "wait, and run it again",
        _ => return hint_for_text(&said.text),
    })
}

fn hint_for_text(text: &str) -> Option<&'static str> {
    Some(match text {
        _ if text.contains("max number of clients") => "end connections, or raise `maxclients` at the server",
        _ if text.contains("index is out of range") => {
            "the server has fewer databases than that: its `databases`, mostly 16"
        }
        _ if text.contains("without any password configured") || text.contains("no password is set") => {
            "the server has no password: leave it out of `url` and `password`"
        }
        _ if text.contains("operation not permitted") => {
            "give the password in `url` (`redis://:PASSWORD@HOST`), or with the option `password`"
        }
        _ if is_unknown(text) => {
            "the server is too old for it, or was told not to know it (`rename-command`)"
        }
        _ => return None,
    })
}

const LOST: &str = "see the server's log: it may have been stopped, or closed the connection";

fn hint_for_io(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidData, NotFound,
        PermissionDenied, TimedOut, UnexpectedEof,
    };
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return Some(hint_for_tls(tls));
    }
    Some(match error.kind() {
        ConnectionRefused | NotFound => "is the server running, and does it listen there?",
        TimedOut => "is the server to be reached from here? `connect-timeout` in `url` gives it longer",
        PermissionDenied => "run as a user who may use the server's socket",
        InvalidData => "does a Redis listen there, and without TLS? With TLS it is `rediss://…`",
        ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof => LOST,
        // There is no kind for it.
        _ if error.to_string().contains("lookup address") => {
            "nobody knows that name here: is it spelt right? The names of compose's services are known to its containers alone"
        }
        _ => return None,
    })
}

fn hint_for_tls(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "connect to a name that the server's certificate has, or check only who signed it with `tls-verify=ca`"
        }
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => {
            "name the authority that signed the server's certificate with `tls-ca` in `url`"
        }
        rustls::Error::InvalidMessage(_) => "does the server speak TLS there? Without it is `redis://…`",
        rustls::Error::AlertReceived(_) => {
            "the server may want a certificate of ours: `tls-cert` and `tls-key` in `url`"
        }
        _ => "check `tls-ca`, `tls-cert` and `tls-verify` in `url`, and the server's certificate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_with_an_unknown_command_is_not_shown() {
        let said = Said::new("ERR unknown command 'AUTH', with args beginning with: 'me' 'se''cret' ");
        assert_eq!((said.code.as_str(), said.text.as_str()), ("ERR", "ERR unknown command 'AUTH'"));
        assert_eq!(name_of(&[b"set", b"key", b"value"]), "SET");
        assert_eq!(name_of(&[b"CONFIG", b"GET", b"requirepass"]), "CONFIG GET");
    }
}
