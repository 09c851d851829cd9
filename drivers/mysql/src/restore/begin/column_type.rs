//! What a column holds, read from the definition of its table: whether values that were dumped from one stay what they are
//! in another.
//!
//! A server does not say so: it reads the bytes of a text in the column's own character set, cuts what is too exact, and
//! finds another member of an `ENUM`, each without an error.

use std::fmt;
use std::ops::Range;

use crate::archived::{CreateTable, Element, ElementKind};
use crate::restore::head::{TokenKind, Tokens};

/// Whole numbers, the smaller first.
const WHOLE: [&str; 5] = ["tinyint", "smallint", "mediumint", "int", "bigint"];
/// What holds texts and bytes without a length of its own, the smaller first.
const TEXTS: [&str; 4] = ["tinytext", "text", "mediumtext", "longtext"];
const BLOBS: [&str; 4] = ["tinyblob", "blob", "mediumblob", "longblob"];

/// The type of a column, as far as its values depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnType {
    /// In lower case: `int`, `varchar`.
    base: String,
    /// What stands in its parentheses, in the bytes of the definition.
    arguments: Vec<u8>,
    unsigned: bool,
    /// Of a text.
    charset: Option<String>,
}

/// What the columns of a table are, by their names.
pub(super) fn column_types(create: &CreateTable) -> Vec<(&[u8], ColumnType)> {
    let of_table = charset_of_table(&create.with(|_| false));
    let columns = create.elements.iter().filter(|element| element.kind == ElementKind::Column);
    columns
        .filter_map(|column| Some((column.name.as_slice(), ColumnType::read(column, of_table.as_deref())?)))
        .collect()
}

impl ColumnType {
    fn read(column: &Element, of_table: Option<&str>) -> Option<Self> {
        let text = column.text.as_slice();
        let mut tokens = Tokens { sql: text, at: 0 };
        tokens.next()?;
        let base = lower(text.get(tokens.next()?.at)?);
        let arguments = arguments(&mut tokens).and_then(|at| text.get(at)).unwrap_or_default().to_vec();
        let (mut unsigned, mut charset, mut collation) = (false, None, None);
        while let Some(token) = tokens.next() {
            let mut value = || tokens.next().and_then(|token| text.get(token.at)).map(lower);
            if token.is(text, "UNSIGNED") || token.is(text, "ZEROFILL") {
                unsigned = true;
            } else if token.is(text, "CHARACTER") {
                value();
                charset = value();
            } else if token.is(text, "COLLATE") {
                collation = value();
            } else {
                break;
            }
        }
        let charset = is_text(&base).then(|| {
            let found = charset.or_else(|| collation.as_deref().map(charset_of_collation));
            renamed(found.or_else(|| of_table.map(str::to_owned)).unwrap_or_default())
        });
        Some(Self { base, arguments, unsigned, charset })
    }

    /// Whether each value of `self` is the same value in `live`.
    pub(super) fn fits(&self, live: &Self) -> bool {
        match (place(&WHOLE, &self.base), place(&WHOLE, &live.base)) {
            (Some(one), Some(other)) => {
                return match (self.unsigned, live.unsigned) {
                    (true, false) => other > one,
                    (false, true) => false,
                    _ => other >= one,
                };
            }
            (None, None) => {}
            _ => return false,
        }
        if !self.charset_fits(live) {
            return false;
        }
        match self.base.as_str() {
            "enum" | "set" => self.base == live.base && self.members_fit(live),
            "decimal" => self.base == live.base && (!live.unsigned || self.unsigned) && self.digits_fit(live),
            "float" if self.arguments.is_empty() && live.base == "double" => {
                live.arguments.is_empty() && (!live.unsigned || self.unsigned)
            }
            "varchar" | "char" | "varbinary" => self.length_fits(live),
            "datetime" | "timestamp" | "time" => {
                self.base == live.base && self.number(0).unwrap_or(0) <= live.number(0).unwrap_or(0)
            }
            "year" => self.base == live.base,
            _ => match (self.size(), live.size()) {
                (Some(one), Some(other)) => self.charset.is_some() == live.charset.is_some() && one <= other,
                _ => {
                    self.base == live.base
                        && self.arguments == live.arguments
                        && self.unsigned == live.unsigned
                }
            },
        }
    }

