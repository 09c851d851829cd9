//! Where a connection goes, as whom, and how.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dumprestore_driver::{Error, Result, Revealed, Secret};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::environment::{Environment, VARIABLES};
use super::passfile::Passfile;
use super::service;
use super::string::{self, Parameters};
use super::tls::Protection;

const DEFAULT_PORT: u16 = 5432;
/// Where libpq looks for a socket, on most systems; and where it does so elsewhere.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];
/// A host that swallows what is sent to it must not hold a run for minutes.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One server that may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) place: Place,
    pub(crate) port: u16,
}

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A name or an address, and the address to use instead of looking the name up.
    Tcp { host: String, address: Option<IpAddr> },
    /// The folder of a socket; one that begins with `@` is abstract.
    Socket(PathBuf),
}

impl Endpoint {
    /// As it stands in a URL: `db.example.org:5432`, `%2Fvar%2Frun%2Fpostgresql:5432`.
    fn in_url(&self) -> String {
        let host = match &self.place {
            Place::Tcp { host, .. } if host.contains(':') => format!("[{host}]"),
            Place::Tcp { host, .. } => encode(host),
            Place::Socket(folder) => encode(&folder.to_string_lossy()),
        };
        format!("{host}:{}", self.port)
    }

    /// The name that this machine's own servers share: sockets and loopback addresses are all `localhost`.
    fn canonical(&self) -> String {
        let host = match &self.place {
            Place::Socket(_) => "localhost".to_owned(),
            Place::Tcp { host, address } => {
                let loopback =
                    address.or_else(|| host.parse().ok()).is_some_and(|ip: IpAddr| ip.is_loopback());
                if loopback { "localhost".to_owned() } else { host.trim_end_matches('.').to_lowercase() }
            }
        };
        format!("{host}:{}", self.port)
    }

    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.place, Place::Socket(_))
    }
}

/// For people: `db.example.org:5432`, or the path of the socket.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Socket(folder) => write!(f, "{}/.s.PGSQL.{}", folder.display(), self.port),
            Place::Tcp { .. } => f.write_str(&self.in_url()),
        }
    }
}

/// Which of several servers will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionAttrs {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// A database on a server, and how to get at it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) user: String,
    pub(crate) database: String,
    /// The database that was configured.
    configured: String,
    password: Option<Revealed>,
    passfile: Passfile,
    pub(super) home: Option<PathBuf>,
    pub(crate) protection: Protection,
    pub(crate) session_attrs: SessionAttrs,
    /// Whether to begin with any of the servers.
    pub(crate) shuffled: bool,
    pub(crate) connect_timeout: Option<Duration>,
    /// What stands behind all of this, for what is passed on as it is.
    pub(crate) parameters: Parameters,
}

impl Target {
    /// Reads a connection string, and fills in what it leaves out: from `password`, and from the environment.
    ///
    /// # Errors
    /// If a value is not what libpq would take. No error repeats a value.
    pub(crate) fn read(text: &str, password: Option<&str>, environment: &Environment) -> Result<Self> {
        let mut parameters = string::parse(text)?;
        if let Some(password) = password {
            parameters.or_set("password", password)?;
        }
        for variable in ["PGSERVICE", "PGSERVICEFILE"] {
            let name = VARIABLES.iter().find(|(name, _)| *name == variable).map(|(_, name)| *name);
            if let Some((name, value)) = name.zip(environment.get(variable)) {
                parameters.or_set(name, value)?;
            }
        }
        service::fill_in(&mut parameters, environment)?;
        for (variable, name) in VARIABLES {
            if let Some(value) = environment.get(variable) {
                parameters.or_set(name, value)?;
            }
        }
        Self::new(parameters, environment)
    }

