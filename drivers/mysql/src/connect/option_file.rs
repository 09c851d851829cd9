//! Option files, as the client programs of MySQL and MariaDB read them: `my.cnf`.
//!
//! Later lines count, and later files. What is meant for others is passed over. No error repeats a value.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, Result};

use super::environment::Environment;
use super::parameters::{Parameters, canonical};

/// The groups that are read if none is named.
const GROUPS: [&str; 4] = ["client", "client-server", "client-mariadb", "dumprestore"];
/// Files may include files. The programs end at the same depth.
const DEEPEST: u32 = 10;
/// What those programs would heed, and would be less safe if it were passed over.
const REFUSED: [&str; 7] =
    ["ssl-crl", "ssl-crlpath", "ssl-capath", "ssl-fp", "ssl-fplist", "tls-fp", "tls-fplist"];

/// What option files say of a connection.
#[derive(Debug, Default)]
pub(super) struct OptionFiles {
    groups: Vec<String>,
    found: Vec<String>,
    parameters: Parameters,
}

impl OptionFiles {
    /// Of one file, or of the usual ones; of one group, or of the usual ones.
    ///
    /// # Errors
    /// If a file or a group that is named is not there, or can't be read.
    pub(super) fn read(
        file: Option<&Path>,
        group: Option<&str>,
        environment: &Environment,
    ) -> Result<Parameters> {
        let suffix = environment.get("MYSQL_GROUP_SUFFIX");
        let named = group.map_or_else(|| GROUPS.map(str::to_owned).to_vec(), |group| vec![group.to_owned()]);
        let suffixed = named.iter().filter_map(|group| Some(format!("{group}{}", suffix?)));
        let groups = named.iter().cloned().chain(suffixed).collect();
        let mut files = Self { groups, ..Self::default() };
        match file {
            Some(path) => files.read_named(path)?,
            None => {
                for path in usual(environment) {
                    files.read_usual(&path)?;
                }
            }
        }
        match group.filter(|group| !files.found.iter().any(|found| found == group)) {
            Some(group) => Err(Error::config(format!("there is no group `[{group}]` in the option files"))
                .with_hint("check `defaults_file` and `defaults_group`")),
            None => Ok(files.parameters),
        }
    }

    fn read_named(&mut self, path: &Path) -> Result<()> {
        if is_open_to_all(path) {
            return Err(
                of_file("an option file can be written by everybody", path).with_hint("`chmod 0600` it")
            );
        }
        self.read_file(path, 0)
    }

    /// One that need not be there. As the programs do, one that everybody can write is passed over.
    fn read_usual(&mut self, path: &Path) -> Result<()> {
        match path.exists() && !is_open_to_all(path) {
            true => self.read_file(path, 0),
            false => Ok(()),
        }
    }

    fn read_file(&mut self, path: &Path, depth: u32) -> Result<()> {
        let failed = |error: std::io::Error| of_file("can't read an option file", path).with_source(error);
        let bytes = std::fs::read(path).map_err(failed)?;
        // Of no use to us is what is not UTF-8; a value of ours that is not, would not be what was written.
        let text = String::from_utf8_lossy(&bytes);
        let mut ours = false;
        for (at, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(directive) = line.strip_prefix('!') {
                self.include(directive, path, depth)?;
            } else if let Some(group) = line.strip_prefix('[') {
                let name = group.split(']').next().unwrap_or_default().trim();
                ours = self.groups.iter().any(|group| group == name);
                if ours {
                    self.found.push(name.to_owned());
                }
            } else if ours {
                self.set(line, path).map_err(|error| error.with_context("line", at + 1))?;
            }
        }
        Ok(())
    }

    fn include(&mut self, directive: &str, from: &Path, depth: u32) -> Result<()> {
        if depth == DEEPEST {
            return Err(of_file("option files include each other", from));
        }
        let (what, path) = directive.trim().split_once(char::is_whitespace).unwrap_or((directive.trim(), ""));
        let path = from.parent().unwrap_or(from).join(path.trim());
        match what {
            "include" => self.read_file(&path, depth + 1),
            "includedir" => {
                let failed = |error: std::io::Error| {
                    of_file("can't read a folder of option files", &path).with_source(error)
                };
                let entries = std::fs::read_dir(&path).map_err(failed)?;
                let files: std::io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
                let mut files = files.map_err(failed)?;
                files.sort();
                let files =
                    files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "cnf"));
                files.clone().try_for_each(|file| self.read_file(file, depth + 1))
            }
            _ => Err(of_file("an option file has a `!` that is neither `!include` nor `!includedir`", from)),
        }
    }

    fn set(&mut self, line: &str, path: &Path) -> Result<()> {
        let line = without_comment(line);
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
            None => (line.trim(), None),
        };
        let name = name.replace('_', "-").to_ascii_lowercase();
        let name = name.strip_prefix("loose-").unwrap_or(&name);
        let value = value.as_deref();
        if value.is_some_and(|value| value.contains(char::REPLACEMENT_CHARACTER)) && canonical(name).is_some()
        {
            return Err(of_file("an option file has a value that is not UTF-8", path));
        }
        if REFUSED.contains(&name) {
            return Err(of_file("an option file has an option for certificates that is not supported", path)
                .with_context("option", name)
                .with_hint(
                    "name the authority's certificate with `ssl-ca`, in `url` or in a file of its own",
                ));
        }
        match (name, is_on(value)) {
            ("ssl", true) => self.encrypt("required"),
            ("ssl", false) | ("skip-ssl" | "disable-ssl", true) => {
                self.parameters.set("ssl-mode", "disabled")
            }
            ("ssl-verify-server-cert", true) => self.parameters.set("ssl-mode", "verify-identity"),
            ("protocol", _) if value.is_some_and(|value| value.eq_ignore_ascii_case("tcp")) => {
                self.parameters.set("protocol", "tcp");
            }
            _ => {
                if let (Some(known), Some(value)) = (canonical(name), value) {
                    self.parameters.set(known, value);
                }
            }
        }
        Ok(())
    }

    /// Asks for TLS, unless more was asked for.
    fn encrypt(&mut self, mode: &'static str) {
        if self.parameters.get("ssl-mode").is_none_or(|mode| mode == "disabled") {
            self.parameters.set("ssl-mode", mode);
        }
    }
}

fn usual(environment: &Environment) -> Vec<PathBuf> {
    let system = environment.system();
    let mut files = vec![system.join("my.cnf"), system.join("mysql/my.cnf")];
    files.extend(environment.home().map(|home| home.join(".my.cnf")));
    files
}

fn is_open_to_all(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o002 != 0)
}

fn of_file(what: &str, path: &Path) -> Error {
    Error::config(what).with_context("file", path.display())
}

fn is_on(value: Option<&str>) -> bool {
    !value.is_some_and(|value| ["0", "off", "false", "no"].contains(&value.to_ascii_lowercase().as_str()))
}

/// A `#` begins a comment, but for one in quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        match (character, quote) {
            ('#', None) => return line.get(..at).unwrap_or(line),
            ('\'' | '"', None) => quote = Some(character),
            (end, Some(begun)) if end == begun && !escaped => quote = None,
            _ => {}
        }
        escaped = quote.is_some() && character == '\\' && !escaped;
    }
    line
}

/// A value without the quotes around it, and with what its escapes stand for.
fn unquoted(value: &str) -> String {
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('b') => plain.push('\u{8}'),
            Some('s') => plain.push(' '),
            Some(itself @ ('"' | '\'' | '\\')) => plain.push(itself),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}
