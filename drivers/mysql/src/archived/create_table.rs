//! `CREATE TABLE`, as `SHOW CREATE TABLE` writes it, taken apart: so that secondary indexes can be made after the rows,
//! and foreign keys can be told from the rest.

use dumprestore_driver::{Error, Result};

use crate::quote;

/// A statement in three pieces. Nothing is interpreted that need not be: put together it is the same, byte for byte,
/// but for space between its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CreateTable {
    /// ``CREATE TABLE `name` (``
    head: Vec<u8>,
    pub(crate) elements: Vec<Element>,
    /// From the closing parenthesis on: `) ENGINE=InnoDB …`
    tail: Vec<u8>,
}

/// A column, a key, or a constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) kind: ElementKind,
    /// Of the column, index or constraint, not quoted. Empty if it has none.
    pub(crate) name: Vec<u8>,
    /// As it stands in the statement, without the comma.
    pub(crate) text: Vec<u8>,
}

/// What an [`Element`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElementKind {
    Column,
    PrimaryKey,
    UniqueKey,
    /// An index that is neither unique nor of another kind.
    Key,
    FulltextKey,
    SpatialKey,
    /// `VECTOR KEY`, `PERIOD FOR`, or what servers will think of: left where it is.
    Other,
    ForeignKey,
    Check,
}

impl CreateTable {
    /// Takes it apart.
    ///
    /// # Errors
    /// If it is not such a statement: of a view or a sequence, or `CREATE TABLE … LIKE`.
    pub(crate) fn parse(sql: &[u8]) -> Result<Self> {
        let mut scan = Scan { sql, at: 0 };
        let open = scan.find(0, |byte| byte == b'(').ok_or_else(misshapen)?;
        let mut elements = Vec::new();
        loop {
            let from = scan.at;
            let end = scan.find(0, |byte| byte == b',' || byte == b')').ok_or_else(misshapen)?;
            elements.push(Element::new(sql.get(from..end).unwrap_or_default().trim_ascii()));
            if sql.get(end) == Some(&b')') {
                let head = sql.get(..=open).unwrap_or_default().to_vec();
                let tail = sql.get(end..).unwrap_or_default().to_vec();
                return Ok(Self { head, elements, tail });
            }
        }
    }

    /// The statement with those elements that are `wanted`.
    pub(crate) fn with(&self, mut wanted: impl FnMut(&Element) -> bool) -> Vec<u8> {
        let mut sql = self.head.clone();
        let mut first = true;
        for element in self.elements.iter().filter(|element| wanted(element)) {
            sql.extend_from_slice(if first { b"\n  " } else { b",\n  " });
            sql.extend_from_slice(&element.text);
            first = false;
        }
        sql.push(b'\n');
        sql.extend_from_slice(&self.tail);
        sql
    }
}

fn misshapen() -> Error {
    Error::archive("a table's definition is not well formed")
}

impl Element {
    fn new(text: &[u8]) -> Self {
        let (kind, rest) = kind_of(text);
        // A primary key has no name, and a check need not have one.
        let name = match kind {
            ElementKind::PrimaryKey | ElementKind::Other => Vec::new(),
            _ => quoted_name(rest).unwrap_or_default(),
        };
        Self { kind, name, text: text.to_vec() }
    }
}

/// What it is, and what follows the words that say so.
fn kind_of(text: &[u8]) -> (ElementKind, &[u8]) {
    if text.starts_with(b"`") {
        return (ElementKind::Column, text);
    }
    let words: [(&[u8], ElementKind); 6] = [
        (b"PRIMARY KEY", ElementKind::PrimaryKey),
        (b"UNIQUE KEY", ElementKind::UniqueKey),
        (b"FULLTEXT KEY", ElementKind::FulltextKey),
        (b"SPATIAL KEY", ElementKind::SpatialKey),
        (b"KEY", ElementKind::Key),
        (b"CHECK", ElementKind::Check),
    ];
    for (word, kind) in words {
        if let Some(rest) = text.strip_prefix(word) {
            return (kind, rest.trim_ascii_start());
        }
    }
    let Some(rest) = text.strip_prefix(b"CONSTRAINT") else { return (ElementKind::Other, text) };
    let rest = rest.trim_ascii_start();
    let after_name = match rest.first() {
        Some(b'`') => rest.get(quote::behind(rest, 0, b'`')..).unwrap_or_default().trim_ascii_start(),
        _ => rest,
    };
    match after_name {
        after if after.starts_with(b"FOREIGN KEY") => (ElementKind::ForeignKey, rest),
        after if after.starts_with(b"CHECK") => (ElementKind::Check, rest),
        _ => (ElementKind::Other, rest),
    }
}

