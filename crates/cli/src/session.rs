//! What every command is given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore::{BackupSet, ConfigOrigin, Error, Observer, OpenArchive, Overrides, Registry, Result};
use dumprestore_store::{Identities, IdentitySource};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::command::{Global, Target};
use crate::console::{Console, JsonEvents, Progress};
use crate::env::ProcessEnvironment;
use crate::exit::Exit;

/// The configuration that is used if none is named.
pub(crate) const CONFIG: &str = "dumprestore.yaml";

/// What every command is given.
pub(crate) struct Session {
    pub(crate) registry: Registry,
    pub(crate) console: Arc<Console>,
    pub(crate) environment: ProcessEnvironment,
    config: Option<PathBuf>,
    identities: Vec<PathBuf>,
}

/// How a command ended that did not fail.
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) report: Option<Report>,
}

/// What a command has to report.
pub(crate) enum Report {
    Text(Box<RawValue>),
    /// The manifest of an archive, which may be too large to be held as text.
    Manifest(OpenArchive),
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Manifest(archive) => archive.archive().document().serialize(serializer),
        }
    }
}

impl Session {
    pub(crate) fn new(registry: Registry, console: Arc<Console>, global: &Global) -> Self {
        Self {
            registry,
            console,
            environment: ProcessEnvironment,
            config: global.config.clone(),
            identities: global.identity.clone(),
        }
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(CONFIG))
    }

    /// Whether the command line names a configuration file.
    pub(crate) fn names_config(&self) -> bool {
        self.config.is_some()
    }

    /// What opens encrypted archives by what the command line and the environment say.
    pub(crate) fn identities(&self) -> Result<Identities> {
        let mut sources: Vec<_> = self.identities.iter().cloned().map(IdentitySource::File).collect();
        sources.extend(crate::env::identities());
        let identities = Identities::from(sources);
        match crate::env::passphrase() {
            Some(passphrase) => identities.and_passphrase(&passphrase),
            None => Ok(identities),
        }
    }

    /// The folder of the configuration file. Absolute.
    pub(crate) fn base(&self) -> Result<PathBuf> {
        let here = crate::env::current_folder()?;
        match self.config().parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => Ok(here.join(parent)),
            None => Ok(here),
        }
    }

    /// The set that the configuration file describes.
    pub(crate) fn load(&self) -> Result<BackupSet> {
        self.load_with(&[])
    }

    /// The same, with nodes that have another target.
    pub(crate) fn load_with(&self, targets: &[Target]) -> Result<BackupSet> {
        let path = self.config();
        let text = std::fs::read(path).map_err(|error| self.no_config(path, error))?;
        let origin = ConfigOrigin::new(path.display().to_string(), self.base()?);
        let targets = targets.iter().map(Target::parts).collect::<Result<_>>()?;
        let overrides = Overrides::targets(targets, crate::env::current_folder()?);
        BackupSet::from_yaml(&text, &origin, &self.registry, &self.environment, &overrides)
    }

    fn no_config(&self, path: &Path, error: std::io::Error) -> Error {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let made =
            Error::config(if missing { "there is no configuration" } else { "can't read the configuration" })
                .with_context("file", path.display());
        match (missing, &self.config) {
            (true, None) => made.with_hint("write one with `dumprestore init`, or name one with `-c FILE`"),
            (true, Some(_)) => made.with_hint("`-c` names a file that is not there"),
            (false, _) => made.with_source(error),
        }
    }

    /// Who tells people, or programs, how a run goes on.
    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        if self.console.is_json() {
            Arc::new(JsonEvents::new(self.console.clone()))
        } else {
            Arc::new(Progress::new(self.console.clone()))
        }
    }

    /// A command has ended; `report` is the result for programs.
    pub(crate) fn ended(&self, exit: impl Into<Exit>, report: &impl Serialize) -> Result<Ended> {
        let report = if self.console.is_json() {
            let written = serde_json::value::to_raw_value(report);
            let text = written.map_err(|error| Error::defect("the report is not JSON").with_source(error))?;
            Some(Report::Text(text))
        } else {
            None
        };
        Ok(Ended { exit: exit.into(), report })
    }
}
