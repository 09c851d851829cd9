//! What a server says of a statement.

use std::borrow::Cow;
use std::fmt;
use std::io;

use dumprestore_driver::Error;

/// A statement was carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// How many rows it changed.
    pub(crate) affected: u64,
    /// How many warnings it gave. `SHOW WARNINGS` tells them, as long as nothing else was asked.
    pub(crate) warnings: u16,
    /// Whether a transaction was open when it had ended.
    pub(crate) in_transaction: bool,
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

/// What a server says, without the value of a row that it found wanting.
pub(crate) fn without_values(code: u16, message: &str) -> Cow<'_, str> {
    // Of values that are there twice, of another type, of another character set, in no partition, or no dates.
    if !matches!(code, 1062 | 1292 | 1366 | 1367 | 1411 | 1525 | 1526 | 1586 | 1859 | 3854) {
        return Cow::Borrowed(message);
    }
    let before = message.split('\'').next().unwrap_or_default();
    // Who writes a value can't write what stands behind it.
    let after = message.rfind("' for ").and_then(|at| message.get(at..)).unwrap_or("'");
    Cow::Owned(format!("{before}'…{after}"))
}

/// Why a statement did not end well.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server says why. The session goes on.
    Refused(Complaint),
    /// There is no more connection, or nothing to be done with it.
    Lost(io::Error),
    /// Whoever dealt with its rows, or gave it its rows, failed. The session is given up.
    Ours(Error),
}

impl From<mysql_async::Error> for Trouble {
    fn from(error: mysql_async::Error) -> Self {
        use mysql_async::{DriverError, IoError};
        match error {
            mysql_async::Error::Server(said) => Self::Refused(Complaint {
                code: said.code,
                state: said.state,
                message: without_values(said.code, &said.message).replace(['\n', '\r'], " "),
            }),
            mysql_async::Error::Io(IoError::Io(error)) => Self::Lost(error),
            mysql_async::Error::Driver(DriverError::ConnectionClosed) => {
                Self::Lost(io::Error::new(io::ErrorKind::UnexpectedEof, "the server has closed it"))
            }
            mysql_async::Error::Driver(DriverError::LocalInfile(_)) => {
                Self::Lost(io::Error::other("a server asked for a file of ours, unbidden"))
            }
            // What was sent may stand in it.
            mysql_async::Error::Driver(DriverError::UnexpectedPacket { .. }) => {
                Self::Lost(io::Error::new(io::ErrorKind::InvalidData, "a server's answer can't be read"))
            }
            other => Self::Lost(io::Error::other(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn no_value_of_a_row_is_told() {
        for (code, said, told) in [
            (
                1062,
                "Duplicate entry 'a' for key 'b' for key 'k.PRIMARY'",
                "Duplicate entry '…' for key 'k.PRIMARY'",
            ),
            (
                1366,
                "Incorrect string value: '\\xE9' for column `d`.`t`.`c` at row 1",
                "Incorrect string value: '…' for column `d`.`t`.`c` at row 1",
            ),
            (1292, "Truncated incorrect DOUBLE value: 'secret'", "Truncated incorrect DOUBLE value: '…'"),
            (1265, "Data truncated for column 'c' at row 1", "Data truncated for column 'c' at row 1"),
        ] {
            assert_eq!(without_values(code, said), told);
        }
    }
}
