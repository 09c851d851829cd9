//! The script that is being written.

use std::io::Write;

use dumprestore_driver::{Error, Result};

use super::psql;

/// Bytes of UTF-8 hide quotes from a `psql` that takes them for another encoding, as a function may have told it since.
const UTF_8: &[u8] = b"SET client_encoding = 'UTF8';\n";

/// Where statements, remarks and rows go.
pub(super) struct Script<'a>(&'a mut (dyn Write + Send));

impl<'a> Script<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send)) -> Self {
        Self(out)
    }

    /// One statement, without the semicolon at its end.
    ///
    /// # Errors
    /// If there is something in it that `psql` would act on; those of the writer.
    pub(super) fn statement(&mut self, sql: &str) -> Result<()> {
        self.statements(&format!("{sql};"))
    }

    /// Statements, each with its semicolon; or none, but comments.
    ///
    /// # Errors
    /// As [`statement`](Self::statement).
    pub(super) fn statements(&mut self, sql: &str) -> Result<()> {
        let harmless = psql::harmless(sql)?;
        if !harmless.is_ascii() {
            self.bytes(UTF_8)?;
        }
        self.bytes(harmless.trim().as_bytes())?;
        self.bytes(b"\n")
    }

    /// A comment, on a line of its own.
    ///
    /// # Errors
    /// Those of the writer.
    pub(super) fn remark(&mut self, text: &str) -> Result<()> {
        // A line that a name breaks would not be a comment any more.
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.bytes(format!("\n-- {line}\n").as_bytes())
    }

    /// What needs no look at it.
    ///
    /// # Errors
    /// Those of the writer.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(|error| Error::io("can't write the script", error))
    }
}