    /// The bytes of a text are taken as they are.
    fn charset_fits(&self, live: &Self) -> bool {
        match (self.charset.as_deref(), live.charset.as_deref()) {
            (Some(one), Some(other)) if one == other => !one.is_empty(),
            (Some("utf8mb3"), Some("utf8mb4")) | (Some("ascii"), Some("utf8mb3" | "utf8mb4")) => true,
            (None, None) => true,
            _ => false,
        }
    }

    /// Members may have been added behind the others, but none that is empty: that is what a value of none looks like.
    fn members_fit(&self, live: &Self) -> bool {
        let Some(added) = live.arguments.strip_prefix(self.arguments.as_slice()) else { return false };
        let mut tokens = Tokens { sql: added, at: 0 };
        let mut is_comma_next = true;
        while let Some(token) = tokens.next() {
            let is_fit = match token.kind {
                TokenKind::Mark(b',') => is_comma_next,
                TokenKind::Quoted => !is_comma_next && token.at.len() > 2,
                _ => false,
            };
            if !is_fit {
                return false;
            }
            is_comma_next = !is_comma_next;
        }
        is_comma_next
    }

    /// As many digits before the point, and after it.
    fn digits_fit(&self, live: &Self) -> bool {
        let digits = |of: &Self| Some((of.number(0)?, of.number(1).unwrap_or(0)));
        match (digits(self), digits(live)) {
            (Some((all, after)), Some((all_live, after_live))) => {
                after <= after_live && all.saturating_sub(after) <= all_live.saturating_sub(after_live)
            }
            _ => false,
        }
    }

    /// A text of a length into a longer one, or into one without a length that holds the longest. What is filled up with
    /// spaces takes nothing but the like: others end in spaces that count.
    fn length_fits(&self, live: &Self) -> bool {
        let is_longer = self.number(0).is_some() && self.number(0) <= live.number(0);
        match (self.base.as_str(), live.base.as_str()) {
            ("char", "char" | "varchar") | ("varchar", "varchar") | ("varbinary", "varbinary") => is_longer,
            ("char" | "varchar", other) => place(&TEXTS, other) > Some(0),
            ("varbinary", other) => place(&BLOBS, other) > Some(0),
            _ => false,
        }
    }

    fn size(&self) -> Option<usize> {
        place(&TEXTS, &self.base).or_else(|| place(&BLOBS, &self.base))
    }

    fn number(&self, at: usize) -> Option<u64> {
        let text = std::str::from_utf8(&self.arguments).ok()?;
        text.split(',').nth(at)?.trim().parse().ok()
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)?;
        if !self.arguments.is_empty() {
            write!(f, "({})", String::from_utf8_lossy(&self.arguments).escape_debug())?;
        }
        if self.unsigned {
            f.write_str(" unsigned")?;
        }
        match &self.charset {
            Some(charset) => write!(f, " in {charset}"),
            None => Ok(()),
        }
    }
}

/// What stands between the parentheses that come next, if they do.
fn arguments(tokens: &mut Tokens<'_>) -> Option<Range<usize>> {
    let before = tokens.at;
    let Some(open) = tokens.next().filter(|token| token.kind == TokenKind::Mark(b'(')) else {
        tokens.at = before;
        return None;
    };
    loop {
        let token = tokens.next()?;
        if token.kind == TokenKind::Mark(b')') {
            return Some(open.at.end..token.at.start);
        }
    }
}

