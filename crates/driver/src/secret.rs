//! Values that must not be seen.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::{BuildContext, Error, Result};

/// A value that must reach neither argv, nor logs, errors, manifests or `Debug`: a password, or a URL with one.
///
/// In a configuration it is a string. `file:PATH` takes the content of that file, without its last line end;
/// what the file holds is read when the driver is built.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Literal(String),
    File(PathBuf),
}

/// A file that holds a secret is small; anything longer is a mistake in the configuration.
const LONGEST_SECRET_FILE: u64 = 64 * 1024;

impl Secret {
    /// A secret of that value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Form::Literal(value.into()))
    }

    /// Reads the value.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is in a file that can't be read.
    pub fn reveal(&self, cx: &BuildContext) -> Result<Revealed> {
        match &self.0 {
            Form::Literal(value) => Ok(Revealed(value.clone())),
            Form::File(path) => read_secret_file(&cx.path(path)).map(Revealed),
        }
    }
}

fn read_secret_file(path: &std::path::Path) -> Result<String> {
    use std::io::Read;
    let mut value = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(LONGEST_SECRET_FILE + 1).read_to_string(&mut value));
    match read {
        Err(error) => Err(Error::config("can't read a secret from its file")
            .with_context("file", path.display())
            .with_source(error)),
        Ok(length) if length as u64 > LONGEST_SECRET_FILE => {
            Err(Error::config("a file with a secret is too long").with_context("file", path.display()))
        }
        Ok(_) => {
            let end = value.strip_suffix('\n').map(|v| v.strip_suffix('\r').unwrap_or(v).len());
            value.truncate(end.unwrap_or(value.len()));
            Ok(value)
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Literal(_) => f.write_str("Secret(***)"),
            Form::File(path) => write!(f, "Secret(file:{})", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.strip_prefix("file:") {
            Some(path) if !path.starts_with("//") => Self(Form::File(path.into())),
            _ => Self::new(text),
        })
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "writeOnly": true,
            "x-secret": true,
            "description": "A secret: best given as `${VARIABLE}` or `file:PATH`, for then it stays out of the archive's manifest by itself."
        })
    }
}

/// The value of a [`Secret`], read, or of another place that has one, such as a file of passwords or a part of a URL.
/// Its `Debug` hides it; there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Revealed(String);

impl Revealed {
    /// A value that was read from elsewhere.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value. Hand it to the one thing that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Revealed(***)")
    }
}
