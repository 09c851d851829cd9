//! The script that is being written.

use std::io::Write;

use dumprestore_driver::{Error, Result};

use super::client;
use crate::archived::Made;
use crate::scan::Reading;

/// Modes under which our own statements and tables are read: of all that change how a text is read, none is among them.
/// What the server can't hold is an error, and whatever it once could hold is not.
pub(super) const STRICT: &str =
    "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION";
/// The same, for rows that only a server which lets things pass can take back.
pub(super) const LAX: &str = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION";
const CHARSET: &str = "utf8mb4";

/// Where statements, remarks and rows go.
pub(super) struct Script<'a> {
    out: &'a mut (dyn Write + Send),
    /// How the session is at this point.
    mode: String,
    client: String,
    connection: String,
    time_zone: String,
}

impl<'a> Script<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send)) -> Self {
        let nothing = String::new;
        Self { out, mode: nothing(), client: nothing(), connection: nothing(), time_zone: nothing() }
    }

    /// Has statements read as ours are, from here on.
    ///
    /// # Errors
    /// Those of the writer.
    pub(super) fn as_ours(&mut self, mode: &str) -> Result<()> {
        self.charsets(CHARSET, "")?;
        self.time_zone("+00:00")?;
        self.mode(mode)
    }

    /// Has statements read as that one was when it was made.
    ///
    /// # Errors
    /// If what is said of it is not well formed; those of the writer.
    pub(super) fn as_made(&mut self, made: &Made) -> Result<()> {
        self.charsets(&made.character_set_client, &made.collation_connection)?;
        if !made.time_zone.is_empty() {
            self.time_zone(&made.time_zone)?;
        }
        self.mode(&made.sql_mode)
    }

    /// An empty collation is that of the character set.
    fn charsets(&mut self, client: &str, connection: &str) -> Result<()> {
        if self.client != client || self.connection != connection {
            let client = word(client, "")?;
            self.bytes(format!("SET NAMES {client};\n").as_bytes())?;
            if !connection.is_empty() {
                self.bytes(format!("SET collation_connection = {};\n", word(connection, "")?).as_bytes())?;
            }
            client.clone_into(&mut self.client);
            connection.clone_into(&mut self.connection);
        }
        Ok(())
    }

    fn time_zone(&mut self, zone: &str) -> Result<()> {
        if self.time_zone != zone {
            self.bytes(format!("SET time_zone = '{}';\n", word(zone, "+-:/")?).as_bytes())?;
            zone.clone_into(&mut self.time_zone);
        }
        Ok(())
    }

    fn mode(&mut self, mode: &str) -> Result<()> {
        if self.mode != mode {
            let checked = if mode.is_empty() { mode } else { word(mode, ",")? };
            self.bytes(set_mode(checked).as_bytes())?;
            mode.clone_into(&mut self.mode);
        }
        Ok(())
    }

    /// A definition, without anything at its end, to be read as the session is now.
    ///
    /// # Errors
    /// If there is something in it that the client would act on; those of the writer.
    pub(super) fn definition(&mut self, sql: &[u8]) -> Result<()> {
        let sql = sql.trim_ascii();
        client::check(sql, &Reading::all(&self.mode, &self.client))?;
        if !sql.contains(&b';') {
            self.bytes(sql)?;
            return self.bytes(b"\n;\n");
        }
        let delimiter = client::delimiter(sql);
        self.bytes(format!("DELIMITER {delimiter}\n").as_bytes())?;
        self.bytes(sql)?;
        self.bytes(format!("\n{delimiter}\nDELIMITER ;\n").as_bytes())
    }

    /// A comment, on a line of its own.
    ///
    /// # Errors
    /// Those of the writer.
    pub(super) fn remark(&mut self, text: &str) -> Result<()> {
        self.bytes(b"\n")?;
        self.line(text)
    }

    /// The same, right under another.
    ///
    /// # Errors
    /// Those of the writer.
    pub(super) fn line(&mut self, text: &str) -> Result<()> {
        // A line that a name breaks would not be a comment any more.
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.bytes(format!("-- {line}\n").as_bytes())
    }

    /// What needs no look at it.
    ///
    /// # Errors
    /// Those of the writer.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|error| Error::io("can't write the script", error))
    }
}

/// MySQL knows that mode no more, and MariaDB has it by default.
const OF_MARIADB: &str = "NO_AUTO_CREATE_USER";

/// Two texts in a row are one, and the second is a comment for MySQL.
fn set_mode(mode: &str) -> String {
    let known: Vec<&str> = mode.split(',').filter(|word| *word != OF_MARIADB).collect();
    let known = known.join(",");
    let more = match (mode.split(',').any(|word| word == OF_MARIADB), known.is_empty()) {
        (false, _) => String::new(),
        (true, true) => format!(" /*M! '{OF_MARIADB}' */"),
        (true, false) => format!(" /*M! ',{OF_MARIADB}' */"),
    };
    format!("SET sql_mode = '{known}'{more};\n")
}

/// What must be letters, digits and `_`, and perhaps some more.
pub(super) fn word<'t>(text: &'t str, more: &str) -> Result<&'t str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(c);
    match !text.is_empty() && text.chars().all(fits) {
        true => Ok(text),
        false => Err(Error::archive("a setting in the archive is not well formed")
            .with_context("value", text.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_that_only_mariadb_knows_is_set_there_only() {
        assert_eq!(set_mode("ANSI_QUOTES"), "SET sql_mode = 'ANSI_QUOTES';\n");
        assert_eq!(set_mode(""), "SET sql_mode = '';\n");
        assert_eq!(set_mode("NO_AUTO_CREATE_USER"), "SET sql_mode = '' /*M! 'NO_AUTO_CREATE_USER' */;\n");
        let some = "STRICT_TRANS_TABLES,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION";
        let set =
            "SET sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION' /*M! ',NO_AUTO_CREATE_USER' */;\n";
        assert_eq!(set_mode(some), set);
    }
}
