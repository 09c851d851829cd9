//! The beginning of a stored statement, taken apart: `CREATE … DEFINER=… TRIGGER shop.t BEFORE INSERT ON shop.x …`.
//!
//! What a user wrote with the name of a database in it must not be made there, but where it is restored; who may not set
//! a definer leaves it out; and an event must not run before it is live. Nothing else is changed, byte for byte.

use std::ops::Range;

use dumprestore_driver::{Error, Result};

use crate::archived::RoutineKind;
use crate::quote;

/// What a statement makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    Sequence,
    View,
    Trigger,
    Routine(RoutineKind),
    Event,
}

/// How the statement is to differ from how it was archived.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Changed<'a> {
    /// Without its definer: it is then whoever makes it.
    pub(crate) without_definer: bool,
    /// `CREATE OR REPLACE`.
    pub(crate) or_replace: bool,
    /// What stands for `ENABLE` or `DISABLE` of an event.
    pub(crate) status: Option<&'a [u8]>,
    /// What stands for `DEFINER=…`, to the space behind it.
    pub(crate) definer: Option<&'a [u8]>,
    /// `DEFINER` or `INVOKER`: as whom a view runs.
    pub(crate) security: Option<&'a [u8]>,
    /// What stands for its name, quoted.
    pub(crate) name: Option<&'a [u8]>,
    /// What stands for the table of a trigger, quoted.
    pub(crate) table: Option<&'a [u8]>,
}

/// Where in a statement its parts are.
#[derive(Debug, Default)]
struct Head {
    /// Behind `CREATE`.
    create: usize,
    or_replace: Option<Range<usize>>,
    definer: Option<Range<usize>>,
    if_not_exists: Option<Range<usize>>,
    /// Names of databases, with their dots.
    qualifiers: Vec<Range<usize>>,
    status: Option<Range<usize>>,
    security: Option<Range<usize>>,
    /// Without the database, as that of its table.
    name: Option<Range<usize>>,
    table: Option<Range<usize>>,
}

/// The statement, to be carried out in the database that is restored into.
///
/// # Errors
/// If it makes something else than what it is archived as.
pub(crate) fn statement(kind: Kind, sql: &[u8], changed: Changed<'_>) -> Result<Vec<u8>> {
    let head = Head::read(kind, sql).ok_or_else(|| {
        Error::archive("a definition is not what it is archived as")
            .with_context("statement", String::from_utf8_lossy(sql.get(..80).unwrap_or(sql)))
    })?;
    let mut edits: Vec<(Range<usize>, &[u8])> = Vec::new();
    edits.extend(head.or_replace.map(|at| (at, &b""[..])));
    if changed.or_replace {
        edits.push((head.create..head.create, b" OR REPLACE"));
    }
    let definer = if changed.without_definer { Some(&b""[..]) } else { changed.definer };
    edits.extend(head.definer.zip(definer));
    edits.extend(head.if_not_exists.map(|at| (at, &b""[..])));
    edits.extend(head.qualifiers.into_iter().map(|at| (at, &b""[..])));
    let others = [
        (head.status, changed.status),
        (head.security, changed.security),
        (head.name, changed.name),
        (head.table, changed.table),
    ];
    edits.extend(others.into_iter().filter_map(|(at, by)| at.zip(by)));
    edits.sort_by_key(|(at, _)| at.start);
    let mut edited = Vec::with_capacity(sql.len() + 16);
    let mut from = 0;
    for (at, by) in edits {
        edited.extend_from_slice(sql.get(from..at.start).unwrap_or_default());
        edited.extend_from_slice(by);
        from = at.end;
    }
    edited.extend_from_slice(sql.get(from..).unwrap_or_default());
    Ok(edited)
}

/// Whose a thing is: `DEFINER=…`, to the space behind it.
pub(crate) fn definer(kind: Kind, sql: &[u8]) -> Option<&[u8]> {
    sql.get(Head::read(kind, sql)?.definer?)
}

/// As whom a view runs: `DEFINER`, `INVOKER`.
pub(crate) fn security(sql: &[u8]) -> Option<&[u8]> {
    sql.get(Head::read(Kind::View, sql)?.security?)
}

