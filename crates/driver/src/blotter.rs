//! Taking secrets out of what foreign programs print.

use std::collections::BTreeSet;

/// What stands for a secret.
const BLOT: &str = "***";
/// A shorter value is blotted out only where it stands by itself: else half of any text would go.
const SHORT: usize = 4;
/// These say nothing, and nobody has them for a password.
const FLAGS: [&str; 8] = ["0", "1", "on", "off", "yes", "no", "y", "n"];

/// Takes secrets out of text. `Debug` hides them.
///
/// Besides each value as a whole, its lines are secrets (a key of many lines may be printed line by line), and so is
/// the password of a URL, as it stands there and decoded: programs print the address with another scheme.
#[derive(Clone, Default)]
pub struct Blotter {
    /// The longest first: one may be the beginning of another.
    secrets: Vec<String>,
}

impl Blotter {
    /// Of these values.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets = BTreeSet::new();
        for value in values {
            let whole = std::iter::once(value).chain(value.trim().lines().map(str::trim));
            for value in whole.chain(url_passwords(value)) {
                secrets.insert(value.to_owned());
                secrets.insert(decoded(value));
            }
        }
        let mut secrets: Vec<_> = secrets
            .into_iter()
            .filter(|secret| !secret.is_empty() && !FLAGS.contains(&secret.as_str()))
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// How long the longest secret is, in bytes: text that is cut must be cut that much later than it is shown.
    pub fn longest(&self) -> usize {
        self.secrets.first().map_or(0, String::len)
    }

    /// The text without them.
    pub fn blot_out(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| match secret.len() {
            ..SHORT => blot_out_alone(&text, secret),
            _ => text.replace(secret.as_str(), BLOT),
        })
    }
}

impl std::fmt::Debug for Blotter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blotter({} secrets)", self.secrets.len())
    }
}

/// Replaces a short secret where it is no part of a longer word.
fn blot_out_alone(text: &str, secret: &str) -> String {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let (mut clean, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(secret) {
        let (before, after) = (&rest[..at], &rest[at + secret.len()..]);
        clean.push_str(before);
        let alone = !is_word(clean.chars().next_back()) && !is_word(after.chars().next());
        clean.push_str(if alone { BLOT } else { secret });
        rest = after;
    }
    clean + rest
}

/// What may be the password of a URL: passwords hold `/`, `#` and `@` if somebody forgot to encode them, and an address
/// may have an `@` behind the password.
fn url_passwords(text: &str) -> impl Iterator<Item = &str> {
    let login = text.split_once("://").map_or("", |(_, rest)| rest);
    let authority = login.split(['/', '?', '#']).next().unwrap_or_default();
    [login, authority].into_iter().filter_map(|login| {
        let (user, _) = login.rsplit_once('@')?;
        user.split_once(':').map(|(_, password)| password)
    })
}

/// Without the percent signs that a URL needs.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| first == b'%').and_then(|digits| hex::decode(digits).ok());
        match escaped {
            Some(byte) => {
                bytes.extend(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_left_whatever_it_looks_like() {
        let pem = "-----BEGIN KEY-----\nMIIEvQ+IBADANBg\nkqhkiG9w/0BAQ==\n-----END KEY-----\n";
        let blotter = Blotter::new([
            "/base64+looks/like/a/path==",
            pem,
            "postgres://app:p%40ss%2Fword@db:5432/shop",
            "redis://:s3c/r3t@cache",
            "ab",
        ]);
        for (text, clean) in [
            ("login with /base64+looks/like/a/path== failed", "login with *** failed"),
            ("bad line kqhkiG9w/0BAQ==", "bad line ***"),
            (pem, "***"),
            ("postgresql+psycopg2://app:p%40ss%2Fword@db/shop", "postgresql+psycopg2://app:***@db/shop"),
            ("password p@ss/word is wrong", "password *** is wrong"),
            ("it is s3c/r3t", "it is ***"),
            ("ab is about cab: `ab`", "*** is about cab: `***`"),
        ] {
            assert_eq!(blotter.blot_out(text), clean);
        }
        assert!(!format!("{blotter:?}").contains("s3c"));
    }

    #[test]
    fn what_says_nothing_is_left_alone() {
        let blotter = Blotter::new(["1", "on", "", "https://host:80/path", "abc"]);
        let text = "on port 80, 1 of 10 at /path: abcd";
        assert_eq!(blotter.blot_out(text), text);
    }
}
