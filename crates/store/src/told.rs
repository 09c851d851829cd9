//! Errors of the archive as ours.

use std::io;

use dumprestore_archive::{self as archive, ErrorKind as Kind};
use dumprestore_driver::{Error, ErrorKind};

/// An error of the archive as one of ours, with what was told by whoever reads or writes it.
pub(crate) fn told(error: archive::Error) -> Error {
    let io = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
    let ours = io.and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref::<Error>());
    let kind = match (ours, error.kind()) {
        (Some(ours), _) => ours.kind(),
        (None, Kind::Io | Kind::Scratch | Kind::Exists) => ErrorKind::Environment,
        (None, Kind::Cancelled) => ErrorKind::Cancelled,
        (None, _) => ErrorKind::Archive,
    };
    let made = Error::new(kind, error.to_string());
    match ours.and_then(Error::hint).or(error.hint_text()) {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}
