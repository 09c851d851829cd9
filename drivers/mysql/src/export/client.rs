//! Statements as the client programs read them.
//!
//! Before it sends a statement, a client acts on what stands outside of quotes and comments: a delimiter ends it, a
//! backslash begins a command of its own, which may run a program, and so does a word at its beginning. No definition has
//! such things, unless somebody tampered with the archive, or it is read otherwise than the server read it: so it is read
//! in every way in which a client may, and has to be harmless in all of them.

use dumprestore_driver::{Error, Result};
use memchr::memmem;

/// One way to read a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// A backslash in a text is an escape: not with `NO_BACKSLASH_ESCAPES`.
    in_text: bool,
    /// The same between double quotes: with `ANSI_QUOTES`, some clients know that these are names.
    in_double: bool,
    /// Bytes beyond ASCII take the next one along, which may look like a backslash or a backtick.
    in_pairs: bool,
}

impl Reading {
    /// Every way in which a client may read under these modes what is in that character set.
    pub(super) fn all(mode: &str, charset: &str) -> Vec<Self> {
        let is_set = |name: &str| mode.split(',').any(|mode| mode.eq_ignore_ascii_case(name));
        let in_text = !is_set("NO_BACKSLASH_ESCAPES");
        let doubles: &[bool] = if in_text && is_set("ANSI_QUOTES") { &[true, false] } else { &[in_text] };
        let is_paired = ["big5", "cp932", "gb18030", "gbk", "sjis"].contains(&charset);
        let pairs: &[bool] = if is_paired { &[false, true] } else { &[false] };
        doubles
            .iter()
            .flat_map(|in_double| {
                pairs.iter().map(move |in_pairs| Self { in_text, in_double: *in_double, in_pairs: *in_pairs })
            })
            .collect()
    }
}

/// Looks whether all of it goes to the server, as one statement, in each of these readings.
///
/// # Errors
/// If there is a backslash outside of quotes, or a quote or a comment that does not end; if it defines nothing.
pub(super) fn check(sql: &[u8], readings: &[Reading]) -> Result<()> {
    let is_definition = sql.get(..7).is_some_and(|begin| begin.eq_ignore_ascii_case(b"CREATE "));
    let is_harmless = is_definition && readings.iter().all(|reading| Scan::new(sql, *reading).harmless());
    if is_harmless { Ok(()) } else { Err(refused(sql)) }
}

/// One that does not stand in it.
pub(super) fn delimiter(sql: &[u8]) -> String {
    let usual = [";;", "$$", "//"].into_iter().map(str::to_owned);
    let mut all = usual.chain((1_u64..).map(|nth| format!("<{nth}>")));
    all.find(|delimiter| memmem::find(sql, delimiter.as_bytes()).is_none()).unwrap_or_default()
}

fn refused(sql: &[u8]) -> Error {
    let beginning = sql.get(..60).unwrap_or(sql);
    Error::archive("a definition in the archive can't be written for a client program")
        .with_context("at", beginning.escape_ascii())
        .with_hint(
            "it holds a command of the client, or a quote or comment that does not end: `restore` does without a client",
        )
}

/// Goes over a statement, piece by piece.
pub(super) struct Scan<'a> {
    sql: &'a [u8],
    at: usize,
    reading: Reading,
    /// Within `/*! … */`, which is read as if it were none: where it ends.
    conditional: Option<usize>,
}

impl<'a> Scan<'a> {
    fn new(sql: &'a [u8], reading: Reading) -> Self {
        Self { sql, at: 0, reading, conditional: None }
    }

    /// Of what servers print themselves.
    pub(super) fn plain(sql: &'a [u8]) -> Self {
        Self::new(sql, Reading { in_text: true, in_double: true, in_pairs: false })
    }

