//! How tables are made beside the live ones: first what rows need, then what is quicker made once they are there.

use std::collections::{BTreeMap, BTreeSet};

use dumprestore_driver::Result;

use super::head::{self, Changed, Kind, Tokens};
use super::keys::{self, leads_to, unquoted};
use super::state::{ColumnDefault, Key};
use crate::archived::{CreateTable, Element, ElementKind, Table};
use crate::quote;

/// Rows of as many bytes make it worth the while to add indexes later.
const WORTH_LATER: u64 = 1 << 20;

/// One table that is staged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) name: String,
    /// To be run with the staging database as the default one.
    pub(crate) create: Vec<u8>,
    /// `ADD KEY …`, to be run once the rows are in.
    pub(crate) later: Vec<Vec<u8>>,
    /// `ADD CONSTRAINT …`, to be run once no table is altered any more.
    pub(crate) references: Vec<Vec<u8>>,
    /// Foreign keys to tables that are not swapped with it.
    pub(crate) crossing: Vec<Key>,
    /// Defaults that wait for their sequences.
    pub(crate) defaults: Vec<ColumnDefault>,
}

/// What tables are planned by.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    pub(crate) live: &'a str,
    /// The database that was dumped.
    pub(crate) origin: &'a str,
    /// What is swapped in together.
    pub(crate) names: BTreeSet<&'a str>,
    /// Sequences that the live database has.
    pub(crate) sequences: BTreeSet<String>,
    /// Columns that foreign keys lead to: they need an index from the beginning.
    pub(crate) referenced: BTreeMap<String, BTreeSet<String>>,
}

impl Around<'_> {
    /// Plans one table.
    ///
    /// # Errors
    /// If its definition is not that of a table.
    pub(crate) fn plan(&self, table: &Table) -> Result<Plan> {
        let sql = head::statement(Kind::Table, table.create.as_bytes(), Changed::default())?;
        let mut create = CreateTable::parse(&sql)?;
        let mut plan = Plan { name: table.name.clone(), ..Plan::default() };
        self.settle_defaults(&mut create, &mut plan)?;
        let is_later = indexes_later(table, &create);
        for element in &create.elements {
            let leaves = element.kind == ElementKind::ForeignKey && !self.is_within(element);
            if leaves {
                plan.crossing.push(keys::key(self.live, &table.name, &element.name, &element.text)?);
            } else if is_later && self.is_made_later(table, &create, element) {
                let add = [b"ADD ", element.text.as_slice()].concat();
                match element.kind {
                    ElementKind::ForeignKey => plan.references.push(add),
                    _ => plan.later.push(add),
                }
            }
        }
        plan.create = create.with(|element| match element.kind {
            ElementKind::ForeignKey => !is_later && self.is_within(element),
            _ => !(is_later && self.is_made_later(table, &create, element)),
        });
        Ok(plan)
    }

    /// Whether a foreign key leads to what is swapped as well.
    fn is_within(&self, key: &Element) -> bool {
        leads_to(&key.text)
            .is_none_or(|leads| leads.database.is_none() && self.names.contains(leads.table.as_str()))
    }

    /// Whether an index, or a foreign key, is made after the rows. A unique one finds out then whether rows are there twice,
    /// but rows must not be kept by it, and who counts or refers by it needs it before.
    fn is_made_later(&self, table: &Table, create: &CreateTable, element: &Element) -> bool {
        let first = first_column(&element.text);
        let is_referred = || {
            let referenced = self.referenced.get(&table.name);
            first.as_ref().is_none_or(|first| referenced.is_some_and(|columns| columns.contains(first)))
        };
        let is_counted = || {
            counted(create)
                .is_some_and(|counted| first.as_ref().is_none_or(|first| first.as_bytes() == counted))
        };
        match element.kind {
            ElementKind::ForeignKey | ElementKind::FulltextKey => true,
            ElementKind::Key => !is_referred() && !is_counted(),
            ElementKind::UniqueKey => {
                let has_primary = create.elements.iter().any(|other| other.kind == ElementKind::PrimaryKey);
                let is_plain = !["HASH", "OVERLAPS"].iter().any(|word| has_word(&element.text, word));
                has_primary && is_plain && !is_referred() && !is_counted()
            }
            _ => false,
        }
    }

    /// `nextval` names its database, and is not followed when tables are renamed: it is made to lead to the live one.
    fn settle_defaults(&self, create: &mut CreateTable, plan: &mut Plan) -> Result<()> {
        for element in create.elements.iter_mut().filter(|element| element.kind == ElementKind::Column) {
            let Some(call) = NextValue::find(&element.text) else { continue };
            if call.database.as_deref().is_some_and(|database| database != self.origin) {
                continue;
            }
            let sql = format!("nextval({})", quote::qualified(self.live, &call.sequence));
            let (before, after) = (element.text.get(..call.call.start), element.text.get(call.call.end..));
            if self.sequences.contains(&call.sequence) {
                element.text =
                    [before.unwrap_or_default(), sql.as_bytes(), after.unwrap_or_default()].concat();
                continue;
            }
            let before = element.text.get(..call.default.start).unwrap_or_default().trim_ascii_end();
            let after = element.text.get(call.default.end..).unwrap_or_default();
            element.text = [before, after].concat();
            plan.defaults.push(ColumnDefault {
                table: plan.name.clone(),
                column: String::from_utf8_lossy(&element.name).into_owned(),
                sql,
            });
        }
        Ok(())
    }
}

