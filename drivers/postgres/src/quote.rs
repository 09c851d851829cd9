//! Names and texts as parts of statements.

/// A name in SQL, always in quotes.
pub(crate) fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name with the schema that it is in.
pub(crate) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", self::name(schema), self::name(name))
}

/// A text in SQL. A session must have `standard_conforming_strings` on.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text in SQL as it is, between dollars: for one of many lines, which people may read. It ends with a line end.
pub(crate) fn in_dollars(text: &str) -> String {
    let mut tag = "$body".to_owned();
    while text.contains(&tag) {
        tag.push('_');
    }
    format!("{tag}${text}{tag}$")
}

/// What follows `SET` in `ALTER DATABASE … SET` and `ALTER ROLE … SET`, of a setting as `pg_db_role_setting` holds it.
///
/// A list of names is kept there with quotes around names that need them. Said as one text, it would be one name.
pub(crate) fn setting(name: &str, value: &str) -> String {
    const LISTS: [&str; 6] = [
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    ];
    let said = match LISTS.contains(&name.to_ascii_lowercase().as_str()) {
        true => listed(value).iter().map(|one| literal(one)).collect::<Vec<_>>().join(", "),
        false => literal(value),
    };
    let said = if said.is_empty() { literal("") } else { said };
    format!("{} TO {said}", self::name(name))
}

/// The names of a list: between commas, and perhaps in quotes.
fn listed(value: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let (mut quoted, mut begun) = (false, false);
    let mut rest = value.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => name.extend(rest.next()),
            '"' => (quoted, begun) = (!quoted, true),
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            c if c.is_whitespace() && !quoted => {}
            c => (name, begun) = (name + c.encode_utf8(&mut [0; 4]), true),
        }
    }
    if begun {
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_stays_a_list() {
        assert_eq!(
            setting("search_path", "\"$user\", public, \"a,\"\"b\""),
            "\"search_path\" TO '$user', 'public', 'a,\"b'"
        );
        assert_eq!(setting("search_path", "\"\""), "\"search_path\" TO ''");
        assert_eq!(setting("work_mem", "4, MB"), "\"work_mem\" TO '4, MB'");
    }

    #[test]
    fn quotes_are_doubled_and_nothing_else_is_touched() {
        assert_eq!(qualified("a.b", "we\"ird\n"), "\"a.b\".\"we\"\"ird\n\"");
        assert_eq!(literal(r"it's a \ and ${x}"), r"'it''s a \ and ${x}'");
    }
}
