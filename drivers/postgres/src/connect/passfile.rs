//! `.pgpass`: a password for each of many servers.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dumprestore_driver::Revealed;

use super::environment::Environment;
use super::string::Parameters;
use super::target::{Endpoint, Place, is_default_folder};

/// The passwords of one file.
#[derive(Clone, Default)]
pub(crate) struct Passfile {
    lines: Vec<Line>,
    problem: Option<String>,
}

#[derive(Clone)]
struct Line {
    /// Host, port, database, user: what each must be, or anything.
    fields: [Option<String>; 4],
    password: Revealed,
}

impl Passfile {
    /// Reads the file that applies, if there is one.
    pub(super) fn read(parameters: &Parameters, environment: &Environment) -> Self {
        let path = match parameters.get("passfile") {
            Some(path) => PathBuf::from(path),
            None => match environment.home() {
                Some(home) => home.join(".pgpass"),
                None => return Self::default(),
            },
        };
        match read(&path) {
            Ok(text) => Self { lines: text.lines().filter_map(parse).collect(), problem: None },
            Err(problem) => Self { lines: Vec::new(), problem },
        }
    }

    /// What kept the file from being read: of interest once a server asks for a password.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The first that fits.
    pub(super) fn find(&self, endpoint: &Endpoint, database: &str, user: &str) -> Option<&Revealed> {
        let host = match &endpoint.place {
            Place::Socket(folder) if is_default_folder(folder) => "localhost".to_owned(),
            Place::Socket(folder) => folder.to_string_lossy().into_owned(),
            Place::Tcp { host, .. } => host.clone(),
        };
        let wanted = [&host, &endpoint.port.to_string(), database, user];
        let fits = |line: &&Line| {
            line.fields
                .iter()
                .zip(wanted)
                .all(|(field, wanted)| field.as_deref().is_none_or(|field| field == wanted))
        };
        self.lines.iter().find(fits).map(|line| &line.password)
    }
}

/// The text of the file, or what is wrong with it, if it is there.
fn read(path: &Path) -> Result<String, Option<String>> {
    let told = |why: &str| Some(format!("`{}` was not used: {why}", path.display()));
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(None),
        Err(error) => return Err(told(&error.to_string())),
    };
    if !meta.is_file() {
        // `/dev/null` is how one says that there is to be none.
        return Err(None);
    }
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(told("others may read it; `chmod 0600` it"));
    }
    std::fs::read_to_string(path).map_err(|error| told(&error.to_string()))
}

fn parse(line: &str) -> Option<Line> {
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    let mut field = || {
        let (field, after) = take_field(rest)?;
        rest = after;
        Some(field)
    };
    let fields = [field()?, field()?, field()?, field()?];
    Some(Line {
        fields: fields.map(|field| (field != "*").then(|| unescape(field))),
        password: Revealed::new(unescape(rest)),
    })
}

/// What stands before the next colon that is not escaped, and what after it.
fn take_field(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b':' if !escaped => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    None
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        });
    }
    plain
}

impl fmt::Debug for Passfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passfile({} lines)", self.lines.len())
    }
}