/// Whether it pays to make indexes after the rows, and the server takes it.
fn indexes_later(table: &Table, create: &CreateTable) -> bool {
    let is_versioned = table.history.is_some() || has_word(&create.with(|_| false), "VERSIONING");
    table.bytes >= WORTH_LATER
        && table.engine.eq_ignore_ascii_case("InnoDB")
        && !is_versioned
        && !table.parts.is_empty()
}

/// Whether a text has that word, and not in quotes.
fn has_word(text: &[u8], word: &str) -> bool {
    let mut tokens = Tokens { sql: text, at: 0 };
    while let Some(token) = tokens.next() {
        if token.is(text, word) {
            return true;
        }
    }
    false
}

/// The column that counts by itself, if there is one.
fn counted(create: &CreateTable) -> Option<&[u8]> {
    let columns = create.elements.iter().filter(|element| element.kind == ElementKind::Column);
    columns
        .filter(|column| has_word(&column.text, "AUTO_INCREMENT"))
        .map(|column| column.name.as_slice())
        .next()
}

/// The first column of an index.
fn first_column(text: &[u8]) -> Option<String> {
    let mut tokens = Tokens { sql: text, at: 0 };
    while tokens.next()?.kind != super::head::TokenKind::Mark(b'(') {}
    unquoted(text.get(tokens.next()?.at)?)
}

/// A default that is the next value of a sequence.
struct NextValue {
    /// From `DEFAULT` on.
    default: std::ops::Range<usize>,
    call: std::ops::Range<usize>,
    database: Option<String>,
    sequence: String,
}

/// A name in an expression: MariaDB before 10.6 shows it in latin1.
fn shown(name: &[u8]) -> String {
    unquoted(name).unwrap_or_else(|| {
        let text: String = name.iter().map(|byte| char::from(*byte)).collect();
        unquoted(text.as_bytes()).unwrap_or(text)
    })
}

