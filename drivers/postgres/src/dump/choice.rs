//! Which schemas and tables are dumped.

use std::collections::{HashMap, HashSet};

use dumprestore_driver::{Error, Pattern, Result, closest};

use crate::catalog::Relation;
use crate::config::Setup;
use crate::pattern::fits_table;

/// The patterns of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    schemas: Vec<Pattern>,
    exclude_schemas: Vec<Pattern>,
    exclude_tables: Vec<Pattern>,
    exclude_data: Vec<Pattern>,
}

/// What the patterns mean in one state of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Schemas that are left out.
    schemas_out: HashSet<String>,
    /// Numbers of relations that are left out, with their definition. Those of the schemas are among them.
    out: HashSet<u32>,
    /// Numbers of relations that are dumped without their rows.
    without_data: HashSet<u32>,
    /// Whether the patterns leave anything to choose.
    pub(crate) whole: bool,
    /// Whether `schemas` names those that are dumped, and all that is in no schema is beside the point.
    pub(crate) by_schema: bool,
}

impl Chosen {
    /// Whether the schema is left out.
    pub(crate) fn omits_schema(&self, schema: &str) -> bool {
        self.schemas_out.contains(schema)
    }

    /// Whether the relation of that number is left out.
    pub(crate) fn omits(&self, relation: u32) -> bool {
        self.out.contains(&relation)
    }

    /// Whether rows of the relation of that number are in the dump.
    pub(crate) fn has_rows_of(&self, relation: u32) -> bool {
        !self.out.contains(&relation) && !self.without_data.contains(&relation)
    }
}

impl Choice {
    /// The patterns of a configuration.
    pub(crate) fn of(setup: &Setup) -> Self {
        Self {
            schemas: patterns(&setup.schemas),
            exclude_schemas: patterns(&setup.exclude_schemas),
            exclude_tables: patterns(&setup.exclude_tables),
            exclude_data: patterns(&setup.exclude_data),
        }
    }

    /// What they mean among these schemas and relations.
    ///
    /// # Errors
    /// If a pattern fits nothing: most likely it is misspelt, and what should be left out would be dumped.
    pub(crate) fn pick(&self, schemas: &[String], relations: &[Relation]) -> Result<Chosen> {
        check_schemas("schemas", &self.schemas, schemas)?;
        check_schemas("exclude_schemas", &self.exclude_schemas, schemas)?;
        check_relations("exclude_tables", &self.exclude_tables, relations)?;
        check_relations("exclude_data", &self.exclude_data, relations)?;
        let fits = |patterns: &[Pattern], name: &str| patterns.iter().any(|pattern| pattern.fits(name));
        let is_out = |schema: &&String| {
            fits(&self.exclude_schemas, schema) || !self.schemas.is_empty() && !fits(&self.schemas, schema)
        };
        let schemas_out: HashSet<String> = schemas.iter().filter(is_out).cloned().collect();
        let mut out = fitting(&self.exclude_tables, relations);
        let of_schemas = relations.iter().filter(|relation| schemas_out.contains(&relation.schema));
        out.extend(of_schemas.map(|relation| relation.oid));
        Ok(Chosen {
            whole: [&self.schemas, &self.exclude_schemas, &self.exclude_tables, &self.exclude_data]
                .iter()
                .all(|patterns| patterns.is_empty()),
            by_schema: !self.schemas.is_empty(),
            schemas_out,
            out,
            without_data: fitting(&self.exclude_data, relations),
        })
    }
}

/// Those that fit, and the partitions of those that fit, however deep.
fn fitting(patterns: &[Pattern], relations: &[Relation]) -> HashSet<u32> {
    if patterns.is_empty() {
        return HashSet::new();
    }
    let parents: HashMap<u32, u32> =
        relations.iter().filter_map(|relation| Some((relation.oid, relation.partition_of?))).collect();
    let named: HashSet<u32> = relations
        .iter()
        .filter(|relation| {
            patterns.iter().any(|pattern| fits_table(pattern, &relation.schema, &relation.name))
        })
        .map(|relation| relation.oid)
        .collect();
    let above = |oid: u32| std::iter::successors(Some(oid), |oid| parents.get(oid).copied());
    relations
        .iter()
        .map(|relation| relation.oid)
        .filter(|oid| above(*oid).any(|oid| named.contains(&oid)))
        .collect()
}

