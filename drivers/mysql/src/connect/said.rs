//! What a server says of a statement.

use std::fmt;
use std::io;

use super::wire::{Fields, broken};

pub(super) const MORE_RESULTS: u16 = 0x0008;

/// A statement was carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// How many rows it changed.
    pub(crate) affected: u64,
    /// How many warnings it gave. `SHOW WARNINGS` tells them, as long as nothing else was asked.
    pub(crate) warnings: u16,
    /// What the server tells of it: `Records: 3  Deleted: 0  Skipped: 0  Warnings: 0`.
    pub(crate) info: String,
}

/// An error of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) code: u16,
    pub(crate) state: String,
    pub(crate) message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.state, self.message)
    }
}

impl std::error::Error for Complaint {}

/// Why a statement did not end well.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server says why. The session goes on.
    Refused(Complaint),
    /// There is no more connection, or nothing to be done with it.
    Lost(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl Complaint {
    /// Of an error message, from its first byte on.
    pub(super) fn read(message: &[u8]) -> io::Result<Self> {
        let mut fields = Fields(message);
        let (Some(0xff), Some(code)) = (fields.byte(), fields.u16()) else {
            return Err(broken("a server's error can't be read"));
        };
        // Before both sides know each other, a server leaves the state out.
        let state = match fields.0.first() {
            Some(b'#') => fields.take(6).and_then(|state| state.get(1..)).unwrap_or_default(),
            _ => b"HY000",
        };
        Ok(Self {
            code,
            state: String::from_utf8_lossy(state).into_owned(),
            message: String::from_utf8_lossy(fields.0).replace(['\n', '\r'], " "),
        })
    }
}

/// Of what ends a statement well, from behind its first byte on: what it did, and the session's status.
pub(super) fn read_done(message: &[u8]) -> io::Result<(Done, u16)> {
    let mut fields = Fields(message);
    let read = |fields: &mut Fields<'_>| {
        let affected = fields.number()?;
        let _insert_id = fields.number()?;
        Some((affected, fields.u16()?, fields.u16()?))
    };
    let (affected, status, warnings) =
        read(&mut fields).ok_or_else(|| broken("a server's answer can't be read"))?;
    // It stands behind its length, though the protocol's documentation has it without one for sessions like ours.
    let told = fields.0;
    let info = fields.bytes().filter(|_| fields.0.is_empty()).unwrap_or(told);
    let info = String::from_utf8_lossy(info).into_owned();
    Ok((Done { affected, warnings, info }, status))
}
