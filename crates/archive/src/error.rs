//! The one error of this crate: what kind, which entry, what happened, what to do.

use std::fmt;
use std::io;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act, and on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Bytes of the archive are not those that were written.
    Damaged,
    /// The file is something else: empty, another format, a zip of another maker.
    NotAnArchive,
    /// The archive has no manifest at its end: it was never sealed, or it was truncated.
    Incomplete,
    /// An entry has a name that could leave the folder it is restored to, or that clashes with another.
    UnsafeName,
    /// The archive needs a newer reader.
    Unsupported,
    /// A size, a ratio or a count is over the limit that the reader was given.
    Limit,
    /// A file of the final name exists.
    Exists,
    /// There is no such node or part.
    NotFound,
    /// The calls came in an order that cannot make a sound archive.
    Misuse,
    /// The destination or the file failed.
    Io,
    /// A scratch file failed, such as for want of room. The archive itself may be sound.
    Scratch,
    /// The caller asked to stop.
    Cancelled,
}

/// What failed, on which entry, and what to do about it.
///
/// Displays as one line, the entry first: ``shop/db/orders: the content's SHA-256 differs from the manifest``.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    entry: Option<String>,
    message: String,
    hint: Option<&'static str>,
    source: Option<io::Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, entry: None, message: message.into(), hint: None, source: None }))
    }

    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    /// An I/O error with what was being done; a wrapped [`Error`] is handed through untouched.
    pub fn io(doing: impl Into<String>, source: io::Error) -> Self {
        match Self::unwrap_io(source) {
            Ok(error) => error,
            Err(source) => {
                let message = format!("{}: {source}", doing.into());
                Self(Box::new(Inner { source: Some(source), ..*Self::new(ErrorKind::Io, message).0 }))
            }
        }
    }

    fn unwrap_io(error: io::Error) -> std::result::Result<Self, io::Error> {
        error.downcast::<Self>()
    }

    pub(crate) fn at(mut self, entry: impl Into<String>) -> Self {
        self.0.entry.get_or_insert_with(|| entry.into());
        self
    }

    pub(crate) fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn hint(mut self, hint: &'static str) -> Self {
        self.0.hint = Some(hint);
        self
    }

    /// The same error once more, for each caller that a shared failure concerns.
    pub(crate) fn again(&self) -> Self {
        let source = self.0.source.as_ref().map(|e| match e.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(e.kind(), e.to_string()),
        });
        Self(Box::new(Inner {
            kind: self.0.kind,
            entry: self.0.entry.clone(),
            message: self.0.message.clone(),
            hint: self.0.hint,
            source,
        }))
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The full name of the entry concerned, if one is.
    pub fn entry(&self) -> Option<&str> {
        self.0.entry.as_deref()
    }

    /// What the user can do about it, if that is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.entry {
            Some(entry) => write!(f, "`{}`: {}", entry.escape_debug(), self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| e as _)
    }
}

/// For `io::Read` and `io::Write`: the [`Error`] travels inside and comes out again by
/// [`Error::from`].
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match (error.kind(), &error.0.source) {
            (_, Some(source)) => source.kind(),
            (ErrorKind::Damaged | ErrorKind::Limit, None) => io::ErrorKind::InvalidData,
            (ErrorKind::Cancelled, None) => io::ErrorKind::Interrupted,
            _ => io::ErrorKind::Other,
        };
        // `Interrupted` would make `io::copy` try again for ever.
        let kind = if kind == io::ErrorKind::Interrupted { io::ErrorKind::Other } else { kind };
        io::Error::new(kind, error)
    }
}

/// Takes an [`Error`] out of the `io::Error` that carried it; any other becomes [`ErrorKind::Io`].
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::io("reading or writing", error)
    }
}
