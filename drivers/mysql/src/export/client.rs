//! Statements as the client programs read them.
//!
//! Before it sends a statement, a client acts on what stands outside of quotes and comments: a delimiter ends it, a
//! backslash begins a command of its own, which may run a program, and so does a word at its beginning. No definition has
//! such things, unless somebody tampered with the archive, or it is read otherwise than the server read it: so it is read
//! in every way in which a client may, and has to be harmless in all of them.

use dumprestore_driver::{Error, Result};
use memchr::memmem;

use crate::scan::{Reading, Scan};

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
