//! Rows, between `COPY` and `\.`.

use std::io::Read;

use dumprestore_driver::{ArchivedNode, Error, PartName, Result};
use memchr::{memchr, memmem};

use super::script::Script;
use crate::archived::Table;
use crate::restore::copy_statement;

const CHUNK: usize = 256 << 10;

/// Writes the rows of a table, if it has any.
pub(super) fn write(script: &mut Script<'_>, archived: &dyn ArchivedNode, table: &Table) -> Result<()> {
    if table.without_data {
        return script.remark(&format!("Rows of {}.{} were not dumped", table.schema, table.name));
    }
    if table.parts.is_empty() {
        return Ok(());
    }
    script.remark(&format!("Rows of {}.{}", table.schema, table.name))?;
    script.statement(&copy_statement(table, false))?;
    for part in &table.parts {
        let name = PartName::new(part.as_str())?;
        copy(script, &mut *archived.read(&name)?).map_err(|error| error.with_context("part", part))?;
    }
    script.bytes(b"\\.\n")
}

fn copy(script: &mut Script<'_>, from: &mut dyn Read) -> Result<()> {
    let mut lines = Lines::default();
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        chunk.clear();
        let read = (&mut *from).take(CHUNK as u64).read_to_end(&mut chunk);
        read.map_err(|error| Error::io("can't read rows from the archive", error))?;
        if chunk.is_empty() {
            return lines.end();
        }
        lines.look_at(&chunk)?;
        script.bytes(&chunk)?;
    }
}

/// Makes sure that nothing ends the rows before their end: `psql` would take what comes then for commands.
struct Lines {
    /// The last bytes so far, of which a line end may be the first.
    seam: Vec<u8>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { seam: b"\n".to_vec() }
    }
}

impl Lines {
    fn look_at(&mut self, chunk: &[u8]) -> Result<()> {
        const END: &[u8] = b"\n\\.";
        let reach = END.len() - 1;
        self.seam.extend(chunk.iter().take(reach));
        let is_ended = memmem::find(&self.seam, END).is_some() || memmem::find(chunk, END).is_some();
        if is_ended || memchr(0, chunk).is_some() {
            return Err(misshapen());
        }
        if chunk.len() > reach {
            self.seam = chunk[chunk.len() - reach..].to_vec();
        } else {
            self.seam.drain(..self.seam.len().saturating_sub(reach));
        }
        Ok(())
    }

    fn end(&self) -> Result<()> {
        if self.seam.ends_with(b"\n") { Ok(()) } else { Err(misshapen()) }
    }
}

fn misshapen() -> Error {
    Error::archive("rows in the archive are not well formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(rows: &[u8], at_once: usize) -> Result<()> {
        let mut lines = Lines::default();
        rows.chunks(at_once).try_for_each(|chunk| lines.look_at(chunk))?;
        lines.end()
    }

    #[test]
    fn only_a_line_that_would_end_the_rows_is_refused_wherever_it_is_cut() {
        for at_once in 1..8 {
            for fine in [&b""[..], b"\n", b"\\N\t\\\\.\n.\n", b"a\\.b\n\\\\.\n", b"a\t\\.\n"] {
                look(fine, at_once).unwrap();
            }
            for bad in
                [&b"\\.\n"[..], b"a\n\\.\n\\! x\n", b"a\n\\.b\n", b"a", b"a\n\\", b"\0\n", b"\n\n\\.\n"]
            {
                assert!(look(bad, at_once).is_err(), "{:?} by {at_once}", bad.escape_ascii().to_string());
            }
        }
    }
}