/// The table of a trigger, as it stands there.
pub(crate) fn table(sql: &[u8]) -> Option<&[u8]> {
    sql.get(Head::read(Kind::Trigger, sql)?.table?)
}

/// What stands in an event for whether it runs: `ENABLE`, `DISABLE`, `DISABLE ON SLAVE`.
pub(crate) fn status(sql: &[u8]) -> Option<&[u8]> {
    sql.get(Head::read(Kind::Event, sql)?.status?)
}

impl Head {
    fn read(kind: Kind, sql: &[u8]) -> Option<Self> {
        let mut tokens = Tokens { sql, at: 0 };
        let mut head = Self::default();
        let create = tokens.next()?;
        create.is(sql, "CREATE").then_some(())?;
        head.create = create.at.end;
        loop {
            let token = tokens.next()?;
            let word = token.word(sql)?.to_ascii_uppercase();
            match word.as_slice() {
                b"OR" => head.or_replace = Some(head.create..tokens.next()?.at.end),
                b"ALGORITHM" => {
                    tokens.next()?;
                    tokens.next()?;
                }
                b"SQL" => {
                    tokens.next()?;
                    head.security = Some(tokens.next()?.at);
                }
                b"DEFINER" => head.definer = Some(token.at.start..tokens.definer()?),
                b"AGGREGATE" => {}
                b"JSON" if kind == Kind::View => {
                    tokens.next()?.is(sql, "RELATIONAL").then_some(())?;
                    tokens.next()?.is(sql, "DUALITY").then_some(())?;
                }
                other => {
                    head.expect(kind, other, &mut tokens)?;
                    break;
                }
            }
        }
        head.name = Some(head.name(&mut tokens)?);
        match kind {
            Kind::Trigger => {
                while !tokens.next()?.is(sql, "ON") {}
                head.table = Some(head.name(&mut tokens)?);
            }
            Kind::Event => head.status = tokens.status(),
            _ => {}
        }
        is_plain(sql, tokens.at).then_some(head)
    }

    fn expect(&mut self, kind: Kind, word: &[u8], tokens: &mut Tokens<'_>) -> Option<()> {
        let expected: &[&str] = match kind {
            Kind::Table => &["TABLE"],
            Kind::Sequence => &["SEQUENCE"],
            Kind::View => &["VIEW"],
            Kind::Trigger => &["TRIGGER"],
            Kind::Event => &["EVENT"],
            Kind::Routine(RoutineKind::Function) => &["FUNCTION"],
            Kind::Routine(RoutineKind::Procedure) => &["PROCEDURE"],
            Kind::Routine(RoutineKind::Package) => &["PACKAGE"],
            Kind::Routine(RoutineKind::PackageBody) => &["PACKAGE", "BODY"],
        };
        let (first, rest) = expected.split_first()?;
        word.eq_ignore_ascii_case(first.as_bytes()).then_some(())?;
        for word in rest {
            tokens.next()?.is(tokens.sql, word).then_some(())?;
        }
        let before = tokens.at;
        match tokens.next() {
            Some(token) if token.is(tokens.sql, "IF") => {
                tokens.next()?;
                self.if_not_exists = Some(token.at.start..tokens.next()?.at.end);
            }
            _ => tokens.at = before,
        }
        Some(())
    }

    /// Passes over a name, and notes the database in it.
    fn name(&mut self, tokens: &mut Tokens<'_>) -> Option<Range<usize>> {
        let first = tokens.next()?;
        first.is_name().then_some(())?;
        let before = tokens.at;
        match tokens.next() {
            Some(dot) if dot.kind == TokenKind::Mark(b'.') => {
                self.qualifiers.push(first.at.start..dot.at.end);
                let second = tokens.next()?;
                second.is_name().then_some(())?;
                Some(second.at)
            }
            _ => {
                tokens.at = before;
                Some(first.at)
            }
        }
    }
}

