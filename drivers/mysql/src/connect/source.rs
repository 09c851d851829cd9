//! Where a target is read from: what is said first counts.

use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, Result};

use super::environment::Environment;
use super::option_file::OptionFiles;
use super::parameters::Parameters;
use super::target::Target;
use super::url;

/// What the configuration says of a connection.
pub(crate) struct Source<'a> {
    pub(crate) url: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    /// The option file to read, absolute. `None`: the usual ones.
    pub(crate) file: Option<PathBuf>,
    /// The group of the option file. `None`: the usual ones.
    pub(crate) group: Option<String>,
    /// Where relative paths begin.
    pub(crate) base: &'a Path,
}

impl Source<'_> {
    /// Where it leads.
    ///
    /// # Errors
    /// If something of it is wrong, or no database is named. No error repeats a value.
    pub(crate) fn target(&self, environment: &Environment) -> Result<Target> {
        let mut parameters = match self.url {
            Some(text) => url::parse(text)?,
            None if self.file.is_none() && self.group.is_none() => {
                return Err(Error::config("neither `url` nor `defaults_file` is given")
                    .with_hint("write `url: mysql://USER@HOST:PORT/DATABASE`"));
            }
            None => Parameters::default(),
        };
        if let Some(password) = self.password {
            parameters.complete("password", password);
        }
        let files = OptionFiles::read(self.file.as_deref(), self.group.as_deref(), environment)?;
        parameters.complete_from(&files);
        Target::new(parameters, environment, self.base)
    }
}
