//! The options of a `redis` node.

use dumprestore_driver::{BuildContext, Error, Result, Revealed, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::connect::{Logins, Target};
use crate::glob::Glob;

/// Databases of a Redis or Valkey server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RedisConfig {
    /// The server, or any node of a cluster: `redis://USER:PASSWORD@HOST:PORT/INDEX`, `rediss://…` with TLS, `redis+unix:///PATH?db=INDEX`, or
    /// `redis-sentinel://HOST:PORT,HOST:PORT/NAME/INDEX`. After a `?` there may be `db`, `tls-ca`, `tls-cert`, `tls-key`,
    /// `tls-verify` and `connect-timeout`.
    pub url: Secret,
    /// The user, if it is not in `url`.
    #[serde(default)]
    pub user: Option<String>,
    /// The password, if it is not in `url`. It needs no escapes.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The user at the sentinels.
    #[serde(default)]
    pub sentinel_user: Option<String>,
    /// The password at the sentinels.
    #[serde(default)]
    pub sentinel_password: Option<Secret>,
    /// The databases to dump: a list of indexes, or `all`. The one that `url` names, unless it is given.
    #[serde(default)]
    pub databases: Option<Databases>,
    /// How a dump reads the data.
    #[serde(default)]
    pub mode: Mode,
    /// Keys to dump. Names, or patterns with `*`, `?` and `[…]` as the server has them. All, if there are none.
    #[serde(default)]
    pub include: Vec<String>,
    /// Keys to leave out. As `include`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Whether to dump the functions of the server: they belong to no database.
    #[serde(default = "yes")]
    pub functions: bool,
    /// When keys expire that are restored.
    #[serde(default)]
    pub expiry: Expiry,
}

/// Which databases.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Databases {
    /// These.
    These(Vec<u64>),
    /// Every one that holds keys.
    All(All),
}

/// `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum All {
    /// Every one that holds keys.
    All,
}

/// How a dump reads the data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As a replica: all data of one instant.
    #[default]
    Replication,
    /// Key by key, each as it is when it is read: for servers that take no replicas.
    Scan,
}

/// When keys expire that are restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Expiry {
    /// When they would have: what has expired since the dump is not restored.
    #[default]
    Absolute,
    /// As long after the restore as it would have been after the dump.
    Relative,
}

fn yes() -> bool {
    true
}

impl RedisConfig {
    /// The database that this URL names, whole.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url),
            user: None,
            password: None,
            sentinel_user: None,
            sentinel_password: None,
            databases: None,
            mode: Mode::default(),
            include: Vec::new(),
            exclude: Vec::new(),
            functions: true,
            expiry: Expiry::default(),
        }
    }

    /// Reads secrets, and checks everything that can be checked offline.
    pub(crate) fn setup(self, cx: &BuildContext) -> Result<Setup> {
        let reveal = |secret: Option<Secret>| secret.map(|secret| secret.reveal(cx)).transpose();
        let logins = Logins {
            user: self.user,
            password: reveal(self.password)?,
            sentinel_user: self.sentinel_user,
            sentinel_password: reveal(self.sentinel_password)?,
        };
        let url: Revealed = self.url.reveal(cx)?;
        let target = Target::new(url.expose(), logins, &cx.base)?;
        let databases = match self.databases {
            None => Meant::These(vec![target.index()]),
            Some(Databases::All(All::All)) => Meant::All,
            Some(Databases::These(list)) => Meant::These(check_list(list)?),
        };
        databases.refuse_other(target.index())?;
        Ok(Setup {
            target,
            databases,
            mode: self.mode,
            include: globs("include", &self.include)?,
            exclude: globs("exclude", &self.exclude)?,
            functions: self.functions,
            expiry: self.expiry,
        })
    }
}

fn check_list(mut list: Vec<u64>) -> Result<Vec<u64>> {
    let length = list.len();
    list.sort_unstable();
    list.dedup();
    if list.is_empty() {
        return Err(Error::config("`databases` is empty")
            .with_hint("list indexes, write `all`, or leave it out for the database that `url` names"));
    }
    if list.len() < length {
        return Err(Error::config("`databases` names a database twice"));
    }
    Ok(list)
}

fn globs(option: &str, patterns: &[String]) -> Result<Vec<Glob>> {
    if patterns.iter().any(String::is_empty) {
        return Err(
            Error::config(format!("`{option}` has an empty pattern")).with_hint("`*` stands for every key")
        );
    }
    Ok(patterns.iter().map(|pattern| Glob::new(pattern)).collect())
}

/// Which databases are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meant {
    /// Every one that holds keys.
    All,
    /// These, in order, none of them twice, at least one.
    These(Vec<u64>),
}

impl Meant {
    /// The index in the URL would be passed over: who names one, with `--map` say, means that database.
    fn refuse_other(&self, index: u64) -> Result<()> {
        // Many URLs end in `/0` without that anything is meant by it. One of several is where references are looked for.
        if index == 0 || matches!(self, Self::These(list) if list.contains(&index)) {
            return Ok(());
        }
        Err(Error::config("`url` names one database, and `databases` says otherwise")
            .with_context("index", index)
            .with_hint(
                "leave the index out of the URL: what `databases` says is dumped, and restored where it was",
            ))
    }

    /// Whether that database is meant.
    pub(crate) fn has(&self, index: u64) -> bool {
        match self {
            Self::All => true,
            Self::These(list) => list.contains(&index),
        }
    }
}

/// What the configuration says, with secrets read and defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) target: Target,
    pub(crate) databases: Meant,
    pub(crate) mode: Mode,
    pub(crate) include: Vec<Glob>,
    pub(crate) exclude: Vec<Glob>,
    pub(crate) functions: bool,
    pub(crate) expiry: Expiry,
}

impl Setup {
    /// Whether that key is meant, in a database that is.
    pub(crate) fn has_key(&self, key: &[u8]) -> bool {
        let included = self.include.is_empty() || self.include.iter().any(|glob| glob.fits(key));
        included && !self.exclude.iter().any(|glob| glob.fits(key))
    }
}
