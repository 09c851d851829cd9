//! Statements as `psql` reads them.
//!
//! Before it sends a statement, `psql` acts on what stands outside of quotes: a backslash begins a command of its own,
//! which may run a program, and a colon before a name the value of a variable. A definition has neither, unless somebody
//! tampered with the server or the archive; but a colon may come before a name in the bounds of a slice.
//!
//! Where quotes end depends on the session: a function that is called while rows are copied may turn
//! `standard_conforming_strings` off, and `psql` follows. So a text with a backslash is written as `E'…'`, which ends at
//! the same place in any case.

use dumprestore_driver::{Error, Result};

/// The same statements, with nothing in them that `psql` would act on, however the session is set.
///
/// # Errors
/// If there is a backslash outside of quotes, or a quote or a comment that does not end, or if the last statement does
/// not; if it depends on the session where a text ends.
pub(super) fn harmless(sql: &str) -> Result<String> {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    let mut last = ";";
    while !rest.is_empty() {
        let length = token(rest).ok_or_else(|| refused(rest))?;
        let (token, after) = rest.split_at(length);
        if token.starts_with('\'') && token.contains('\\') {
            let before = &sql[..sql.len() - rest.len()];
            out.push_str(&unmistakable(token, before, last, after).ok_or_else(|| refused(rest))?);
        } else {
            out.push_str(token);
        }
        if token == ":" && after.starts_with(|c| is_within_name(c) || matches!(c, '"' | '\'' | '{')) {
            out.push(' ');
        }
        if !token.trim().is_empty() && !is_comment(token) {
            last = token;
        }
        rest = after;
    }
    if last == ";" { Ok(out) } else { Err(refused(sql)) }
}

/// A text in quotes that holds a backslash, as one that reads the same in every session. `None`: there is none.
fn unmistakable(text: &str, before: &str, last: &str, after: &str) -> Option<String> {
    if prefix(before, "U&") {
        // A backslash is no escape for a quote here, whatever the session says; but nobody needs to rely on that.
        return (!text.contains("\\'")).then(|| text.to_owned());
    }
    let is_prefixed = ["B", "X", "N"].into_iter().any(|name| prefix(before, name));
    if is_prefixed || last.ends_with('\'') || goes_on(after) {
        return None;
    }
    let space = if before.ends_with(|c: char| is_within_name(c) || c == '$') { " " } else { "" };
    Some(format!("{space}E{}", text.replace('\\', "\\\\")))
}

/// Whether that stands right before a quote, and is not the end of a longer name.
fn prefix(before: &str, name: &str) -> bool {
    let Some((rest, end)) = before.split_at_checked(before.len().wrapping_sub(name.len())) else {
        return false;
    };
    end.eq_ignore_ascii_case(name) && !rest.ends_with(|c: char| is_within_name(c) || c == '$')
}

fn refused(sql: &str) -> Error {
    let beginning: String = sql.chars().take(60).collect();
    Error::archive("a definition in the archive can't be written for `psql`")
        .with_context("at", beginning.escape_debug())
        .with_hint(
            "it holds a command of `psql`, or a quote that does not end: `restore` does without `psql`",
        )
}

/// How many bytes the first token has. `None`: it must not be there.
fn token(sql: &str) -> Option<usize> {
    let first = sql.chars().next()?;
    match first {
        '\\' | '\0' => None,
        '\'' | '"' => quoted(sql, first),
        '0'..='9' => number(sql),
        'e' | 'E' if sql.get(1..2) == Some("'") => escaped(sql),
        '$' => dollar_quoted(sql),
        '-' if sql.starts_with("--") => Some(sql.find(['\n', '\r']).unwrap_or(sql.len())),
        '/' if sql.starts_with("/*") => nested_comment(sql),
        ':' if sql.starts_with("::") || sql.starts_with(":=") => Some(2),
        c if is_name_start(c) => Some(sql.find(|c| !is_within_name(c) && c != '$').unwrap_or(sql.len())),
        c => Some(c.len_utf8()),
    }
}

fn is_comment(token: &str) -> bool {
    token.starts_with("--") || token.starts_with("/*")
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_within_name(c: char) -> bool {
    is_name_start(c) || c.is_ascii_digit()
}

/// A quote within is doubled.
fn quoted(sql: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += sql.get(at..)?.find(quote)? + 1;
        match sql.get(at..).is_some_and(|after| after.starts_with(quote)) {
            true => at += 1,
            false => return Some(at),
        }
    }
}

/// Whether what follows a number without a space, `1E'…'`, is a part of it, depends on the version of `psql`.
fn number(sql: &str) -> Option<usize> {
    let end = sql.find(|c| !is_within_name(c) && c != '.').unwrap_or(sql.len());
    (!sql.get(end..)?.starts_with(['\'', '"', '$'])).then_some(end)
}

