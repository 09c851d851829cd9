//! Which parts of a text are secrets, by their looks.

use std::ops::Range;

const SECRET_WORDS: [&str; 9] =
    ["password", "passwd", "passphrase", "pwd", "secret", "token", "credential", "apikey", "accesskey"];

/// Whether a key of that name holds a secret.
pub fn looks_secret(key: &str) -> bool {
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    plain.ends_with("pass") || SECRET_WORDS.iter().any(|word| plain.contains(word))
}

/// Where in `text` secrets stand, by their looks: the passwords of URLs, and the values of `password=…` and the like. In
/// order, and apart from each other.
pub fn secret_ranges(text: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices("://") {
        ranges.extend(url_password(text, at + 3));
    }
    for (at, _) in text.match_indices('=') {
        ranges.extend(assigned_secret(text, at));
    }
    ranges.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        if apart.last().is_none_or(|last| last.end <= range.start) {
            apart.push(range);
        }
    }
    apart
}

/// From the first colon to the last `@`: passwords hold `/`, `#` and `@` when somebody forgot to encode them.
fn url_password(text: &str, from: usize) -> Option<Range<usize>> {
    let length = text[from..].find(char::is_whitespace).unwrap_or(text.len() - from);
    let at = from + text[from..from + length].rfind('@')?;
    let colon = from + text[from..at].find(':')?;
    (colon + 1 < at).then_some(colon + 1..at)
}

fn assigned_secret(text: &str, equals: usize) -> Option<Range<usize>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = text[..equals].rsplit(|c| !is_word(c)).next()?;
    if !looks_secret(name) {
        return None;
    }
    let from = equals + 1;
    let length = text[from..].find(|c: char| c == '&' || c.is_whitespace()).unwrap_or(text.len() - from);
    (length > 0).then_some(from..from + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str, ranges: Vec<Range<usize>>) -> String {
        let mut masked = text.to_owned();
        for range in ranges.into_iter().rev() {
            masked.replace_range(range, "***");
        }
        masked
    }

    #[test]
    fn passwords_in_urls_and_assignments_are_found() {
        for (text, expected) in [
            ("postgres://app:s3c@h/d", "postgres://app:***@h/d"),
            ("redis://:p/a#ss@w@h:1", "redis://:***@h:1"),
            ("https://host:80/x", "https://host:80/x"),
            ("https://user@host/x", "https://user@host/x"),
            ("pg://h/d?user=a&password=b&x=c", "pg://h/d?user=a&password=***&x=c"),
            ("host=h password=b dbname=d", "host=h password=*** dbname=d"),
            ("--api-key=k", "--api-key=***"),
            ("a://b:c@d and e://f:g@h", "a://b:***@d and e://f:***@h"),
            ("SELECT a FROM b WHERE c='d'", "SELECT a FROM b WHERE c='d'"),
        ] {
            assert_eq!(masked(text, secret_ranges(text)), expected);
        }
    }
}
