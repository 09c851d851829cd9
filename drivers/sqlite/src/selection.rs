//! Which tables are left out.

use dumprestore_driver::{Error, Pattern, Result, closest};

/// The patterns of the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    tables: Vec<Pattern>,
    data: Vec<Pattern>,
}

/// The tables that the patterns fit, in one state of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Excluded {
    /// Without their definition.
    pub(crate) tables: Vec<String>,
    /// Without their rows.
    pub(crate) data: Vec<String>,
}

impl Excluded {
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.data.is_empty()
    }

    /// Whether rows of that table are not in the dump.
    pub(crate) fn has(&self, table: &str) -> bool {
        self.tables.iter().chain(&self.data).any(|name| name.eq_ignore_ascii_case(table))
    }
}

impl Selection {
    pub(crate) fn of(tables: &[String], data: &[String]) -> Self {
        Self { tables: patterns(tables), data: patterns(data) }
    }

    /// The tables of `present` that they fit.
    ///
    /// # Errors
    /// If a pattern fits none: most likely it is misspelt, and what should be left out would be dumped.
    pub(crate) fn pick(&self, present: &[String]) -> Result<Excluded> {
        let tables = fitting("exclude_tables", &self.tables, present)?;
        let mut data = fitting("exclude_data", &self.data, present)?;
        data.retain(|name| !tables.contains(name));
        Ok(Excluded { tables, data })
    }
}

/// SQLite ignores the case of names.
fn patterns(texts: &[String]) -> Vec<Pattern> {
    texts.iter().map(Pattern::ignoring_ascii_case).collect()
}

fn fitting(option: &str, patterns: &[Pattern], present: &[String]) -> Result<Vec<String>> {
    for pattern in patterns {
        if !present.iter().any(|name| pattern.fits(name)) {
            return Err(unknown(option, pattern.text(), present));
        }
    }
    let fits = |name: &&String| patterns.iter().any(|pattern| pattern.fits(name));
    Ok(present.iter().filter(fits).cloned().collect())
}

fn unknown(option: &str, pattern: &str, present: &[String]) -> Error {
    let error = Error::config(format!("`{option}` names `{pattern}`, and there is no such table"));
    match closest(pattern, present) {
        Some(name) => error.with_hint(format!("did you mean `{name}`?")),
        None => error.with_hint("remove it, or see the tables with `sqlite3 FILE .tables`"),
    }
}
