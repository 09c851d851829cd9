//! Where a connection goes, as whom, and how.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dumprestore_driver::{Error, Result, Revealed, Secret};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::environment::{Environment, VARIABLES};
use super::parameters::Parameters;
use super::tls::Protection;

const DEFAULT_PORT: u16 = 3306;
/// Where servers have their sockets on one system or another.
const SOCKETS: [&str; 4] = [
    "/run/mysqld/mysqld.sock",
    "/var/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];
/// A host that swallows what is sent to it must not hold a run for minutes.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp { host: String, port: u16 },
    Socket(PathBuf),
}

impl Place {
    /// The name that this machine's own servers share, however they are called.
    fn canonical(&self) -> String {
        match self {
            Self::Socket(path) => format!("localhost{}", encode_path(path)),
            Self::Tcp { host, port } => {
                let loopback = host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
                let host = if loopback { "localhost" } else { host.trim_end_matches('.') };
                format!("{}:{port}", host.to_lowercase())
            }
        }
    }

    pub(crate) fn is_socket(&self) -> bool {
        matches!(self, Self::Socket(_))
    }
}

/// For people: `db.example.org:3306`, or the path of the socket.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A database on a server, and how to get at it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) place: Place,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(super) password: Option<Revealed>,
    pub(super) protection: Protection,
    /// `None`: as long as the system has it.
    pub(super) connect_timeout: Option<Duration>,
    parameters: Parameters,
}

impl Target {
    /// Of `parameters`, and of the environment what they leave out. Paths begin at `base`.
    ///
    /// # Errors
    /// If a value is not what the client programs would take, or no database is named. No error repeats a value.
    pub(super) fn new(mut parameters: Parameters, environment: &Environment, base: &Path) -> Result<Self> {
        for (variable, name) in VARIABLES {
            if let Some(value) = environment.get(variable) {
                parameters.complete(name, value);
            }
        }
        let user = match parameters.get("user") {
            Some(user) => user.to_owned(),
            None => whoami::username().map_err(|error| {
                Error::config("`url` names no user, and this process runs as nobody with a name")
                    .with_source(error)
            })?,
        };
        let database = parameters.get("database").ok_or_else(|| {
            Error::config("no database is named")
                .with_hint("name it at the end of `url`: `mysql://USER@HOST:PORT/DATABASE`")
        })?;
        Ok(Self {
            place: place(&parameters, base)?,
            user,
            database: database.to_owned(),
            password: parameters.get("password").map(Revealed::new),
            protection: Protection::new(&parameters, base)?,
            connect_timeout: connect_timeout(&parameters)?,
            parameters,
        })
    }

    /// The same server and login, and another database.
    pub(crate) fn with_database(&self, name: &str) -> Self {
        Self { database: name.to_owned(), ..self.clone() }
    }

    /// The canonical name of the database: what two nodes that are restored into it share.
    pub(crate) fn claim(&self) -> String {
        format!("mysql://{}/{}", self.place.canonical(), encode(&self.database))
    }

    /// The same, where the server has told who it is.
    pub(crate) fn claim_on(&self, identity: &str) -> String {
        format!("mysql://{}/{}", encode(identity), encode(&self.database))
    }

    /// A URL with everything in it that another program needs, the password as well.
    pub(crate) fn url(&self) -> Secret {
        let login = match &self.password {
            Some(password) => format!("{}:{}", encode(&self.user), encode(password.expose())),
            None => encode(&self.user),
        };
        let query: Vec<_> = ["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "connect-timeout"]
            .iter()
            .filter_map(|name| Some(format!("{name}={}", encode(self.parameters.get(name)?))))
            .collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        Secret::new(format!("{}{query}", self.base_url(&login)))
    }

    fn base_url(&self, login: &str) -> String {
        let server = match &self.place {
            Place::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp { host, port } => format!("{}:{port}", encode(host)),
            Place::Socket(path) => encode_path(path),
        };
        format!("mysql://{login}@{server}/{}", encode(&self.database))
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

fn encode_path(path: &Path) -> String {
    encode(&path.to_string_lossy())
}

/// As the client programs: `localhost` is the socket of this machine's server, unless a port is named.
fn place(parameters: &Parameters, base: &Path) -> Result<Place> {
    if let Some(path) = parameters.get("socket") {
        return Ok(Place::Socket(base.join(path)));
    }
    let port = port(parameters)?;
    let host = parameters.get("host").unwrap_or("localhost");
    if host == "localhost"
        && port.is_none()
        && parameters.get("protocol").is_none()
        && let Some(socket) = SOCKETS.iter().map(Path::new).find(|path| path.exists())
    {
        return Ok(Place::Socket(socket.to_owned()));
    }
    Ok(Place::Tcp { host: host.to_owned(), port: port.unwrap_or(DEFAULT_PORT) })
}

fn port(parameters: &Parameters) -> Result<Option<u16>> {
    let Some(text) = parameters.get("port") else { return Ok(None) };
    match text.trim().parse() {
        Ok(0) | Err(_) => Err(Error::config("the port of a server must be a number from 1 to 65535")
            .with_hint(
                "if it is a part of the password, write `/` in it as `%2F`, `:` as `%3A`, `@` as `%40`",
            )),
        Ok(port) => Ok(Some(port)),
    }
}

fn connect_timeout(parameters: &Parameters) -> Result<Option<Duration>> {
    let Some(text) = parameters.get("connect-timeout") else { return Ok(Some(DEFAULT_CONNECT_TIMEOUT)) };
    let seconds: u32 = text.trim().parse().map_err(|_| {
        Error::config("the connection parameter `connect-timeout` must be a whole number of seconds")
    })?;
    Ok((seconds > 0).then(|| Duration::from_secs(u64::from(seconds))))
}
