//! Which roles a statement of `pg_dump` names. They stand in few places, and `pg_dump` quotes what looks like a word of
//! SQL, so a look at the words is enough.

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Not quoted.
    Word(String),
    /// In double quotes.
    Quoted(String),
    /// A string: what is in it is no statement.
    Text,
    Sign(char),
}

/// The roles that are named in statements of an item of that kind.
pub(crate) fn roles(kind: &str, sql: &str) -> Vec<String> {
    let pieces = pieces(sql);
    let mut roles = Vec::new();
    for statement in pieces.split(|piece| *piece == Piece::Sign(';')) {
        match kind {
            "ACL" | "DEFAULT ACL" => of_grant(statement, &mut roles),
            "POLICY" => of_policy(statement, &mut roles),
            "USER MAPPING" => roles.extend(after(statement, &["MAPPING", "FOR"]).and_then(name)),
            _ => {}
        }
    }
    roles.retain(|role| !SPECIAL.contains(&role.as_str()));
    roles.sort();
    roles.dedup();
    roles
}

/// For whom `ALTER DEFAULT PRIVILEGES` is.
pub(crate) fn maker(sql: &str) -> Option<String> {
    after(&pieces(sql), &["FOR", "ROLE"]).and_then(name)
}

/// Words that stand where a role does. As names of roles they would be in quotes, or can't be.
const SPECIAL: [&str; 5] = ["public", "current_user", "session_user", "current_role", "user"];

fn of_grant(statement: &[Piece], roles: &mut Vec<String>) {
    let to = outside_parentheses(statement)
        .filter(|(_, piece)| is(piece, "TO") || is(piece, "FROM"))
        .map(|(at, _)| at)
        .last();
    roles.extend(to.and_then(|at| statement.get(at + 1)).and_then(name));
    roles.extend(after(statement, &["FOR", "ROLE"]).and_then(name));
    roles.extend(
        after(statement, &["SESSION", "AUTHORIZATION"]).and_then(name).filter(|name| name != "default"),
    );
}

fn of_policy(statement: &[Piece], roles: &mut Vec<String>) {
    let Some((to, _)) = outside_parentheses(statement).find(|(_, piece)| is(piece, "TO")) else { return };
    let listed = statement.iter().skip(to + 1);
    roles.extend(listed.take_while(|piece| !is(piece, "USING") && !is(piece, "WITH")).filter_map(name));
}

fn outside_parentheses(statement: &[Piece]) -> impl Iterator<Item = (usize, &Piece)> {
    let mut depth = 0_usize;
    statement.iter().enumerate().filter(move |(_, piece)| {
        match piece {
            Piece::Sign('(') => depth += 1,
            Piece::Sign(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })
}

fn after<'a>(statement: &'a [Piece], words: &[&str]) -> Option<&'a Piece> {
    let at = statement
        .windows(words.len())
        .position(|some| some.iter().zip(words).all(|(piece, w)| is(piece, w)))?;
    statement.get(at + words.len())
}

pub(super) fn is(piece: &Piece, word: &str) -> bool {
    matches!(piece, Piece::Word(found) if found.eq_ignore_ascii_case(word))
}

pub(super) fn name(piece: &Piece) -> Option<String> {
    match piece {
        Piece::Word(word) => Some(word.to_lowercase()),
        Piece::Quoted(name) => Some(name.clone()),
        Piece::Text | Piece::Sign(_) => None,
    }
}

pub(super) fn pieces(sql: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (piece, after) = match first {
            '"' => {
                let (name, after) = quoted(rest, '"');
                (Some(Piece::Quoted(name)), after)
            }
            '\'' => (Some(Piece::Text), quoted(rest, '\'').1),
            '-' if rest.starts_with("--") => (None, rest.split_once('\n').map_or("", |(_, after)| after)),
            c if c.is_alphanumeric() || c == '_' || c == '$' => {
                let end =
                    rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                (Some(Piece::Word(word.to_owned())), after)
            }
            c => {
                ((!c.is_whitespace()).then_some(Piece::Sign(c)), rest.get(c.len_utf8()..).unwrap_or_default())
            }
        };
        pieces.extend(piece);
        rest = after;
    }
    pieces
}

/// What stands between quotes, of which those within are doubled; and what follows.
fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut found = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c != quote {
            found.push(c);
        } else if characters.peek().is_some_and(|(_, next)| *next == quote) {
            characters.next();
            found.push(quote);
        } else {
            return (found, text.get(at + 1..).unwrap_or_default());
        }
    }
    (found, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_found_where_pg_dump_writes_them() {
        let cases: &[(&str, &str, &[&str])] = &[
            (
                "ACL",
                "REVOKE ALL ON TABLE s.t FROM PUBLIC;\nGRANT SELECT(a),UPDATE(\"to\") ON TABLE s.\"x TO y\" TO \"R; 1\" WITH GRANT OPTION;\n",
                &["R; 1"],
            ),
            (
                "ACL",
                "SET SESSION AUTHORIZATION giver;\nGRANT USAGE ON SCHEMA s TO taker;\nRESET SESSION AUTHORIZATION;\n",
                &["giver", "taker"],
            ),
            (
                "DEFAULT ACL",
                "ALTER DEFAULT PRIVILEGES FOR ROLE maker IN SCHEMA s GRANT SELECT ON TABLES TO reader;",
                &["maker", "reader"],
            ),
            (
                "POLICY",
                "CREATE POLICY p ON s.t FOR SELECT TO a, \"B b\" USING ((owner = 'x TO y; z'::text));",
                &["B b", "a"],
            ),
            ("POLICY", "CREATE POLICY p ON s.t USING (((x)::text = 'TO b'::text));", &[]),
            (
                "USER MAPPING",
                "CREATE USER MAPPING FOR \"u\"\"1\" SERVER s OPTIONS (\n    x 'FOR z'\n);",
                &["u\"1"],
            ),
            ("USER MAPPING", "CREATE USER MAPPING FOR PUBLIC SERVER s;", &[]),
            ("TABLE", "CREATE TABLE to_x (a integer); -- GRANT a TO b", &[]),
        ];
        for (kind, sql, expected) in cases {
            assert_eq!(roles(kind, sql), *expected, "{sql}");
        }
    }
}
