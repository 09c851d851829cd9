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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled_and_nothing_else_is_touched() {
        assert_eq!(qualified("a.b", "we\"ird\n"), "\"a.b\".\"we\"\"ird\n\"");
        assert_eq!(literal(r"it's a \ and ${x}"), r"'it''s a \ and ${x}'");
    }
}
