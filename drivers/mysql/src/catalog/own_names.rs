//! The name of its own database in the text of a view.
//!
//! MariaDB leaves it out, but not before a sequence, and nowhere if the view reads another database as well, itself or by
//! way of other views. Made under another name, such a view would go on to read the database that it was dumped from.

use crate::quote;
use crate::scan::pieces;

/// The text of a view, as the server prints it, without the name of its own database before names of tables, columns,
/// functions and sequences. What can't be read to its end stays as it is.
///
/// ``own`.`a`.`b`` is a column of a table of the database. ``own`.`a`` is a table or a function where one may stand, and
/// elsewhere a column of a table that goes by the name of the database in this query.
pub(super) fn without_own(sql: &[u8], own: &str) -> Vec<u8> {
    let own = quote::name(own);
    let Some(pieces) = pieces(sql) else { return sql.to_vec() };
    let text = Text { tokens: pieces.iter().copied().filter(|piece| !is_space(piece)).collect() };
    let mut out = Vec::with_capacity(sql.len());
    let (mut at, mut left_out) = (0, 0);
    for piece in pieces {
        if !is_space(piece) {
            if piece == own.as_bytes() && text.is_of_own(at) {
                left_out = 2;
            }
            at += 1;
        }
        match left_out {
            0 => out.extend_from_slice(piece),
            _ => left_out -= 1,
        }
    }
    out
}

fn is_space(piece: &[u8]) -> bool {
    piece.iter().all(u8::is_ascii_whitespace)
}

struct Text<'a> {
    tokens: Vec<&'a [u8]>,
}

impl Text<'_> {
    fn at(&self, at: usize) -> &[u8] {
        self.tokens.get(at).copied().unwrap_or_default()
    }

    fn before(&self, at: usize, by: usize) -> &[u8] {
        at.checked_sub(by).map_or(b"", |at| self.at(at))
    }

    fn is_word(&self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.at(at).eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Whether what stands there is the name of a database, with its point and what it is of behind it.
    fn is_of_own(&self, at: usize) -> bool {
        let is_name = |at: usize| self.at(at).starts_with(b"`");
        if self.before(at, 1) == b"." || self.at(at + 1) != b"." || !is_name(at + 2) {
            return false;
        }
        let behind = self.at(at + 3);
        behind == b"." && is_name(at + 4)
            || behind == b"("
            || self.is_argument_of(at, &["nextval", "lastval", "setval"])
            || self.is_of_tables(at)
    }

    /// Whether it is the first one of a function.
    fn is_argument_of(&self, at: usize, functions: &[&str]) -> bool {
        self.before(at, 1) == b"(" && at.checked_sub(2).is_some_and(|at| self.is_word(at, functions))
    }

    /// Whether a table stands there.
    fn is_of_tables(&self, mut at: usize) -> bool {
        while self.before(at, 1) == b"(" {
            at -= 1;
        }
        let Some(at) = at.checked_sub(1) else { return false };
        self.is_word(at, &["join", "straight_join"])
            || self.is_word(at, &["from"]) && !self.is_of_function(at)
    }

    /// Whether a `from` is that of `extract(… from …)` or `trim(… from …)`.
    fn is_of_function(&self, mut at: usize) -> bool {
        let mut depth = 0_usize;
        while at > 0 {
            at -= 1;
            match self.at(at) {
                b")" => depth += 1,
                b"(" if depth == 0 => {
                    return at.checked_sub(1).is_some_and(|at| self.is_word(at, &["extract", "trim"]));
                }
                b"(" => depth -= 1,
                _ => {}
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn local(sql: &str) -> String {
        String::from_utf8(without_own(sql.as_bytes(), "o`n")).unwrap()
    }

    /// Each as MariaDB 10.11 prints it, but for the name.
    #[test]
    fn a_view_names_its_own_database_no_more() {
        for (sql, without) in [
            (
                "VIEW `mix` AS select `o``n`.`t`.`id` AS `id`,`f`(`o``n`.`t`.`id`) AS `f` from (`o``n`.`t` join `crm`.`c` \
                 on(`crm`.`c`.`id` = `o``n`.`t`.`id`))",
                "VIEW `mix` AS select `t`.`id` AS `id`,`f`(`t`.`id`) AS `f` from (`t` join `crm`.`c` on(`crm`.`c`.`id` = `t`.`id`))",
            ),
            (
                "VIEW `b` AS select `mix`.`id` AS `id` from `o``n`.`mix`",
                "VIEW `b` AS select `mix`.`id` AS `id` from `mix`",
            ),
            (
                "VIEW `n` AS select nextval(`o``n`.`s`) AS `n`,`o``n`.`f`(1) AS `f` from `crm`.`c`",
                "VIEW `n` AS select nextval(`s`) AS `n`,`f`(1) AS `f` from `crm`.`c`",
            ),
            (
                "VIEW `j` AS select 1 from ((`o``n`.`t` join `o``n`.`a`) left join (`crm`.`c` join `o``n`.`a` `a2`) on(1)) \
                 where exists(select 1 from `o``n`.`a` limit 1)",
                "VIEW `j` AS select 1 from ((`t` join `a`) left join (`crm`.`c` join `a` `a2`) on(1)) \
                 where exists(select 1 from `a` limit 1)",
            ),
        ] {
            assert_eq!(local(sql), without);
        }
    }

    #[test]
    fn what_only_looks_like_its_name_stays() {
        for sql in [
            // A table goes by that name.
            "VIEW `v` AS select `o``n`.`id` AS `o``n`,(`o``n`.`a`) from (`crm`.`t` `o``n` join `crm`.`c` on(`c`.`id` = `o``n`.`id`))",
            "VIEW `v` AS select extract(year from `o``n`.`d`),trim(both 'x' from (`o``n`.`id`)) from `crm`.`t` `o``n`",
            "VIEW `v` AS select 'from `o``n`.`t`' AS `from ``o````n``.``t``` from `crm`.`o``n`",
            "VIEW `v` AS select `crm`.`o``n`.`id` from `crm`.`o``n`",
            "VIEW `v` AS select 1 from `o`.`n`",
            "VIEW `v` AS select `o``n`.`t`.`id` from `o``n`.`t` where 'a",
        ] {
            assert_eq!(local(sql), sql);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn texts_of_any_kind_are_read(sql in "(from|join|extract|`o``n`|`a`|[`'\"().,* \\\\])*") {
            prop_assert!(local(&sql).len() <= sql.len());
        }
    }
}
