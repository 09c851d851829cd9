//! The one error type: who must act, on what, and how.

use std::fmt;
use std::io;

use crate::NodePath;

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who must act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ErrorKind {
    /// Who wrote the configuration or the command line.
    Config,
    /// Who runs the machine or the server: it is down, full, or forbids something.
    Environment,
    /// Who chose the archive: it is damaged, foreign, or of another version.
    Archive,
    /// Who wrote the application: its data refer to what is not there.
    Dangling,
    /// Nobody but the other run, which holds the lock: wait for it.
    Locked,
    /// What is asked for can't be done by this driver, or with this archive.
    Unsupported,
    /// Nobody: the run was told to stop.
    Cancelled,
    /// A human, now: a restore could be neither wholly undone nor finished.
    Stuck,
    /// The author of the driver or of the engine: it broke its own contract.
    Defect,
}

/// What failed, on which node, in what circumstances, and what to do about it.
///
/// `Display` gives one line, `node: message (key: value)`, followed by `: cause` for each cause.
/// [`hint`](Error::hint) is apart, as it goes on a line of its own.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    node: Option<NodePath>,
    message: String,
    context: Vec<(&'static str, String)>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of that kind. The message is lower case, without a full stop, with literals in backticks, and
    /// without secrets.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            node: None,
            message: message.into(),
            context: Vec::new(),
            hint: None,
            source: None,
        }))
    }

    /// Something in the configuration is wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// The machine or a server is in the way.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Environment, message)
    }

    /// The archive is not as it should be.
    pub fn archive(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Archive, message)
    }

    /// This can't be done.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// The run was told to stop.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "interrupted")
    }

    /// A restore can't be undone.
    pub fn stuck(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Stuck, message)
    }

    /// A broken contract.
    pub fn defect(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Defect, message)
    }

    /// An I/O error while doing `what`. If one of ours travelled inside of it (through [`io::Write`], for example),
    /// it is taken out again, whole.
    pub fn io(what: impl Into<String>, error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(ours) => ours,
            Err(error) => {
                let hint = hint_for(&error);
                let made = Self::environment(what).with_source(error);
                match hint {
                    Some(hint) => made.with_hint(hint),
                    None => made,
                }
            }
        }
    }

    /// Who must act.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The node it happened on, once the engine has told.
    pub fn node(&self) -> Option<&NodePath> {
        self.0.node.as_ref()
    }

    /// What to do about it, if there is something to say.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// What failed, without node, context and causes.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The circumstances: names and values.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// The same, of another kind.
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same, on `node`, unless a node is named already.
    pub fn with_node(mut self, node: &NodePath) -> Self {
        self.0.node.get_or_insert_with(|| node.clone());
        self
    }

    /// The same, with one more circumstance.
    pub fn with_context(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// The same, with what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same, with its cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }
}

fn hint_for(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some("run as a user who may do this, or change the rights"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some("make room and run it again"),
        io::ErrorKind::ReadOnlyFilesystem => Some("the file system is mounted read-only"),
        _ => None,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = &self.0.node {
            write!(f, "{node}: ")?;
        }
        f.write_str(&self.0.message)?;
        for (at, (name, value)) in self.0.context.iter().enumerate() {
            write!(f, "{}{name}: {value}", if at == 0 { " (" } else { ", " })?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            // Our own causes print theirs themselves.
            cause = if error.is::<Error>() { None } else { error.source() };
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        match &self.0.hint {
            Some(hint) => write!(f, " [hint: {hint}]"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}
