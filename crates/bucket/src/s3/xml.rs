//! XML of answers.

use std::fmt;
use std::time::SystemTime;

use opendal::{Buffer, Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

/// What a body says.
pub(super) fn read<T: DeserializeOwned>(body: &Buffer) -> Result<T> {
    let bytes = body.to_bytes();
    let text = std::str::from_utf8(&bytes).map_err(|_| senseless())?;
    quick_xml::de::from_str(text).map_err(|_| senseless())
}

pub(super) fn senseless() -> Error {
    Error::new(ErrorKind::Unexpected, "the answer makes no sense").set_source(Senseless)
}

/// Whether that is what went wrong.
pub(super) fn is_senseless(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<Senseless>())
}

#[derive(Debug)]
struct Senseless;

impl fmt::Display for Senseless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is not what was asked for")
    }
}

impl std::error::Error for Senseless {}

/// A key as `encoding-type=url` has it.
pub(super) fn key(text: &str) -> Result<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| senseless())
}

/// `2026-01-31T12:00:00.000Z`.
pub(super) fn time(text: &str) -> Result<SystemTime> {
    OffsetDateTime::parse(text, &Iso8601::DEFAULT).map(SystemTime::from).map_err(|_| senseless())
}
