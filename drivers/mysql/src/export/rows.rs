//! Rows, as `INSERT`s of many.

use std::io::Read;

use dumprestore_driver::{ArchivedNode, Error, PartName, Result};

use super::meant::Meant;
use super::script::{LAX, STRICT, Script};
use super::value::{self, Texts};
use crate::archived::{
    CreateTable, ElementKind, Form, History, KNOW_NO_END, NO_END_HERE, RowReader, Table, is_no_end,
};
use crate::quote;

/// From so many bytes on a statement is ended. A server takes 16 MB at least, unless it is told otherwise.
const LONG: usize = 1 << 20;

/// Writes the rows of a table, if they are meant and it has any.
pub(super) fn write(
    script: &mut Script<'_>,
    archived: &dyn ArchivedNode,
    meant: &Meant<'_>,
    table: &Table,
) -> Result<()> {
    if !meant.filled() {
        return Ok(());
    }
    if table.without_data {
        return script.remark(&format!("Rows of `{}` were not dumped", table.name));
    }
    if table.parts.is_empty() {
        return Ok(());
    }
    script.remark(&format!("Rows of `{}`", table.name))?;
    script.as_ours(if holds_enums(table)? { LAX } else { STRICT })?;
    let with_history = table.history == Some(History::Kept);
    if with_history {
        script.bytes(b"SET system_versioning_insert_history = 1;\n")?;
        script.bytes(format!("{KNOW_NO_END};\n").as_bytes())?;
    }
    let mut inserts = Inserts::new(table)?;
    for part in &table.parts {
        let from = archived.read(&PartName::new(part.as_str())?)?;
        inserts.part(script, from).map_err(|error| error.with_context("part", part))?;
    }
    inserts.end(script)?;
    if with_history {
        script.bytes(b"SET system_versioning_insert_history = 0;\n")?;
    }
    Ok(())
}

/// A value of an `ENUM` that is none of its members is taken back by a server that lets things pass only.
fn holds_enums(table: &Table) -> Result<bool> {
    let create = CreateTable::parse(table.create.as_bytes())?;
    let is_enum = |text: &[u8]| memchr::memmem::find(&text.to_ascii_lowercase(), b" enum(").is_some();
    Ok(create.elements.iter().any(|element| element.kind == ElementKind::Column && is_enum(&element.text)))
}

/// Statements of one table.
struct Inserts {
    head: Vec<u8>,
    forms: Vec<Form>,
    texts: Texts,
    /// The column that says until when a row was valid.
    end: Option<usize>,
    /// How long the statement is that was begun; 0: none.
    length: usize,
}

impl Inserts {
    fn new(table: &Table) -> Result<Self> {
        let end = table.end_of_validity()?;
        let names: Vec<String> = table.columns.iter().map(|column| quote::name(&column.name)).collect();
        let head = format!("INSERT INTO {} ({}) VALUES", quote::name(&table.name), names.join(", "));
        let forms = table.columns.iter().map(|column| column.form).collect();
        Ok(Self { head: head.into_bytes(), forms, texts: Texts::of(table), end, length: 0 })
    }

    fn part(&mut self, script: &mut Script<'_>, from: Box<dyn Read + Send>) -> Result<()> {
        let mut rows = RowReader::new(from);
        while rows.advance()? {
            self.separate(script)?;
            // A row without any value is an empty line.
            let empty = self.forms.is_empty() && rows.fields().len() == 1;
            if rows.fields().len() != self.forms.len() && !empty {
                return Err(Error::archive("a row in the archive has not one value for each column"));
            }
            for (nth, (value, form)) in rows.fields().zip(&self.forms).enumerate() {
                if nth > 0 {
                    script.bytes(b",")?;
                }
                self.length += 1;
                if self.end == Some(nth) && value.is_some_and(is_no_end) {
                    script.bytes(NO_END_HERE.as_bytes())?;
                    continue;
                }
                self.length += value::write(script, value, *form, self.texts)?;
            }
            script.bytes(b")")?;
        }
        Ok(())
    }

    /// What comes before a row.
    fn separate(&mut self, script: &mut Script<'_>) -> Result<()> {
        if self.length > LONG {
            self.end(script)?;
        }
        if self.length == 0 {
            script.bytes(&self.head)?;
            script.bytes(b"\n(")?;
            self.length = self.head.len();
        } else {
            script.bytes(b",\n(")?;
        }
        self.length += 4;
        Ok(())
    }

    fn end(&mut self, script: &mut Script<'_>) -> Result<()> {
        if std::mem::take(&mut self.length) > 0 {
            script.bytes(b";\n")?;
        }
        Ok(())
    }
}
