//! Service files: parameters under a name, for many programs.

use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, Result};

use super::environment::Environment;
use super::string::Parameters;

/// Where Debian's libpq looks, and others' after it.
const SYSTEM_FOLDERS: [&str; 2] = ["/etc/postgresql-common", "/etc"];

/// Fills in what the service that `parameters` name says, where they say nothing themselves.
///
/// # Errors
/// If no file knows the service, or it says what nobody understands.
pub(super) fn fill_in(parameters: &mut Parameters, environment: &Environment) -> Result<()> {
    let Some(name) = parameters.get("service").map(str::to_owned) else { return Ok(()) };
    let files = files(parameters, environment);
    for file in &files {
        let Some(text) = read(file)? else { continue };
        if let Some(section) = section(&text, &name) {
            return take_in(parameters, section).map_err(|error| error.with_context("file", file.display()));
        }
    }
    Err(Error::config(format!("there is no service `{name}`"))
        .with_context(
            "looked in",
            files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "),
        )
        .with_hint("add it to `~/.pg_service.conf`, or name its file with `PGSERVICEFILE`"))
}

fn files(parameters: &Parameters, environment: &Environment) -> Vec<PathBuf> {
    let of_user = match parameters.get("servicefile") {
        Some(file) => Some(file.into()),
        None => environment.home().map(|home| home.join(".pg_service.conf")),
    };
    let of_system = match environment.get("PGSYSCONFDIR") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => SYSTEM_FOLDERS.map(PathBuf::from).into(),
    };
    of_user.into_iter().chain(of_system.iter().map(|folder| folder.join("pg_service.conf"))).collect()
}

fn read(file: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::config("can't read a service file")
            .with_context("file", file.display())
            .with_source(error)),
    }
}

/// The lines of that section.
fn section<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let is_head = |line: &&str| line.starts_with('[');
    let heading = format!("[{name}]");
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.find(|line| *line == heading)?;
    Some(lines.take_while(|line| !is_head(line)).collect())
}

fn take_in(parameters: &mut Parameters, lines: Vec<&str>) -> Result<()> {
    for line in lines {
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| Error::config("a line of a service file is no `name=value`"))?;
        if name.trim().starts_with("service") {
            return Err(Error::config("a service can't name another one"));
        }
        parameters.or_set(name.trim(), value.trim())?;
    }
    Ok(())
}
