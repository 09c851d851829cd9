//! Statements whose text is not ours.

use dumprestore_driver::Result;

use super::super::fault::code;
use super::super::said::Done;
use super::Session;
use crate::quote;

/// The server has read a statement to its end, which is of a kind that it does not prepare.
const NOT_PREPARED: u16 = 1295;
const SYNTAX: u16 = 1064;

impl Session {
    /// Runs a statement from an archive. The client's sessions carry out several statements of one text, and nobody but the
    /// server knows where one ends, by its character set, its modes and its version: so the server prepares it first, which
    /// it does with one statement only.
    ///
    /// # Errors
    /// As [`run`](Self::run). If there is more than one statement, none is carried out.
    pub(crate) async fn run_single(&mut self, sql: &[u8]) -> Result<Done> {
        self.check(sql)?;
        // In a variable, for MySQL prepares no text in hexadecimal; a binary one, whose bytes nobody converts.
        self.run(format!("SET @dumprestore_single = {}", quote::hex(sql))).await?;
        let prepare = "PREPARE dumprestore_single FROM @dumprestore_single";
        match self.each_told(prepare.as_bytes(), sql, |_| Ok(())).await {
            Err(error) if code(&error) == Some(NOT_PREPARED) => {}
            Err(error) if code(&error) == Some(SYNTAX) => {
                return Err(error.with_hint(
                    "was it dumped from a server of another kind, or a newer one? if not, somebody has changed the archive: \
                     don't restore it",
                ));
            }
            other => drop(other?),
        }
        self.run(sql).await
    }
}
