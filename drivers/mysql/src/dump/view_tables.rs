//! What a view reads, by its text.

/// Whether a view reads the table or view of that name in its own database. `create` is as `SHOW CREATE VIEW` writes it:
/// each name is in backticks, and each table stands behind `from` or `join`.
pub(super) fn reads(create: &[u8], name: &str) -> bool {
    let token = crate::quote::name(name);
    memchr::memmem::find_iter(create, token.as_bytes()).any(|at| {
        let before = create.get(..at).unwrap_or_default();
        let after = create.get(at + token.len()..).unwrap_or_default();
        // `a``b` is another name, and `a`.`b` means a table of another database.
        !after.starts_with(b"`") && !after.starts_with(b".") && is_behind_from(before)
    })
}

fn is_behind_from(before: &[u8]) -> bool {
    let end = before.iter().rposition(|byte| !byte.is_ascii_whitespace() && *byte != b'(');
    let Some(end) = end.filter(|end| end + 1 < before.len()) else { return false };
    let before = before.get(..=end).unwrap_or_default();
    ["from", "join", "FROM", "JOIN"].iter().any(|word| {
        before.strip_suffix(word.as_bytes()).is_some_and(|rest| {
            rest.last().is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'`')
                || rest.ends_with(b"straight_")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_a_view_are_found_and_columns_are_not() {
        let view = b"CREATE ALGORITHM=UNDEFINED DEFINER=`x`@`y` SQL SECURITY DEFINER VIEW `v` AS select `a`.`b` AS `c`,\
            `d``e`.`f` AS `from` from ((`a` join `d``e` on(`a`.`b` = `d``e`.`g`)) left join `other`.`h` on(1)) \
            where exists(select 1 from `i` `alias` limit 1)";
        let found: Vec<_> = ["a", "d`e", "i"].into_iter().filter(|name| reads(view, name)).collect();
        assert_eq!(found, ["a", "d`e", "i"]);
        let not: Vec<_> = ["b", "c", "d", "e", "f", "g", "h", "other", "x", "y", "v", "from"]
            .into_iter()
            .filter(|name| reads(view, name))
            .collect();
        assert_eq!(not, [""; 0]);
    }
}
