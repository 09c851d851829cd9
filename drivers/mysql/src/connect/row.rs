//! Rows of a result, in text.

use std::str::FromStr;

use dumprestore_driver::{Error, Result};
use mysql_async::Value;

/// A row as it arrived. It is gone when the next one is read.
pub(crate) struct RawRow<'a>(&'a mysql_async::Row);

impl<'a> RawRow<'a> {
    pub(super) fn new(row: &'a mysql_async::Row) -> Self {
        Self(row)
    }

    /// How many values it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A value in text, as the server prints it. `None`: NULL, or there is no such column.
    pub(crate) fn get(&self, column: usize) -> Option<&'a [u8]> {
        match self.0.as_ref(column) {
            // In the text protocol every value is text.
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// All values, in order. `None`: NULL.
    pub(crate) fn values(&self) -> impl Iterator<Item = Option<&'a [u8]>> + '_ {
        (0..self.len()).map(|column| self.get(column))
    }

    /// The same, to keep.
    pub(crate) fn to_row(&self) -> Row {
        Row(self.values().map(|value| value.map(<[u8]>::to_vec)).collect())
    }
}

/// A row of a small result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Row(Vec<Option<Vec<u8>>>);

impl Row {
    /// A value's bytes. `None`: NULL, or there is no such column.
    pub(crate) fn bytes(&self, column: usize) -> Option<&[u8]> {
        self.0.get(column)?.as_deref()
    }

    /// A text.
    ///
    /// # Errors
    /// If it is NULL, or not UTF-8.
    pub(crate) fn text(&self, column: usize) -> Result<&str> {
        self.text_or_null(column)?.ok_or_else(|| unexpected(column, "NULL"))
    }

    /// A text, or NULL.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub(crate) fn text_or_null(&self, column: usize) -> Result<Option<&str>> {
        let text = self.bytes(column).map(std::str::from_utf8).transpose();
        text.map_err(|_| unexpected(column, "a text that is not UTF-8"))
    }

    /// A number.
    ///
    /// # Errors
    /// If it is NULL, or something else.
    pub(crate) fn number(&self, column: usize) -> Result<u64> {
        self.parse(column)
    }

    /// A number, or NULL.
    ///
    /// # Errors
    /// If it is something else.
    pub(crate) fn number_or_null(&self, column: usize) -> Result<Option<u64>> {
        self.bytes(column).map(|_| self.number(column)).transpose()
    }

    /// A value of any type that is written as the server writes it.
    ///
    /// # Errors
    /// If it is NULL, or not such a value.
    pub(crate) fn parse<T: FromStr>(&self, column: usize) -> Result<T> {
        self.text(column)?.parse().map_err(|_| unexpected(column, "a value of another type"))
    }
}

fn unexpected(column: usize, what: &str) -> Error {
    Error::environment(format!("a server answered with {what} in column {} of a result", column + 1))
}