/// Whether all servers read the same up to there: not what stands in comments of which they carry out the content. A server
/// shows none of them here.
fn is_plain(sql: &[u8], end: usize) -> bool {
    let mut tokens = Tokens { sql: sql.get(..end).unwrap_or(sql), at: 0 };
    let mut from = 0;
    while let Some(token) = tokens.next() {
        let between = sql.get(from..token.at.start).unwrap_or_default();
        if [&b"/*!"[..], b"/*M!"].iter().any(|opened| memchr::memmem::find(between, opened).is_some()) {
            return false;
        }
        from = token.at.end;
    }
    true
}

/// What kind of a [`Token`] it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    Quoted,
    Mark(u8),
}

/// A word, something quoted, or another character.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) at: Range<usize>,
}

impl Token {
    fn word<'a>(&self, sql: &'a [u8]) -> Option<&'a [u8]> {
        (self.kind == TokenKind::Word).then(|| sql.get(self.at.clone()).unwrap_or_default())
    }

    pub(super) fn is(&self, sql: &[u8], word: &str) -> bool {
        self.word(sql).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
    }

    fn is_name(&self) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::Quoted)
    }
}

/// Goes over a statement.
pub(super) struct Tokens<'a> {
    pub(super) sql: &'a [u8],
    pub(super) at: usize,
}

impl Tokens<'_> {
    pub(super) fn next(&mut self) -> Option<Token> {
        self.skip_space();
        let start = self.at;
        let first = *self.sql.get(start)?;
        let kind = match first {
            b'`' | b'\'' | b'"' => {
                self.at = quote::behind(self.sql, self.at, first);
                TokenKind::Quoted
            }
            byte if is_of_word(byte) => {
                while self.sql.get(self.at).is_some_and(|byte| is_of_word(*byte)) {
                    self.at += 1;
                }
                TokenKind::Word
            }
            byte => {
                self.at += 1;
                TokenKind::Mark(byte)
            }
        };
        Some(Token { kind, at: start..self.at })
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.sql.get(self.at..).unwrap_or_default();
            let to_end_of =
                |end: &[u8]| memchr::memmem::find(rest, end).map_or(rest.len(), |at| at + end.len());
            self.at += match rest {
                [b'/', b'*', ..] => to_end_of(b"*/"),
                [b'#', ..] | [b'-', b'-', b' ' | b'\n' | b'\t', ..] => to_end_of(b"\n"),
                [byte, ..] if byte.is_ascii_whitespace() => 1,
                _ => return,
            };
        }
    }

    /// Passes over ``=`user`@`host` ``, or a role, or `CURRENT_USER()`, and gives where the next word begins.
    fn definer(&mut self) -> Option<usize> {
        (self.next()?.kind == TokenKind::Mark(b'=')).then_some(())?;
        self.next()?.is_name().then_some(())?;
        loop {
            let before = self.at;
            match self.next()?.kind {
                TokenKind::Mark(b'@') => {
                    self.next()?.is_name().then_some(())?;
                }
                TokenKind::Mark(b'(' | b')') => {}
                _ => {
                    self.at = before;
                    self.skip_space();
                    return Some(self.at);
                }
            }
        }
    }

    /// Where an event says whether it runs.
    fn status(&mut self) -> Option<Range<usize>> {
        loop {
            let token = self.next()?;
            if token.is(self.sql, "DO") {
                return None;
            }
            if token.is(self.sql, "ENABLE") {
                return Some(token.at);
            }
            if token.is(self.sql, "DISABLE") {
                let mut end = token.at.end;
                if self.next()?.is(self.sql, "ON") {
                    end = self.next()?.at.end;
                }
                return Some(token.at.start..end);
            }
        }
    }
}

