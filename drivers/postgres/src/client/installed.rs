//! Which `pg_dump` to use: one that is older than the server refuses.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use dumprestore_driver::{Error, Result};
use tokio::process::Command;

use crate::config::Setup;
use crate::connect::Environment;

/// Where packages put programs of several versions beside each other. A `*` stands for what differs.
const FOLDERS: [&str; 12] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/lib/postgresql*/bin",
    "/usr/local/pgsql*/bin",
    "/usr/local/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/opt/homebrew/opt/libpq/bin",
    "/opt/homebrew/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/opt/libpq/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];
const PROGRAM: &str = "pg_dump";
/// Debian's script in `PATH`, which chooses one by rules of its own.
const WRAPPER: &str = "pg_wrapper";
/// A program that hangs must not hold up a plan.
const PATIENCE: Duration = Duration::from_secs(10);

/// One `pg_dump`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PgDump {
    pub(super) path: PathBuf,
    major: u32,
    minor: u32,
    version: String,
}

impl PgDump {
    /// The one that the configuration names; otherwise, of all that are installed, that of the server's major version,
    /// or the next newer one.
    ///
    /// # Errors
    /// If there is none that is new enough: with what was found, and what to install.
    pub(crate) async fn find(setup: &Setup, server_version: u32) -> Result<Self> {
        let least = server_version / 10_000;
        if let Some(path) = &setup.pg_dump {
            let named = Self::ask(path).await.map_err(|error| {
                error.with_context("option", "pg_dump").with_hint("name a `pg_dump` with its whole path")
            })?;
            return if named.major >= least { Ok(named) } else { Err(too_old(&[named], least)) };
        }
        let mut found = Vec::new();
        for path in candidates(&setup.environment) {
            // What does not run, or is not PostgreSQL's, is no candidate.
            found.extend(Self::ask(&path).await.ok());
        }
        let best = found
            .iter()
            .filter(|one| one.major >= least)
            .min_by_key(|one| (one.major, std::cmp::Reverse(one.minor)));
        best.cloned().ok_or_else(|| too_old(&found, least))
    }

    /// Its version, such as `15.18`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    async fn ask(path: &Path) -> Result<Self> {
        let failed = |why: &str| Error::config(format!("`{}` {why}", path.display()));
        let mut command = Command::new(path);
        command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output())
            .await
            .map_err(|_| failed("does not tell its version"))?
            .map_err(|error| failed("can't be run").with_source(error))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said
            .strip_prefix("pg_dump (PostgreSQL) ")
            .and_then(|rest| rest.split_whitespace().next())
            .ok_or_else(|| failed("is no `pg_dump`"))?;
        let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|text| text.parse().unwrap_or(0));
        let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Ok(Self { path: path.to_owned(), major, minor, version: version.to_owned() })
    }
}

fn too_old(found: &[PgDump], least: u32) -> Error {
    let hint = format!(
        "install the client programs of PostgreSQL {least} or newer (on Debian `postgresql-client-{least}`), or name \
        a `pg_dump` with the option `pg_dump`"
    );
    if found.is_empty() {
        return Error::environment(format!("there is no `pg_dump`, and the server is PostgreSQL {least}"))
            .with_hint(hint);
    }
    let list: Vec<_> =
        found.iter().map(|one| format!("{} at `{}`", one.version, one.path.display())).collect();
    Error::environment(format!("the server is PostgreSQL {least}, and every `pg_dump` is older"))
        .with_context("found", list.join(", "))
        .with_hint(hint)
}

/// Every `pg_dump` there is, each once.
fn candidates(environment: &Environment) -> Vec<PathBuf> {
    let in_path = environment.get("PATH").map(|path| std::env::split_paths(path).collect::<Vec<_>>());
    let folders = in_path.unwrap_or_default().into_iter().chain(FOLDERS.iter().flat_map(|one| expand(one)));
    let mut seen = BTreeSet::new();
    folders
        .map(|folder| folder.join(PROGRAM))
        .filter_map(|path| path.canonicalize().ok())
        .filter(|path| path.is_file() && path.file_name() != Some(OsStr::new(WRAPPER)))
        .filter(|path| seen.insert(path.clone()))
        .collect()
}

/// The folders that a pattern with at most one `*` in one of its names stands for.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![pattern.into()] };
    let (folder, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names.iter().map(|name| PathBuf::from(format!("{folder}/{name}{after}"))).collect()
}