/// The name in backticks that `text` begins with.
fn quoted_name(text: &[u8]) -> Option<Vec<u8>> {
    if text.first() != Some(&b'`') {
        return None;
    }
    let end = quote::behind(text, 0, b'`');
    let mut name = Vec::new();
    let mut inner = text.get(1..end.checked_sub(1)?)?.iter();
    while let Some(byte) = inner.next() {
        if *byte == b'`' {
            inner.next();
        }
        name.push(*byte);
    }
    Some(name)
}

/// Goes over a statement without being misled by what is quoted.
struct Scan<'a> {
    sql: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    /// The next byte that is meant, outside of quotes and comments, and of parentheses that are opened after `at`.
    /// `at` is behind it then.
    fn find(&mut self, mut depth: usize, meant: impl Fn(u8) -> bool) -> Option<usize> {
        while let Some(&byte) = self.sql.get(self.at) {
            match byte {
                b'`' | b'\'' | b'"' => self.at = quote::behind(self.sql, self.at, byte),
                b'/' if self.sql.get(self.at + 1) == Some(&b'*') => self.skip_comment(),
                _ if depth == 0 && meant(byte) => {
                    self.at += 1;
                    return Some(self.at - 1);
                }
                b'(' => {
                    depth += 1;
                    self.at += 1;
                }
                b')' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
        None
    }

    /// Comments hold options for some servers only, which are whole: their parentheses match.
    fn skip_comment(&mut self) {
        let rest = self.sql.get(self.at..).unwrap_or_default();
        self.at += memchr::memmem::find(rest, b"*/").map_or(rest.len(), |end| end + 2);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHOWN: &str = "CREATE TABLE `it``s, (odd)` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  \
        `note` varchar(20) DEFAULT 'a, ''b'' \\') c' COMMENT '(x, `y`',\n  \
        `total` decimal(10,2) GENERATED ALWAYS AS (coalesce(`a`,concat('(',`b`))) STORED,\n  \
        `hidden` int /*!80023 INVISIBLE */,\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `u``1` (`note`(3),`id`),\n  \
        KEY `k` (`note`),\n  FULLTEXT KEY `f` (`note`) /*!50100 WITH PARSER `ngram` */ ,\n  SPATIAL KEY `s` (`g`),\n  \
        PERIOD FOR SYSTEM_TIME (`a`, `b`),\n  CONSTRAINT `fk` FOREIGN KEY (`a`) REFERENCES `other` (`x`) ON DELETE CASCADE,\n  \
        CONSTRAINT `c` CHECK (`a` in (1,2))\n) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COMMENT='a) b'\n\
        /*!50100 PARTITION BY RANGE (`id`)\n(PARTITION p0 VALUES LESS THAN (10) ENGINE = InnoDB) */";

    #[test]
    fn a_table_is_taken_apart_as_it_was_put_together() {
        let table = CreateTable::parse(SHOWN.as_bytes()).unwrap();
        let kinds: Vec<_> = table
            .elements
            .iter()
            .map(|element| (element.kind, String::from_utf8(element.name.clone()).unwrap()))
            .collect();
        let expected = [
            (ElementKind::Column, "id"),
            (ElementKind::Column, "note"),
            (ElementKind::Column, "total"),
            (ElementKind::Column, "hidden"),
            (ElementKind::PrimaryKey, ""),
            (ElementKind::UniqueKey, "u`1"),
            (ElementKind::Key, "k"),
            (ElementKind::FulltextKey, "f"),
            (ElementKind::SpatialKey, "s"),
            (ElementKind::Other, ""),
            (ElementKind::ForeignKey, "fk"),
            (ElementKind::Check, "c"),
        ];
        assert_eq!(kinds, expected.map(|(kind, name)| (kind, name.to_owned())));
        let again = String::from_utf8(table.with(|_| true)).unwrap();
        assert_eq!(again.replace(" ,\n", ",\n"), SHOWN.replace(" ,\n", ",\n"));
    }

    #[test]
    fn elements_that_are_not_wanted_leave_no_comma() {
        let table =
            CreateTable::parse(b"CREATE TABLE `t` (\n  `a` int,\n  KEY `k` (`a`)\n) ENGINE=InnoDB").unwrap();
        let sql = table.with(|element| element.kind == ElementKind::Column);
        assert_eq!(String::from_utf8(sql).unwrap(), "CREATE TABLE `t` (\n  `a` int\n) ENGINE=InnoDB");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn names_with_quotes_in_them_are_read_as_they_were_written(name in "[a`'\"(),\\\\ ]{1,12}") {
            let sql = format!("CREATE TABLE `t` (\n  `{}` int,\n  KEY `k` (`a`)\n)", name.replace('`', "``"));
            let table = CreateTable::parse(sql.as_bytes()).unwrap();
            prop_assert_eq!(table.elements.len(), 2);
            prop_assert_eq!(&table.elements[0].name, name.as_bytes());
        }

        #[test]
        fn bytes_of_any_kind_are_an_error_or_a_table(text in "[(),`'\\\\/*a \"]{0,60}") {
            let _ = CreateTable::parse(text.as_bytes());
        }
    }
}