    fn new(parameters: Parameters, environment: &Environment) -> Result<Self> {
        let user = match parameters.get("user") {
            Some(user) => user.to_owned(),
            None => whoami::username().map_err(|error| {
                Error::config("`url` names no user, and this process runs as nobody with a name")
                    .with_source(error)
            })?,
        };
        Ok(Self {
            endpoints: endpoints(&parameters)?,
            database: parameters.get("dbname").unwrap_or(&user).to_owned(),
            configured: parameters.get("dbname").unwrap_or(&user).to_owned(),
            user,
            password: parameters.get("password").map(Revealed::new),
            passfile: Passfile::read(&parameters, environment),
            home: environment.home(),
            protection: Protection::new(&parameters, environment)?,
            session_attrs: session_attrs(&parameters)?,
            shuffled: one_of(&parameters, "load_balance_hosts", &["disable", "random"])? == Some(1),
            connect_timeout: connect_timeout(&parameters)?,
            parameters,
        })
    }

    /// The same server and login, and another database.
    pub(crate) fn with_database(&self, name: &str) -> Self {
        Self { database: name.to_owned(), ..self.clone() }
    }

    /// The same database, on that server and no other.
    pub(super) fn at(&self, endpoint: Endpoint) -> Self {
        Self { endpoints: vec![endpoint], session_attrs: SessionAttrs::Any, ..self.clone() }
    }

    /// The canonical name of the database: what two nodes that are restored into it share.
    pub(crate) fn claim(&self) -> String {
        let servers: Vec<_> = self.endpoints.iter().map(Endpoint::canonical).collect();
        format!("postgres://{}/{}", servers.join(","), encode(&self.database))
    }

    /// The password for that server. Who is let into the configured database with one that `.pgpass` has for it, is so
    /// into another one, such as that of a restore.
    pub(crate) fn password(&self, endpoint: &Endpoint) -> Option<&Revealed> {
        let find = |database: &str| self.passfile.find(endpoint, database, &self.user);
        self.password.as_ref().or_else(|| find(&self.database)).or_else(|| find(&self.configured))
    }

    /// What kept the passwords of a file from being used.
    pub(super) fn passfile_problem(&self) -> Option<&str> {
        self.passfile.problem()
    }

    /// The same, where the server has told who it is.
    pub(crate) fn claim_on(&self, identity: &str) -> String {
        format!("postgres://{identity}/{}", encode(&self.database))
    }

    /// A URL with everything in it that another program needs, the password as well.
    pub(crate) fn url(&self) -> Secret {
        let login = match self.endpoints.first().and_then(|endpoint| self.password(endpoint)) {
            Some(password) => format!("{}:{}", encode(&self.user), encode(password.expose())),
            None => encode(&self.user),
        };
        Secret::new(format!("{}{}", self.base_url(&login), self.query()))
    }

    fn base_url(&self, login: &str) -> String {
        let servers: Vec<_> = self.endpoints.iter().map(Endpoint::in_url).collect();
        format!("postgresql://{login}@{}/{}", servers.join(","), encode(&self.database))
    }

