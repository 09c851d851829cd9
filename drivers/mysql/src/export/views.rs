//! The order of views: what a view reads comes before it.

use std::collections::{BTreeMap, BTreeSet};

use crate::archived::View;
use crate::scan::pieces;

/// Puts views behind those that they read.
pub(super) fn by_references<'a>(views: &[&'a View]) -> Vec<&'a View> {
    let all: BTreeMap<&str, &'a View> = views.iter().map(|view| (view.name.as_str(), *view)).collect();
    let mut ordered: Vec<&'a View> = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for view in views {
        let mut path = vec![(*view, false)];
        while let Some((view, is_after)) = path.pop() {
            if is_after {
                ordered.push(view);
            } else if seen.insert(&view.name) {
                path.push((view, true));
                let read = relations(view.create.as_bytes());
                path.extend(read.iter().filter_map(|name| Some((*all.get(name.as_str())?, false))));
            }
        }
    }
    ordered
}

/// Those that are meant, with all that read one of them, and by way of others too; and the rest. `ordered`: each behind those
/// that it reads.
pub(super) fn with_all_upon(
    ordered: Vec<&View>,
    is_meant: impl Fn(&View) -> bool,
) -> (Vec<&View>, Vec<&View>) {
    let mut names = BTreeSet::new();
    ordered.into_iter().partition(|view| {
        let is_upon = || relations(view.create.as_bytes()).iter().any(|name| names.contains(name));
        let is_one = is_meant(view) || is_upon();
        if is_one {
            names.insert(view.name.clone());
        }
        is_one
    })
}

/// What a view reads, and perhaps some columns: whatever stands in backticks where a table may stand, as a server prints it.
fn relations(sql: &[u8]) -> BTreeSet<String> {
    let mut pieces = pieces(sql).unwrap_or_default();
    pieces.retain(|piece| !piece.iter().all(u8::is_ascii_whitespace));
    let before = |at: usize| at.checked_sub(1).and_then(|at| pieces.get(at)).copied().unwrap_or_default();
    let may_come_after = |word: &[u8]| {
        [b"from".as_slice(), b"join", b"straight_join", b"(", b","]
            .iter()
            .any(|keyword| word.eq_ignore_ascii_case(keyword))
    };
    let is_relation =
        |at: usize| may_come_after(before(at)) && !matches!(pieces.get(at + 1).copied(), Some(b"." | b"("));
    let named = pieces.iter().enumerate().filter(|(at, piece)| piece.starts_with(b"`") && is_relation(*at));
    named
        .filter_map(|(_, piece)| {
            let inner = piece.strip_prefix(b"`")?.strip_suffix(b"`")?;
            Some(String::from_utf8_lossy(inner).replace("``", "`"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archived::{Made, Sql};

    fn view(name: &str, select: &str) -> View {
        let create = Sql::new(format!("CREATE VIEW {} AS {select}", crate::quote::name(name)).into_bytes());
        View { name: name.to_owned(), create, made: Made::default(), broken: false, of_nothing: false }
    }

    #[test]
    fn all_that_reads_a_view_goes_with_it() {
        let views = [
            view("a", "select 1 AS `x` from `t`"),
            view("b", "select 1 AS `a` from `other`.`a` join `c`"),
            view("d", "select 1 from `e`"),
            view("e", "select 1 from `a`"),
            view("f`g", "select 1 from `e`"),
            view("h", "select 1 from `f``g`"),
            view("c", "select 1 from `t`"),
        ];
        let ordered = by_references(&views.iter().collect::<Vec<_>>());
        let (upon, rest) = with_all_upon(ordered, |view| view.name == "a");
        let names = |views: &[&View]| views.iter().map(|view| view.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&upon), names(&rest)),
            (
                vec!["a".into(), "e".into(), "d".into(), "f`g".into(), "h".into()],
                vec!["c".into(), "b".into()]
            )
        );
    }

    #[test]
    fn a_view_comes_behind_what_it_reads() {
        let views = [
            view("a", "select `c`.`x` AS `b` from (`t` join `c` on(`t`.`b` = `b`(1)))"),
            view("b", "select max(`a`.`x`) AS `m` from `a` `c` where exists(select 1 from `d`)"),
            view("c", "select 'from `b`' AS `a` from `t` `a`"),
            view("d", "select 1 AS `d`"),
        ];
        let ordered = by_references(&views.iter().collect::<Vec<_>>());
        assert_eq!(ordered.iter().map(|view| view.name.as_str()).collect::<Vec<_>>(), ["c", "a", "d", "b"]);
    }
}