/// `E'…'`. One that goes on in a further line has the rules of the first, which nobody writes.
fn escaped(sql: &str) -> Option<usize> {
    let mut bytes = sql.bytes().enumerate().skip(2);
    let end = loop {
        match bytes.next()? {
            (_, b'\\') => drop(bytes.next()?),
            (at, b'\'') if sql.as_bytes().get(at + 1) == Some(&b'\'') => drop(bytes.next()),
            (at, b'\'') => break at + 1,
            _ => {}
        }
    };
    (!goes_on(sql.get(end..)?)).then_some(end)
}

/// Whether a text that ends before `after` goes on in a further line.
fn goes_on(after: &str) -> bool {
    let mut after = after.trim_start();
    while after.starts_with("--") {
        after = after.find(['\n', '\r']).and_then(|line| after.get(line..)).unwrap_or_default().trim_start();
    }
    after.starts_with('\'')
}

/// `$tag$…$tag$`, or a dollar.
fn dollar_quoted(sql: &str) -> Option<usize> {
    let tag = sql.get(1..)?.find('$').and_then(|end| sql.get(..end + 2));
    let is_tag = |tag: &&str| {
        let name = &tag[1..tag.len() - 1];
        name.is_empty() || name.starts_with(is_name_start) && name.chars().all(is_within_name)
    };
    match tag.filter(is_tag) {
        Some(tag) => sql.get(tag.len()..)?.find(tag).map(|end| end + 2 * tag.len()),
        None => Some(1),
    }
}

fn nested_comment(sql: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        let step = match rest {
            _ if rest.starts_with("/*") => (depth += 1, 2).1,
            _ if rest.starts_with("*/") => (depth -= 1, 2).1,
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        at += step;
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_pass_as_they_are() {
        for sql in [
            "",
            "-- nothing but a comment\n",
            "SELECT 'it''s and :x', '''', '', E'a\\'b\\\\', \"a\\:\"\"b\\\", $$ \\! ' $$, $a1$ $$ \\ $a1$, $1, a$b$c;",
            "/* a /* nested \\ */ one */ SELECT a::text, f(x := 1), 1:2;\n-- \\x\n",
            "SELECT U&'\\0041', N'n', X'1F', 1.5e10, 0x1F, 'größe' COLLATE \"C\" ; CREATE OPERATOR s.-/ (x);",
        ] {
            assert_eq!(harmless(sql).unwrap().replace("1: 2", "1:2"), sql);
        }
    }

    #[test]
    fn what_psql_would_act_on_is_refused() {
        for sql in [
            "SELECT 1;\n\\! touch x\n",
            "SELECT 1 \\gexec\n",
            "SELECT 'a;\n",
            "SELECT \"a;\n",
            "SELECT $a$ x $b$;",
            "/* /* */ SELECT 1;",
            "SELECT E'a\\';",
            "SELECT E'a'\n'b\\';",
            "SELECT E'a' -- x\n 'b\\';",
            "SELECT 1",
            "SELECT 1; SELECT 2 -- ;",
            "-- a\r\\! touch x\n",
            "SELECT '\\' \\! touch x ';",
            "SELECT N'a\\b';",
            "SELECT x'\\';",
            "SELECT U&'a\\' \\! touch x ';",
            "SELECT 'a'\n'b\\';",
            "SELECT 'a\\' -- x\n 'b';",
            "SELECT 1E'a\\' \\! touch x ';",
            "SELECT 1$$ ' $$;",
            "SELECT a\0;",
        ] {
            assert!(harmless(sql).is_err(), "{sql:?}");
        }
    }

    #[test]
    fn where_a_text_ends_does_not_depend_on_the_session() {
        for (sql, written) in [
            ("SELECT 'it''s \\', '\\''\\! touch x';", "SELECT E'it''s \\\\', E'\\\\''\\\\! touch x';"),
            ("SELECT text'\\', bU&'\\', \"n\"'\\';", "SELECT text E'\\\\', bU&E'\\\\', \"n\"E'\\\\';"),
            ("SELECT a\n,'\\' ;", "SELECT a\n,E'\\\\' ;"),
        ] {
            assert_eq!(harmless(sql).unwrap(), written);
        }
    }

    #[test]
    fn a_colon_is_no_variable() {
        assert_eq!(
            harmless("SELECT a[1:\"USER\"], b[x:PORT], c::\"t\", d[:'x'];").unwrap(),
            "SELECT a[1: \"USER\"], b[x: PORT], c::\"t\", d[: 'x'];"
        );
    }
}
