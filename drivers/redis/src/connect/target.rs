//! Where a connection goes, as whom, and how.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use dumprestore_driver::{Error, Result, Revealed};

use super::place::{Address, Place, encode};
use super::tls::Protection;
use super::url;

/// A host that swallows what is sent to it must not hold a run for minutes.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// No server has more databases than this.
const MOST_DATABASES: u64 = 1 << 31;

/// As whom one logs in.
#[derive(Debug, Clone, Default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<Revealed>,
}

/// Logins that stand beside the URL.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Revealed>,
    pub(crate) sentinel_user: Option<String>,
    pub(crate) sentinel_password: Option<Revealed>,
}

/// A server, and how to get at it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) place: Place,
    /// The index that the URL names.
    index: Option<u64>,
    pub(super) login: Login,
    pub(super) sentinel_login: Login,
    /// `None`: nothing is encrypted.
    pub(super) protection: Option<Protection>,
    /// `None`: as long as the system has it.
    pub(super) connect_timeout: Option<Duration>,
}

impl Target {
    /// Of a URL, and of logins that go before those in it. Paths begin at `base`. Reads no file and connects to nothing.
    ///
    /// # Errors
    /// If it is no URL of Redis, or says what can't be. No error repeats a value.
    pub(crate) fn new(url: &str, logins: Logins, base: &Path) -> Result<Self> {
        let url = url::parse(url, base)?;
        let text = |name: &str| url.parameters.get(name).map(str::to_owned);
        let login = Login {
            user: logins.user.or_else(|| text("user")).filter(|user| !user.is_empty()),
            password: logins.password.or_else(|| text("password").map(Revealed::new)),
        };
        if login.user.is_some() && login.password.is_none() {
            return Err(Error::config("there is a user and no password").with_hint(
                "write `redis://USER:PASSWORD@HOST`, or `redis://:PASSWORD@HOST` for a password alone, or use the option \
                 `password`; it may be empty",
            ));
        }
        let sentinel_login = Login { user: logins.sentinel_user, password: logins.sentinel_password };
        if sentinel_login.user.is_some() && sentinel_login.password.is_none() {
            return Err(Error::config("`sentinel_user` is of no use without `sentinel_password`"));
        }
        Ok(Self {
            protection: Protection::new(&url, base)?,
            index: text("db").map(|index| parse_index(&index)).transpose()?,
            connect_timeout: connect_timeout(url.parameters.get("connect-timeout"))?,
            place: url.place,
            login,
            sentinel_login,
        })
    }

    /// The index of the database that the URL names, else 0.
    pub(crate) fn index(&self) -> u64 {
        self.index.unwrap_or(0)
    }

    /// Another server, with the same login and protection: a node of the same cluster, the primary of a sentinel.
    pub(crate) fn node(&self, host: &str, port: u16) -> Self {
        Self { place: Place::Tcp(Address { host: host.to_owned(), port }), ..self.clone() }
    }

    /// The canonical name of a database: what two nodes that are restored into it share. `server`: what the server calls
    /// itself, if it was asked.
    pub(crate) fn claim(&self, server: Option<&str>, index: u64) -> String {
        let place = match server {
            Some(server) => encode(server),
            None => self.place.url_parts(false, true).1,
        };
        format!("redis://{place}/{index}")
    }

    fn written(&self, login: &str, index: Option<u64>) -> String {
        let (scheme, place) = self.place.url_parts(self.protection.is_some(), false);
        let index = match (&self.place, index) {
            (_, None) => String::new(),
            (Place::Socket(_), Some(index)) => format!("?db={index}"),
            (_, Some(index)) => format!("/{index}"),
        };
        format!("{scheme}://{login}{place}{index}")
    }
}

/// For people: a URL without its password, and without details.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = self.login.user.as_deref().map(|user| format!("{}@", encode(user))).unwrap_or_default();
        f.write_str(&self.written(&login, self.index))
    }
}

fn parse_index(text: &str) -> Result<u64> {
    text.parse().ok().filter(|index| *index < MOST_DATABASES).ok_or_else(|| {
        Error::config("the index of the database in `url` is not a number, or too large")
            .with_hint("databases are numbered from 0, mostly up to 15: `redis://HOST:PORT/0`")
    })
}

fn connect_timeout(text: Option<&str>) -> Result<Option<Duration>> {
    let Some(text) = text else { return Ok(Some(DEFAULT_CONNECT_TIMEOUT)) };
    // Other clients take fractions.
    let seconds = text.trim().parse::<f64>().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    let seconds = seconds.ok_or_else(|| {
        Error::config(
            "the parameter `connect-timeout` of `url` must be a number of seconds, of a day at the most",
        )
    })?;
    Ok((seconds > 0.0).then(|| Duration::from_secs_f64(seconds)))
}