fn patterns(texts: &[String]) -> Vec<Pattern> {
    texts.iter().map(Pattern::new).collect()
}

fn check_schemas(option: &str, patterns: &[Pattern], schemas: &[String]) -> Result<()> {
    let lost = patterns.iter().find(|pattern| !schemas.iter().any(|schema| pattern.fits(schema)));
    match lost {
        None => Ok(()),
        Some(pattern) => Err(unknown(option, "schema", pattern.text(), schemas)),
    }
}

fn check_relations(option: &str, patterns: &[Pattern], relations: &[Relation]) -> Result<()> {
    let fits_one = |pattern: &&Pattern| {
        !relations.iter().any(|relation| fits_table(pattern, &relation.schema, &relation.name))
    };
    match patterns.iter().find(fits_one) {
        None => Ok(()),
        Some(pattern) => Err(unknown(option, "table", pattern.text(), relations.iter().map(Relation::label))),
    }
}

fn unknown<N: AsRef<str>>(
    option: &str,
    what: &str,
    pattern: &str,
    names: impl IntoIterator<Item = N>,
) -> Error {
    let error =
        Error::config(format!("`{option}` names `{}`, and there is no such {what}", pattern.escape_debug()));
    match closest(pattern, names) {
        Some(name) => error.with_hint(format!("did you mean `{}`?", name.as_ref().escape_debug())),
        None => error.with_hint(format!("remove it, or give the name of a {what}; letter case counts")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(oid: u32, schema: &str, name: &str, partition_of: Option<u32>) -> Relation {
        Relation {
            oid,
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind: 'r',
            persistence: 'p',
            of_extension: false,
            populated: true,
            partition_of,
        }
    }

    fn choice(tables: &[&str], data: &[&str], schemas: &[&str]) -> Choice {
        let patterns = |texts: &[&str]| texts.iter().copied().map(Pattern::new).collect();
        Choice {
            schemas: patterns(schemas),
            exclude_schemas: Vec::new(),
            exclude_tables: patterns(tables),
            exclude_data: patterns(data),
        }
    }

    fn sample() -> (Vec<String>, Vec<Relation>) {
        let relations = vec![
            relation(1, "public", "orders", None),
            relation(2, "public", "we.ird[1]*", None),
            relation(3, "audit", "orders", None),
            relation(4, "public", "events", None),
            relation(5, "public", "e_2024", Some(4)),
            relation(6, "public", "e_2024_1", Some(5)),
        ];
        (vec!["audit".to_owned(), "public".to_owned()], relations)
    }

    fn out(choice: &Choice) -> Vec<u32> {
        let (schemas, relations) = sample();
        let chosen = choice.pick(&schemas, &relations).unwrap();
        relations.iter().map(|relation| relation.oid).filter(|oid| chosen.omits(*oid)).collect()
    }

    #[test]
    fn patterns_fit_names_with_and_without_their_schema() {
        assert_eq!(out(&choice(&["orders"], &[], &[])), [1, 3]);
        assert_eq!(out(&choice(&["audit.*"], &[], &[])), [3]);
        assert_eq!(out(&choice(&["we.ird[1]*"], &[], &[])), [2]);
        assert_eq!(out(&choice(&[], &[], &["aud?t"])), [1, 2, 4, 5, 6]);
    }

    #[test]
    fn partitions_go_with_the_table_they_are_of() {
        assert_eq!(out(&choice(&["events"], &[], &[])), [4, 5, 6]);
        assert_eq!(out(&choice(&["e_2024"], &[], &[])), [5, 6]);
    }

    #[test]
    fn a_pattern_that_fits_nothing_is_an_error_with_a_suggestion() {
        let (schemas, relations) = sample();
        let error = choice(&["order"], &[], &[]).pick(&schemas, &relations).unwrap_err();
        assert!(error.hint().unwrap().contains("orders"), "{error:?}");
        choice(&[], &["nothing"], &[]).pick(&schemas, &relations).unwrap_err();
        choice(&[], &[], &["publik"]).pick(&schemas, &relations).unwrap_err();
    }
}
