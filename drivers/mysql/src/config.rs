//! The options of a `mysql` node.

use std::path::PathBuf;
use std::time::Duration;

use dumprestore_driver::{BuildContext, Error, Result, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::connect::{Environment, Source, Target};

/// A MySQL or MariaDB database.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MysqlConfig {
    /// The database: `mysql://USER@HOST:PORT/DATABASE`, or `mariadb://…`. What it leaves out comes from option files, and
    /// from `MYSQL_HOST`, `MYSQL_TCP_PORT`, `MYSQL_UNIX_PORT` and `MYSQL_PWD`, as for every client. After a `?` there may
    /// be `socket`, `ssl-mode`, `ssl-ca`, `ssl-cert`, `ssl-key` and `connect-timeout`.
    #[serde(default)]
    pub url: Option<Secret>,
    /// The password, if it is not in `url`. It needs no escapes.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The option file, such as `my.cnf`, that what `url` leaves out is read from. `/etc/my.cnf`, `/etc/mysql/my.cnf` and
    /// `~/.my.cnf`, unless it is given.
    #[serde(default)]
    pub defaults_file: Option<PathBuf>,
    /// The group of the option file to read. `client`, `client-server`, `client-mariadb` and `dumprestore`, unless it is
    /// given.
    #[serde(default)]
    pub defaults_group: Option<String>,
    /// Tables and views to dump. Names, or patterns with `*` and `?`. All, if there are none. A pattern that fits none is
    /// an error.
    #[serde(default)]
    pub tables: Vec<String>,
    /// Tables and views to leave out, with their definition. Names, or patterns. A pattern that fits none is an error.
    #[serde(default)]
    pub exclude_tables: Vec<String>,
    /// Tables to dump without their rows. As `exclude_tables`.
    #[serde(default)]
    pub exclude_data: Vec<String>,
    /// Whether to dump procedures and functions.
    #[serde(default = "yes")]
    pub routines: bool,
    /// Whether to dump events.
    #[serde(default = "yes")]
    pub events: bool,
    /// Whether to dump triggers.
    #[serde(default = "yes")]
    pub triggers: bool,
    /// Whether views, triggers, routines and events keep the account that they run as.
    #[serde(default)]
    pub definers: Definers,
    /// What becomes of writers to tables whose engine has no transactions, while these are dumped.
    #[serde(default)]
    pub non_transactional: NonTransactional,
    /// How many connections a dump reads on at once. They are all opened at the cut.
    #[serde(default = "default_connections")]
    #[schemars(range(min = 1, max = 64))]
    pub connections: u32,
    /// How many seconds a statement waits for a lock. 0: for ever.
    #[serde(default = "default_lock_timeout")]
    #[schemars(range(min = 0, max = 86400))]
    pub lock_timeout: u32,
    /// How many seconds one statement may take. 0: for ever. MySQL heeds it for queries only.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2000000))]
    pub statement_timeout: u32,
    #[serde(skip)]
    #[schemars(skip)]
    variables: Option<Vec<(String, String)>>,
}

/// What becomes of the accounts that views, triggers, routines and events run as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Definers {
    /// They stay as they are.
    #[default]
    Keep,
    /// They are left out: who restores becomes the definer.
    Strip,
}

/// What becomes of writers to tables whose engine has no transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NonTransactional {
    /// They wait until these tables are dumped.
    #[default]
    Lock,
    /// They go on: the tables are read as they are, and the node is degraded.
    Live,
}

const MOST_CONNECTIONS: u32 = 64;
const LONGEST_LOCK_TIMEOUT: u32 = 86_400;
/// MySQL counts milliseconds, in 32 bits.
const LONGEST_STATEMENT_TIMEOUT: u32 = 2_000_000;

fn yes() -> bool {
    true
}

fn default_connections() -> u32 {
    4
}

fn default_lock_timeout() -> u32 {
    30
}

impl MysqlConfig {
    /// The database at that URL, whole.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Some(Secret::new(url)),
            password: None,
            defaults_file: None,
            defaults_group: None,
            tables: Vec::new(),
            exclude_tables: Vec::new(),
            exclude_data: Vec::new(),
            routines: true,
            events: true,
            triggers: true,
            definers: Definers::Keep,
            non_transactional: NonTransactional::Lock,
            connections: default_connections(),
            lock_timeout: default_lock_timeout(),
            statement_timeout: 0,
            variables: None,
        }
    }

    /// As if the process had these variables, and no others: for tests, which share one process.
    #[doc(hidden)]
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables = Some(variables.into_iter().collect());
        self
    }

    /// Reads secrets, the environment and option files, and checks everything that can be checked offline.
    pub(crate) fn setup(self, cx: &BuildContext) -> Result<Setup> {
        self.check_numbers()?;
        let environment = match self.variables {
            Some(variables) => Environment::of(variables),
            None => Environment::of_process(),
        };
        let url = self.url.map(|secret| secret.reveal(cx)).transpose()?;
        let password = self.password.map(|secret| secret.reveal(cx)).transpose()?;
        let source = Source {
            url: url.as_ref().map(|url| url.expose()),
            password: password.as_ref().map(|password| password.expose()),
            file: self.defaults_file.map(|path| cx.path(&path)),
            group: self.defaults_group,
            base: &cx.base,
        };
        Ok(Setup {
            target: source.target(&environment)?,
            tables: self.tables,
            exclude_tables: self.exclude_tables,
            exclude_data: self.exclude_data,
            routines: self.routines,
            events: self.events,
            triggers: self.triggers,
            definers: self.definers,
            non_transactional: self.non_transactional,
            connections: self.connections as usize,
            lock_timeout: limit(self.lock_timeout),
            statement_timeout: limit(self.statement_timeout),
        })
    }

    fn check_numbers(&self) -> Result<()> {
        let wrong = |option: &str, why: &str, hint: String| {
            Err(Error::config(format!("`{option}` is {why}")).with_hint(hint))
        };
        if self.connections == 0 || self.connections > MOST_CONNECTIONS {
            return wrong("connections", "out of range", format!("1 to {MOST_CONNECTIONS}"));
        }
        if self.lock_timeout > LONGEST_LOCK_TIMEOUT {
            return wrong("lock_timeout", "too long", format!("at most {LONGEST_LOCK_TIMEOUT} seconds"));
        }
        if self.statement_timeout > LONGEST_STATEMENT_TIMEOUT {
            return wrong(
                "statement_timeout",
                "too long",
                format!("at most {LONGEST_STATEMENT_TIMEOUT} seconds"),
            );
        }
        Ok(())
    }
}

fn limit(seconds: u32) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

/// What the configuration says, with secrets read and defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) target: Target,
    pub(crate) tables: Vec<String>,
    pub(crate) exclude_tables: Vec<String>,
    pub(crate) exclude_data: Vec<String>,
    pub(crate) routines: bool,
    pub(crate) events: bool,
    pub(crate) triggers: bool,
    pub(crate) definers: Definers,
    pub(crate) non_transactional: NonTransactional,
    pub(crate) connections: usize,
    /// `None`: for ever.
    pub(crate) lock_timeout: Option<Duration>,
    /// `None`: for ever.
    pub(crate) statement_timeout: Option<Duration>,
}