/// Bytes of no ASCII character belong to names as well.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(kind: Kind, sql: &str, changed: Changed<'_>) -> String {
        String::from_utf8(statement(kind, sql.as_bytes(), changed).unwrap()).unwrap()
    }

    #[test]
    fn a_trigger_is_made_where_it_is_restored_whatever_database_its_text_names() {
        let shown = "CREATE DEFINER=`ro``ot`@`%` trigger IF NOT EXISTS `shop`. tr /* ON x */ before insert on shop.`t`\n\
            for each row insert into shop.log values ('on')";
        assert_eq!(
            told(Kind::Trigger, shown, Changed { without_definer: true, ..Changed::default() }),
            "CREATE trigger   tr /* ON x */ before insert on `t`\nfor each row insert into shop.log values ('on')"
        );
        assert!(
            told(Kind::Trigger, shown, Changed::default()).starts_with("CREATE DEFINER=`ro``ot`@`%` trigger")
        );
    }

    #[test]
    fn an_event_is_told_whether_to_run() {
        let shown = "CREATE DEFINER=`a`@`b` EVENT `ENABLE` ON SCHEDULE EVERY 1 DAY STARTS '2026-01-01 00:00:00' ON \
            COMPLETION NOT PRESERVE DISABLE ON SLAVE COMMENT 'it''s ENABLE' DO select 'ENABLE'";
        assert_eq!(status(shown.as_bytes()), Some(&b"DISABLE ON SLAVE"[..]));
        let enabled = told(Kind::Event, shown, Changed { status: Some(b"ENABLE"), ..Changed::default() });
        assert_eq!(enabled, shown.replace("DISABLE ON SLAVE", "ENABLE"));
    }

    #[test]
    fn views_and_routines_are_replaced_on_demand() {
        let view =
            "CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY DEFINER VIEW `v` AS select 1";
        let changed = Changed { or_replace: true, without_definer: true, ..Changed::default() };
        assert_eq!(
            told(Kind::View, view, changed),
            "CREATE OR REPLACE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v` AS select 1"
        );
        let renamed = Changed { security: Some(b"INVOKER"), name: Some(b"`w`"), ..Changed::default() };
        assert_eq!(security(view.as_bytes()), Some(&b"DEFINER"[..]));
        assert_eq!(definer(Kind::View, view.as_bytes()), Some(&b"DEFINER=`root`@`localhost` "[..]));
        assert_eq!(
            told(Kind::View, &view.replace("`v`", "`x`.`v`"), renamed),
            "CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY INVOKER VIEW `w` AS select 1"
        );
        let function = "CREATE DEFINER=CURRENT_USER() AGGREGATE FUNCTION `f`() RETURNS int RETURN 1";
        let kind = Kind::Routine(RoutineKind::Function);
        assert_eq!(
            told(kind, function, changed),
            "CREATE OR REPLACE AGGREGATE FUNCTION `f`() RETURNS int RETURN 1"
        );
        let body = "CREATE DEFINER=`r`@`h` PACKAGE BODY `p` AS END";
        assert_eq!(told(Kind::Routine(RoutineKind::PackageBody), body, Changed::default()), body);
    }

    #[test]
    fn what_is_something_else_is_refused() {
        for (kind, sql) in [
            (Kind::View, "DROP DATABASE shop"),
            (Kind::View, "CREATE TABLE `v` (a int)"),
            (Kind::Table, "CREATE DATABASE x"),
            (Kind::Trigger, "CREATE TRIGGER t"),
            (Kind::Event, ""),
            (Kind::View, "/*!50000 DROP DATABASE x #*/ CREATE VIEW v AS\n*/"),
            (Kind::Table, "CREATE /*M!100100 DATABASE x #*/ TABLE t (\n*/"),
        ] {
            assert!(statement(kind, sql.as_bytes(), Changed::default()).is_err(), "{sql}");
        }
        let named = "CREATE TABLE `/*!t` (a int /*!80023 INVISIBLE */)";
        assert_eq!(told(Kind::Table, named, Changed::default()), named);
        let elsewhere = told(Kind::Table, "CREATE TABLE `live`.`t` (a int)", Changed::default());
        assert_eq!(elsewhere, "CREATE TABLE `t` (a int)");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn statements_of_any_kind_are_an_error_or_a_statement(text in "(CREATE|EVENT|DEFINER=|TRIGGER|ON|DO|[`'\"/*a. @#\\-\\\\])*") {
            for kind in [Kind::View, Kind::Trigger, Kind::Event, Kind::Routine(RoutineKind::PackageBody)] {
                let _ = statement(kind, text.as_bytes(), Changed { status: Some(b"x"), ..Changed::default() });
            }
        }
    }
}
