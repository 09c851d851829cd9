//! Until when rows are valid, of a table that keeps those of the past.

use dumprestore_driver::Result;

use super::{CreateTable, History, Table};
use crate::quote;

/// What servers write for the end of a row that is not of the past, by their version. With that of another, all of them
/// would be of the past, and the table would seem to be empty.
const NO_END: [&str; 2] = ["2038-01-19 03:14:07.999999", "2106-02-07 06:28:15.999999"];

/// Has [`NO_END_HERE`] be what this server writes. It gives a warning that means nothing.
pub(crate) const KNOW_NO_END: &str = "SET @dumprestore_no_end = IF(FROM_UNIXTIME(2147483648) IS NULL, \
                                      '2038-01-19 03:14:07.999999', '2106-02-07 06:28:15.999999')";
/// What this server writes, as an expression, after [`KNOW_NO_END`].
pub(crate) const NO_END_HERE: &str = "@dumprestore_no_end";

/// Whether a value is an end of validity that is none.
pub(crate) fn is_no_end(value: &[u8]) -> bool {
    NO_END.iter().any(|end| end.as_bytes() == value)
}

/// A variable's value, made that of this server if it is no end, as an expression.
pub(crate) fn with_own_end(variable: &str) -> String {
    let [one, other] = NO_END;
    format!("IF({variable} IN ('{one}', '{other}'), {NO_END_HERE}, {variable})")
}

impl Table {
    /// The place of the column that says until when a row was valid, if there are rows of the past among the table's: it
    /// is the last one, unless the definition names it.
    ///
    /// # Errors
    /// If the definition is not well formed.
    pub(crate) fn end_of_validity(&self) -> Result<Option<usize>> {
        if self.history != Some(History::Kept) {
            return Ok(None);
        }
        let create = CreateTable::parse(self.create.as_bytes())?;
        let named = create.elements.iter().find_map(|element| {
            let period = element.text.strip_prefix(b"PERIOD FOR SYSTEM_TIME ")?;
            self.columns.iter().position(|column| {
                let end = format!(", {})", quote::name(&column.name));
                period.ends_with(end.as_bytes())
            })
        });
        Ok(Some(named.unwrap_or(self.columns.len().saturating_sub(1))))
    }
}