impl NextValue {
    fn find(text: &[u8]) -> Option<Self> {
        use super::head::TokenKind::Mark;
        let mut tokens = Tokens { sql: text, at: 0 };
        let default = loop {
            let token = tokens.next()?;
            if token.is(text, "DEFAULT") {
                break token;
            }
        };
        let call = tokens.next()?;
        call.is(text, "nextval").then_some(())?;
        (tokens.next()?.kind == Mark(b'(')).then_some(())?;
        let first = tokens.next()?.at;
        let mut next = tokens.next()?;
        let (database, sequence) = match next.kind {
            Mark(b'.') => {
                let second = tokens.next()?.at;
                next = tokens.next()?;
                (Some(shown(text.get(first)?)), shown(text.get(second)?))
            }
            _ => (None, shown(text.get(first)?)),
        };
        (next.kind == Mark(b')')).then_some(())?;
        Some(Self {
            default: default.at.start..next.at.end,
            call: call.at.start..next.at.end,
            database,
            sequence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archived::Sql;

    fn table(sql: &str, bytes: u64) -> Table {
        Table {
            name: "t".to_owned(),
            create: Sql::new(sql.as_bytes()),
            engine: "InnoDB".to_owned(),
            transactional: true,
            columns: Vec::new(),
            collations: Vec::new(),
            foreign_keys: Vec::new(),
            history: None,
            without_data: false,
            bytes,
            parts: vec!["data/t/0001".to_owned()],
        }
    }

    fn around(sequences: &[&str]) -> Around<'static> {
        Around {
            live: "live",
            origin: "shop",
            names: ["t", "p"].into(),
            sequences: sequences.iter().map(|name| (*name).to_owned()).collect(),
            referenced: BTreeMap::new(),
        }
    }

    const CREATE: &str = "CREATE TABLE `t` (\n  `id` int NOT NULL AUTO_INCREMENT,\n  `s` int DEFAULT nextval(`shop`.`sq`) COMMENT 'x',\n  \
        PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`s`),\n  KEY `k` (`s`),\n  \
        CONSTRAINT `a` FOREIGN KEY (`s`) REFERENCES `p` (`x`),\n  CONSTRAINT `b` FOREIGN KEY (`s`) REFERENCES `stays` (`x`)\n) ENGINE=InnoDB";

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn keys_of_a_large_table_are_made_after_its_rows() {
        let plan = around(&["sq"]).plan(&table(CREATE, u64::MAX)).unwrap();
        assert_eq!(
            text(&plan.create),
            "CREATE TABLE `t` (\n  `id` int NOT NULL AUTO_INCREMENT,\n  `s` int DEFAULT nextval(`live`.`sq`) COMMENT 'x',\n  \
             PRIMARY KEY (`id`)\n) ENGINE=InnoDB"
        );
        let later: Vec<&str> = plan.later.iter().map(|sql| text(sql)).collect();
        assert_eq!(later, ["ADD UNIQUE KEY `u` (`s`)", "ADD KEY `k` (`s`)"]);
        let references: Vec<&str> = plan.references.iter().map(|sql| text(sql)).collect();
        assert_eq!(references, ["ADD CONSTRAINT `a` FOREIGN KEY (`s`) REFERENCES `p` (`x`)"]);
        assert_eq!(plan.crossing[0].to, ("live".to_owned(), "stays".to_owned()));
    }

    #[test]
    fn a_default_waits_for_a_sequence_that_is_not_there() {
        let plan = around(&[]).plan(&table(CREATE, 0)).unwrap();
        assert!(text(&plan.create).contains("`s` int COMMENT 'x'"), "{}", text(&plan.create));
        assert!(text(&plan.create).contains("KEY `k`") && plan.later.is_empty());
        assert_eq!(
            (plan.defaults[0].column.as_str(), plan.defaults[0].sql.as_str()),
            ("s", "nextval(`live`.`sq`)")
        );
    }

    #[test]
    fn a_table_that_counts_by_an_ordinary_index_has_it_at_once() {
        let sql =
            "CREATE TABLE `t` (\n  `a` int,\n  `id` int AUTO_INCREMENT,\n  KEY `k` (`id`)\n) ENGINE=InnoDB";
        assert!(around(&[]).plan(&table(sql, u64::MAX)).unwrap().later.is_empty());
        let versioned = CREATE.replace("ENGINE=InnoDB", "ENGINE=InnoDB WITH SYSTEM VERSIONING");
        assert!(around(&[]).plan(&table(&versioned, u64::MAX)).unwrap().later.is_empty());
    }
}
