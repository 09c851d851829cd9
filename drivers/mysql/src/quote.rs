//! Names and values as parts of statements.
//!
//! A session has neither `ANSI_QUOTES` nor `NO_BACKSLASH_ESCAPES` set, and speaks utf8mb4. What must be read alike by a
//! session of anybody, such as an exported script, is said in hexadecimal.

/// A name, always in backticks.
pub(crate) fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A name with the schema that it is in.
pub(crate) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", self::name(schema), self::name(name))
}

/// A text, for people to read as well. Its session must be one of ours.
pub(crate) fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        match character {
            '\0' => quoted.push_str("\\0"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\u{1a}' => quoted.push_str("\\Z"),
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

/// A text that means the same in any session, whatever its modes and its character set.
pub(crate) fn portable(text: &str) -> String {
    format!("_utf8mb4 {}", hex(text.as_bytes()))
}

/// Bytes as a binary string, in any session.
pub(crate) fn binary(bytes: &[u8]) -> String {
    format!("_binary {}", hex(bytes))
}

/// Bytes in hexadecimal, `x'00ff'`: a binary string, where no number is expected.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut quoted = String::with_capacity(bytes.len() * 2 + 3);
    quoted.push_str("x'");
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            quoted.extend(DIGITS.get(usize::from(digit)).map(|digit| char::from(*digit)));
        }
    }
    quoted.push('\'');
    quoted
}

/// Where it goes on behind what is quoted in a statement, whose first quote is at `at`. A quote that is doubled is in it.
pub(crate) fn behind(sql: &[u8], at: usize, quote: u8) -> usize {
    let mut at = at + 1;
    while let Some(&byte) = sql.get(at) {
        at += 1;
        if byte == b'\\' && quote != b'`' {
            at += 1;
        } else if byte == quote {
            if sql.get(at) != Some(&quote) {
                break;
            }
            at += 1;
        }
    }
    at.min(sql.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_in_names_are_doubled() {
        assert_eq!(qualified("a.b", "we`ird\n'"), "`a.b`.`we``ird\n'`");
    }

    #[test]
    fn what_is_quoted_ends_at_its_quote() {
        for (sql, rest) in [
            ("'it''s \\' so', 1", ", 1"),
            ("`we``ird\\`, 1", ", 1"),
            ("'', 1", ", 1"),
            ("'open", ""),
            ("'open\\", ""),
        ] {
            assert_eq!(&sql[behind(sql.as_bytes(), 0, sql.as_bytes()[0])..], rest, "{sql}");
        }
    }

    #[test]
    fn a_text_ends_where_it_ends() {
        assert_eq!(literal("it's \\ \0\n\r\u{1a}\" é"), r#"'it\'s \\ \0\n\r\Z" é'"#);
        assert_eq!(portable("é'"), "_utf8mb4 x'c3a927'");
        assert_eq!(binary(&[0, 255, 16]), "_binary x'00ff10'");
        assert_eq!(binary(&[]), "_binary x''");
    }
}