    fn query(&self) -> String {
        const PASSED_ON: [&str; 14] = [
            "hostaddr",
            "sslmode",
            "sslnegotiation",
            "sslrootcert",
            "sslcert",
            "sslkey",
            "sslsni",
            "ssl_min_protocol_version",
            "ssl_max_protocol_version",
            "options",
            "target_session_attrs",
            "channel_binding",
            "connect_timeout",
            "passfile",
        ];
        let pairs: Vec<_> = PASSED_ON
            .iter()
            .filter_map(|name| Some(format!("{name}={}", encode(self.parameters.get(name)?))))
            .collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

/// For people: a URL without its password, and without details.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base_url(&encode(&self.user)))
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

fn endpoints(parameters: &Parameters) -> Result<Vec<Endpoint>> {
    let list = |name| parameters.get(name).map(|text| text.split(',').collect::<Vec<_>>());
    let (hosts, addresses) = (list("host"), list("hostaddr"));
    let ports = list("port").unwrap_or_else(|| vec![""]);
    let count = hosts.as_ref().or(addresses.as_ref()).map_or(1, Vec::len);
    let differ = addresses.as_ref().is_some_and(|list| list.len() != count);
    if differ || (ports.len() != 1 && ports.len() != count) {
        return Err(Error::config("`url` has not as many ports or addresses as hosts")
            .with_hint("give one port for all hosts, or one for each"));
    }
    let at = |list: &Option<Vec<&str>>, index: usize| {
        list.as_ref().and_then(|list| list.get(index)).map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    (0..count)
        .map(|index| {
            let port = ports.get(if ports.len() == 1 { 0 } else { index }).copied().unwrap_or_default();
            Ok(Endpoint { place: place(&at(&hosts, index), &at(&addresses, index))?, port: port_of(port)? })
        })
        .collect()
}

fn place(host: &str, address: &str) -> Result<Place> {
    let address = match address {
        "" => None,
        text => Some(text.parse::<IpAddr>().map_err(|_| {
            Error::config("`hostaddr` is not an address").with_hint("write a name as `host`")
        })?),
    };
    Ok(match (host, address) {
        ("", None) => Place::Socket(socket_folder()),
        ("", Some(address)) => Place::Tcp { host: address.to_string(), address: Some(address) },
        (folder, None) if folder.starts_with(['/', '@']) => Place::Socket(folder.into()),
        (host, address) => Place::Tcp { host: host.to_owned(), address },
    })
}

fn socket_folder() -> PathBuf {
    let there = SOCKET_FOLDERS.iter().find(|folder| PathBuf::from(folder).is_dir());
    there.unwrap_or(&SOCKET_FOLDERS[0]).into()
}

/// Whether that is where sockets are looked for if nothing is said.
pub(super) fn is_default_folder(folder: &Path) -> bool {
    SOCKET_FOLDERS.iter().any(|default| folder == Path::new(default))
}

fn port_of(text: &str) -> Result<u16> {
    match text.trim() {
        "" => Ok(DEFAULT_PORT),
        text => text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            Error::config("the port of a server must be a number from 1 to 65535").with_hint(
                "if it is a part of the password, write `/` in it as `%2F`, `:` as `%3A`, `@` as `%40`",
            )
        }),
    }
}

/// Which of `choices` a parameter is.
pub(super) fn one_of(parameters: &Parameters, name: &str, choices: &[&str]) -> Result<Option<usize>> {
    let Some(value) = parameters.get(name) else { return Ok(None) };
    choices.iter().position(|choice| *choice == value).map(Some).ok_or_else(|| {
        Error::config(format!("the connection parameter `{name}` has no such value"))
            .with_hint(format!("it is one of `{}`", choices.join("`, `")))
    })
}

fn session_attrs(parameters: &Parameters) -> Result<SessionAttrs> {
    const NAMES: [&str; 6] = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"];
    Ok(match one_of(parameters, "target_session_attrs", &NAMES)? {
        Some(1) => SessionAttrs::ReadWrite,
        Some(2) => SessionAttrs::ReadOnly,
        Some(3) => SessionAttrs::Primary,
        Some(4) => SessionAttrs::Standby,
        Some(5) => SessionAttrs::PreferStandby,
        _ => SessionAttrs::Any,
    })
}

fn connect_timeout(parameters: &Parameters) -> Result<Option<Duration>> {
    match number(parameters, "connect_timeout")? {
        None => Ok(Some(DEFAULT_CONNECT_TIMEOUT)),
        Some(seconds) if seconds <= 0 => Ok(None),
        // libpq knows no less than two seconds either.
        Some(seconds) => Ok(Some(Duration::from_secs(seconds.unsigned_abs().max(2)))),
    }
}

/// A parameter that is a whole number.
pub(super) fn number(parameters: &Parameters, name: &str) -> Result<Option<i64>> {
    let Some(value) = parameters.get(name) else { return Ok(None) };
    value
        .trim()
        .parse()
        .map(Some)
        .map_err(|_| Error::config(format!("the connection parameter `{name}` must be a whole number")))
}
