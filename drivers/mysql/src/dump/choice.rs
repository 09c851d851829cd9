//! Which tables and views are dumped.

use std::collections::HashSet;

use dumprestore_driver::{Error, Pattern, Result, closest};

use crate::catalog::{Kind, Relation};
use crate::config::Setup;

/// The patterns of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    tables: Vec<Pattern>,
    exclude_tables: Vec<Pattern>,
    exclude_data: Vec<Pattern>,
}

/// What the patterns mean in one state of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Those that are left out, with their definition.
    out: HashSet<String>,
    /// Those that are dumped without their rows.
    without_data: HashSet<String>,
    /// Whether nothing is left out with its definition.
    pub(crate) whole: bool,
}

impl Chosen {
    /// Whether the relation of that name is left out.
    pub(crate) fn omits(&self, name: &str) -> bool {
        self.out.contains(name)
    }

    /// Whether rows of the relation of that name are in the dump.
    pub(crate) fn has_rows_of(&self, name: &str) -> bool {
        !self.out.contains(name) && !self.without_data.contains(name)
    }
}

impl Choice {
    /// The patterns of a configuration.
    pub(crate) fn of(setup: &Setup) -> Self {
        Self {
            tables: patterns(&setup.tables),
            exclude_tables: patterns(&setup.exclude_tables),
            exclude_data: patterns(&setup.exclude_data),
        }
    }

    /// What they mean among these.
    ///
    /// # Errors
    /// If a pattern fits nothing: most likely it is misspelt, and what should be left out would be dumped.
    pub(crate) fn pick(&self, relations: &[Relation]) -> Result<Chosen> {
        check("tables", &self.tables, relations, |_| true)?;
        check("exclude_tables", &self.exclude_tables, relations, |_| true)?;
        check("exclude_data", &self.exclude_data, relations, Relation::is_table)?;
        let fits = |patterns: &[Pattern], name: &str| patterns.iter().any(|pattern| pattern.fits(name));
        let is_out = |relation: &&Relation| {
            // Sequences are taken along where a table that is dumped needs them.
            let chosen = self.tables.is_empty()
                || relation.kind == Kind::Sequence
                || fits(&self.tables, &relation.name);
            fits(&self.exclude_tables, &relation.name) || !chosen
        };
        let names = |relation: &Relation| relation.name.clone();
        Ok(Chosen {
            out: relations.iter().filter(is_out).map(names).collect(),
            without_data: relations
                .iter()
                .filter(|relation| fits(&self.exclude_data, &relation.name))
                .map(names)
                .collect(),
            whole: self.tables.is_empty() && self.exclude_tables.is_empty(),
        })
    }

    /// Whether a sequence was named by `tables`, or `tables` names nothing.
    pub(crate) fn wants_sequence(&self, name: &str) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|pattern| pattern.fits(name))
    }
}

/// A table that the server can't open would be missing. Whether it was only waited for in vain.
pub(super) fn unopened(relations: &[Relation], chosen: &Chosen) -> Option<(Error, bool)> {
    let table = relations
        .iter()
        .find(|relation| relation.is_table() && relation.engine.is_none() && !chosen.omits(&relation.name))?;
    let error = Error::environment("the server can't open a table")
        .with_context("table", table.name.escape_debug())
        .with_context("why", table.comment.escape_debug())
        .with_hint("repair it, or leave it out with `exclude_tables`");
    Some((error, table.comment.starts_with("Lock wait timeout")))
}

/// Names of the tables whose rows are dumped, and that are `meant`.
pub(super) fn of_rows(
    relations: &[Relation],
    chosen: &Chosen,
    meant: impl Fn(&Relation) -> bool,
) -> Vec<String> {
    relations
        .iter()
        .filter(|table| {
            table.is_table() && !table.is_a_window() && chosen.has_rows_of(&table.name) && meant(table)
        })
        .map(|table| table.name.clone())
        .collect()
}

fn patterns(texts: &[String]) -> Vec<Pattern> {
    texts.iter().map(Pattern::new).collect()
}

fn check(
    option: &str,
    patterns: &[Pattern],
    relations: &[Relation],
    counts: impl Fn(&Relation) -> bool,
) -> Result<()> {
    let fits_none = |pattern: &&Pattern| {
        !relations.iter().any(|relation| counts(relation) && pattern.fits(&relation.name))
    };
    let Some(pattern) = patterns.iter().find(fits_none) else { return Ok(()) };
    let error = Error::config(format!(
        "`{option}` names `{}`, and there is no such table",
        pattern.text().escape_debug()
    ));
    let names = relations.iter().filter(|relation| counts(relation)).map(|relation| &relation.name);
    Err(match closest(pattern.text(), names) {
        Some(name) => error.with_hint(format!("did you mean `{}`?", name.escape_debug())),
        None => error.with_hint("remove it, or give the name of a table; letter case counts"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(name: &str, kind: Kind) -> Relation {
        Relation {
            name: name.to_owned(),
            kind,
            engine: Some("InnoDB".to_owned()),
            transactional: true,
            rows: 0,
            bytes: 0,
            collation: None,
            comment: String::new(),
        }
    }

    fn sample() -> Vec<Relation> {
        let names = ["audit_1", "audit_2", "orders", "we.ird[1]*"];
        let mut all: Vec<_> = names.map(|name| relation(name, Kind::Table)).into();
        all.push(relation("recent", Kind::View));
        all.push(relation("numbers", Kind::Sequence));
        all
    }

    fn choice(tables: &[&str], exclude: &[&str], data: &[&str]) -> Choice {
        let patterns = |texts: &[&str]| texts.iter().copied().map(Pattern::new).collect();
        Choice { tables: patterns(tables), exclude_tables: patterns(exclude), exclude_data: patterns(data) }
    }

    fn out(choice: &Choice) -> Vec<String> {
        let chosen = choice.pick(&sample()).unwrap();
        sample().into_iter().map(|relation| relation.name).filter(|name| chosen.omits(name)).collect()
    }

    #[test]
    fn patterns_fit_names_even_strange_ones() {
        assert_eq!(out(&choice(&[], &["audit_?"], &[])), ["audit_1", "audit_2"]);
        assert_eq!(out(&choice(&[], &["we.ird[1]*"], &[])), ["we.ird[1]*"]);
        assert_eq!(out(&choice(&["orders", "recent"], &[], &[])), ["audit_1", "audit_2", "we.ird[1]*"]);
        assert_eq!(out(&choice(&["audit_*"], &["*_2"], &[])), ["audit_2", "orders", "we.ird[1]*", "recent"]);
    }

    #[test]
    fn rows_are_left_out_where_that_is_said() {
        let chosen = choice(&[], &["orders"], &["audit_*"]).pick(&sample()).unwrap();
        let with_rows = ["audit_1", "orders", "we.ird[1]*"].map(|name| chosen.has_rows_of(name));
        assert_eq!(with_rows, [false, false, true]);
        assert!(!chosen.omits("audit_1") && !chosen.whole);
    }

    #[test]
    fn a_pattern_that_fits_nothing_is_an_error_with_a_suggestion() {
        let error = choice(&[], &["order"], &[]).pick(&sample()).unwrap_err();
        assert!(error.hint().unwrap().contains("orders"), "{error:?}");
        choice(&["nothing"], &[], &[]).pick(&sample()).unwrap_err();
        // A view has no rows.
        choice(&[], &[], &["recent"]).pick(&sample()).unwrap_err();
    }
}
