//! The options of a `postgres` node.

use std::path::PathBuf;
use std::time::Duration;

use dumprestore_driver::{BuildContext, Error, Result, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::connect::{Environment, Target};

/// A PostgreSQL database.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PostgresConfig {
    /// The database: `postgres://USER@HOST:PORT/DATABASE`, or libpq's `name=value` pairs. What it leaves out comes from
    /// the service that it names, the `PG…` variables of the environment, and `.pgpass`, as for every client of
    /// PostgreSQL.
    pub url: Secret,
    /// The password, if it is not in `url`. It needs no escapes.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Schemas to dump. Names, or patterns with `*` and `?`. All, if there are none. A pattern that fits no schema is
    /// an error.
    #[serde(default)]
    pub schemas: Vec<String>,
    /// Schemas to leave out, with all that is in them. Names, or patterns. A pattern that fits no schema is an error.
    #[serde(default)]
    pub exclude_schemas: Vec<String>,
    /// Tables to leave out, with their definition: `audit_*`, or `archive.*` with their schema. A pattern that fits
    /// no table is an error.
    #[serde(default)]
    pub exclude_tables: Vec<String>,
    /// Tables to dump without their rows. As `exclude_tables`.
    #[serde(default)]
    pub exclude_data: Vec<String>,
    /// Whether to dump the server's roles as well, without their passwords. A restore makes those that are missing.
    #[serde(default)]
    pub globals: bool,
    /// Whether to dump large objects.
    #[serde(default = "yes")]
    pub large_objects: bool,
    /// How many seconds a dump waits for a lock on a table, and a restore for one on the database. 0: for ever.
    #[serde(default = "default_lock_timeout")]
    #[schemars(range(min = 0, max = 86400))]
    pub lock_timeout: u32,
    /// How many seconds one statement may take. 0: for ever.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2000000))]
    pub statement_timeout: u32,
    /// The database to connect to while the restored one is swapped in. `postgres`, unless that is the one to restore.
    #[serde(default)]
    pub maintenance_db: Option<String>,
    /// The `pg_dump` to use, of the server's major version or a newer one. The best of those that are installed,
    /// unless it is given.
    #[serde(default)]
    pub pg_dump: Option<PathBuf>,
    /// Whether what is restored keeps its owners, or belongs to who restores it.
    #[serde(default)]
    pub owners: Policy,
    /// Whether what is restored keeps the privileges that were granted on it.
    #[serde(default)]
    pub privileges: Policy,
    /// Whether what is restored goes into the tablespaces that it was in, or all into the default one.
    #[serde(default)]
    pub tablespaces: Policy,
    #[serde(skip)]
    #[schemars(skip)]
    variables: Option<Vec<(String, String)>>,
}

/// What becomes of something at a restore.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// It is as it was in the dump.
    #[default]
    Keep,
    /// It is left out.
    None,
}

const LONGEST_LOCK_TIMEOUT: u32 = 86_400;
/// The server counts milliseconds, in 31 bits.
const LONGEST_STATEMENT_TIMEOUT: u32 = 2_000_000;

fn yes() -> bool {
    true
}

fn default_lock_timeout() -> u32 {
    30
}

impl PostgresConfig {
    /// The database at that URL, whole.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url),
            password: None,
            schemas: Vec::new(),
            exclude_schemas: Vec::new(),
            exclude_tables: Vec::new(),
            exclude_data: Vec::new(),
            globals: false,
            large_objects: true,
            lock_timeout: default_lock_timeout(),
            statement_timeout: 0,
            maintenance_db: None,
            pg_dump: None,
            owners: Policy::Keep,
            privileges: Policy::Keep,
            tablespaces: Policy::Keep,
            variables: None,
        }
    }

    /// As if the process had these variables, and no others: for tests, which share one process.
    #[doc(hidden)]
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables = Some(variables.into_iter().collect());
        self
    }

    /// Reads secrets, the environment and libpq's files, and checks everything that can be checked offline.
    pub(crate) fn setup(self, cx: &BuildContext) -> Result<Setup> {
        self.check_timeouts()?;
        let environment = match self.variables {
            Some(variables) => Environment::of(variables),
            None => Environment::of_process(),
        };
        let url = self.url.reveal(cx)?;
        let password = self.password.map(|secret| secret.reveal(cx)).transpose()?;
        let target = Target::read(url.expose(), password.as_ref().map(|p| p.expose()), &environment)?;
        Ok(Setup {
            target,
            environment,
            schemas: self.schemas,
            exclude_schemas: self.exclude_schemas,
            exclude_tables: self.exclude_tables,
            exclude_data: self.exclude_data,
            globals: self.globals,
            large_objects: self.large_objects,
            lock_timeout: limit(self.lock_timeout),
            statement_timeout: limit(self.statement_timeout),
            maintenance_db: self.maintenance_db,
            pg_dump: self.pg_dump.map(|path| cx.path(&path)),
            owners: self.owners,
            privileges: self.privileges,
            tablespaces: self.tablespaces,
        })
    }

    fn check_timeouts(&self) -> Result<()> {
        let too_long = |option: &str, most: u32| {
            Err(Error::config(format!("`{option}` is too long")).with_hint(format!("at most {most} seconds")))
        };
        if self.lock_timeout > LONGEST_LOCK_TIMEOUT {
            return too_long("lock_timeout", LONGEST_LOCK_TIMEOUT);
        }
        if self.statement_timeout > LONGEST_STATEMENT_TIMEOUT {
            return too_long("statement_timeout", LONGEST_STATEMENT_TIMEOUT);
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
    pub(crate) environment: Environment,
    pub(crate) schemas: Vec<String>,
    pub(crate) exclude_schemas: Vec<String>,
    pub(crate) exclude_tables: Vec<String>,
    pub(crate) exclude_data: Vec<String>,
    pub(crate) globals: bool,
    pub(crate) large_objects: bool,
    /// `None`: for ever.
    pub(crate) lock_timeout: Option<Duration>,
    /// `None`: for ever.
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) maintenance_db: Option<String>,
    pub(crate) pg_dump: Option<PathBuf>,
    pub(crate) owners: Policy,
    pub(crate) privileges: Policy,
    pub(crate) tablespaces: Policy,
}