    /// Whether all of it was passed.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.sql.len()
    }

    fn harmless(mut self) -> bool {
        while self.at < self.sql.len() {
            if self.piece().is_none() {
                return false;
            }
        }
        self.conditional.is_none()
    }

    /// Passes the next piece and gives it: what is quoted or a comment as a whole, a word, or a character. `None`: it must
    /// not be there, or there is nothing more.
    pub(super) fn piece(&mut self) -> Option<&'a [u8]> {
        let rest = self.sql.get(self.at..)?;
        if self.conditional == Some(self.at) {
            self.conditional = None;
            return self.pass(2);
        }
        let first = *rest.first()?;
        let length = match first {
            b'\\' if rest.get(1) == Some(&b'N') => 2,
            b'\\' => return None,
            b'\'' => quoted(rest, first, self.reading.in_text, self.reading.in_pairs)?,
            b'"' => quoted(rest, first, self.reading.in_double, self.reading.in_pairs)?,
            b'`' => quoted(rest, first, false, self.reading.in_pairs)?,
            b'#' => to_the_end_of_the_line(rest),
            b'-' if begins_comment(rest) => to_the_end_of_the_line(rest),
            b'/' if rest.starts_with(b"/*") => self.comment(rest)?,
            b'\t' | b'\n' | b'\r' => 1,
            first if first.is_ascii_control() => return None,
            first if !first.is_ascii() && self.reading.in_pairs && rest.len() > 1 => 2,
            first if is_of_word(first) => {
                rest.iter().position(|byte| !is_of_word(*byte)).unwrap_or(rest.len())
            }
            _ => 1,
        };
        // What is read as `*/` within quotes ends a comment for those who skip it.
        if self.conditional.is_some_and(|end| self.at + length > end) {
            return None;
        }
        self.pass(length)
    }

    fn pass(&mut self, length: usize) -> Option<&'a [u8]> {
        let passed = self.sql.get(self.at..self.at + length)?;
        self.at += length;
        Some(passed)
    }

    /// A comment as a whole; of one whose content is for some servers, the beginning.
    fn comment(&mut self, rest: &[u8]) -> Option<usize> {
        let content = memmem::find(rest.get(2..)?, b"*/")? + 2;
        // None ends within another, in every client alike.
        if self.conditional.is_some() || memmem::find(rest.get(2..content)?, b"/*").is_some() {
            return None;
        }
        if rest.starts_with(b"/*!") || rest.starts_with(b"/*M!") {
            self.conditional = Some(self.at + content);
            return Some(3);
        }
        let is_hint = rest.starts_with(b"/*+");
        let acts = |byte: &u8| b"'\"`\\;".contains(byte);
        (!(is_hint && rest.get(..content)?.iter().any(acts))).then_some(content + 2)
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

fn begins_comment(rest: &[u8]) -> bool {
    rest.starts_with(b"--") && rest.get(2).is_none_or(u8::is_ascii_whitespace)
}

fn to_the_end_of_the_line(rest: &[u8]) -> usize {
    memchr::memchr(b'\n', rest).unwrap_or(rest.len())
}

/// How long it is, from its first quote on. A quote that is doubled is two of them.
fn quoted(rest: &[u8], quote: u8, escapes: bool, in_pairs: bool) -> Option<usize> {
    let mut at = 1;
    loop {
        match *rest.get(at)? {
            0 => return None,
            byte if byte == quote => return Some(at + 1),
            b'\\' if escapes => at += 2,
            byte if in_pairs && !byte.is_ascii() => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_fine(sql: &str, mode: &str) -> bool {
        check(sql.as_bytes(), &Reading::all(mode, "utf8mb4")).is_ok()
    }

    #[test]
    fn definitions_pass() {
        for sql in [
            "CREATE TABLE `a\n\\! touch x` (b text DEFAULT 'it''s \\' ; \\\\')",
            "create procedure p() begin -- it's; \\! x\n select \\N, 'a\nDELIMITER //\n', \"\\\"\"; # '\n end",
            "CREATE VIEW v AS select /* it's \\! */ /*! 1 ,*/ 2 /*+ NO_ICP(t) */ -- ",
            "CREATE VIEW v AS select 1--1, 2 - -1, 4/2*3, 'größe'",
        ] {
            assert!(is_fine(sql, ""), "{sql:?}");
        }
    }

    #[test]
    fn what_a_client_would_act_on_is_refused() {
        for sql in [
            "CREATE VIEW v AS select 1;\n\\! touch x\n",
            "CREATE VIEW v AS select 1 \\g",
            "CREATE VIEW v AS select 'a",
            "CREATE VIEW v AS select `a",
            "CREATE VIEW v AS select 'a\\'",
            "CREATE VIEW v AS select /* /* */ 1",
            "CREATE VIEW v AS select /*! '*/ \\! touch x '*/ 1",
            "CREATE VIEW v AS select /*M! '*/ \\! touch x '*/ 1",
            "CREATE VIEW v AS select /*+ ' */ \\! touch x -- ' */ 1",
            "CREATE VIEW v AS select /*!1 /* x */ */ 1",
            "CREATE VIEW v AS select /*! 1",
            "CREATE VIEW v AS select --1\\! touch x",
            "CREATE VIEW v AS select 'a\0b'",
            "system touch x",
            "-- x\nsystem touch x",
            "CREATE\u{1}VIEW",
            "",
        ] {
            assert!(!is_fine(sql, ""), "{sql:?}");
        }
    }

    #[test]
    fn modes_decide_where_a_text_ends() {
        let sql = "CREATE VIEW v AS select 'a\\', '\\! touch x '";
        assert!(!is_fine(sql, "") && is_fine(sql, "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"), "{sql}");
        let sql = "CREATE VIEW v AS select \"a\\\", \" \\! touch x \"";
        assert!(!is_fine(sql, "ANSI_QUOTES"), "{sql}");
        let sql = b"CREATE VIEW v AS select '\x95\\' \\! touch x '";
        assert!(check(sql, &Reading::all("", "latin1")).is_ok());
        assert!(check(sql, &Reading::all("", "sjis")).is_err());
    }

    #[test]
    fn a_delimiter_stands_nowhere_in_the_statement() {
        assert_eq!(delimiter(b"a; b"), ";;");
        assert_eq!(delimiter(b"a ;; $$ //"), "<1>");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn bytes_of_any_kind_are_refused_or_pass(sql in "CREATE [`'\"\\\\/*!M+#\\- a;\n]{0,40}") {
            for reading in Reading::all("ANSI_QUOTES", "sjis") {
                let _ = check(sql.as_bytes(), &[reading]);
            }
        }

        #[test]
        fn a_quoted_name_of_any_characters_passes(name in "[^\0]{0,12}") {
            let sql = format!("CREATE TABLE {} (a int)", crate::quote::name(&name));
            prop_assert!(is_fine(&sql, ""));
        }
    }
}