/// `CHARSET=`, or `COLLATE=` alone, behind the columns.
fn charset_of_table(create: &[u8]) -> Option<String> {
    let mut tokens = Tokens { sql: create, at: 0 };
    let mut of_collation = None;
    while let Some(token) = tokens.next() {
        let is_charset = token.is(create, "CHARSET");
        if !is_charset && !token.is(create, "COLLATE") {
            continue;
        }
        if tokens.next()?.kind != TokenKind::Mark(b'=') {
            continue;
        }
        let value = lower(create.get(tokens.next()?.at)?);
        if is_charset {
            return Some(renamed(value));
        }
        of_collation = Some(charset_of_collation(&value));
    }
    of_collation
}

fn charset_of_collation(collation: &str) -> String {
    collation.split('_').next().unwrap_or_default().to_owned()
}

fn is_text(base: &str) -> bool {
    matches!(base, "char" | "varchar" | "enum" | "set") || TEXTS.contains(&base)
}

/// `utf8` is what it was called once.
fn renamed(charset: String) -> String {
    if charset == "utf8" { "utf8mb3".to_owned() } else { charset }
}

fn place(types: &[&str], base: &str) -> Option<usize> {
    types.iter().position(|known| *known == base)
}

fn lower(word: &[u8]) -> String {
    String::from_utf8_lossy(word).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(column: &str) -> ColumnType {
        let sql = format!(
            "CREATE TABLE `t` (\n  `a` {column},\n  KEY `k` (`a`)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
        );
        let create = CreateTable::parse(sql.as_bytes()).unwrap();
        let types = column_types(&create);
        assert_eq!((types.len(), types[0].0), (1, &b"a"[..]));
        types[0].1.clone()
    }

    #[test]
    fn a_column_takes_the_values_of_one_that_holds_no_more() {
        let fit = [
            ("int(11) NOT NULL", "int DEFAULT NULL"),
            ("int(10) unsigned", "bigint"),
            ("decimal(10,2)", "decimal(12,3) NOT NULL"),
            ("float", "double"),
            ("varchar(5) NOT NULL", "varchar(9)"),
            ("varchar(5) CHARACTER SET utf8mb3", "mediumtext"),
            ("varchar(5) COLLATE latin1_bin", "varchar(5) CHARACTER SET latin1"),
            ("varchar(5) CHARACTER SET utf8 COLLATE utf8_bin", "varchar(5)"),
            ("text", "longtext COMMENT 'in utf8'"),
            ("datetime", "datetime(6)"),
            ("enum('a','b,\\')')", "enum('a','b,\\')','c''') DEFAULT 'a'"),
            ("year(4)", "year"),
            ("bit(8) DEFAULT b'0'", "bit(8)"),
            ("varbinary(4)", "blob"),
            ("json", "json"),
        ];
        for (dumped, live) in fit {
            assert!(of(dumped).fits(&of(dumped)), "{dumped}");
            assert!(of(dumped).fits(&of(live)), "{dumped} -> {live}");
        }
    }

    #[test]
    fn a_column_is_refused_that_would_change_values() {
        let unfit = [
            ("int", "smallint"),
            ("int", "int unsigned"),
            ("int(10) unsigned", "int(10)"),
            ("bit(8)", "int"),
            ("decimal(10,4)", "decimal(10,2)"),
            ("decimal(10,2)", "decimal(10,3)"),
            ("double", "float"),
            ("double", "int"),
            ("varchar(5)", "varchar(4)"),
            ("varchar(5)", "char(5)"),
            ("varchar(5)", "varchar(5) CHARACTER SET latin1"),
            ("varchar(5) CHARACTER SET utf16", "varchar(5)"),
            ("varchar(5)", "varbinary(20)"),
            ("text", "blob"),
            ("binary(4)", "binary(5)"),
            ("datetime(6)", "datetime"),
            ("datetime", "timestamp"),
            ("enum('a','b')", "enum('b','a')"),
            ("enum('a','b')", "enum('a')"),
            ("enum('a','b')", "enum('a','b','')"),
            ("enum('a')", "varchar(1)"),
            ("set('a')", "enum('a')"),
            ("json", "longtext"),
        ];
        for (dumped, live) in unfit {
            assert!(!of(dumped).fits(&of(live)), "{dumped} -> {live}");
        }
    }
}
