//! Taking secrets out of what foreign programs print.

use std::collections::BTreeSet;

use crate::secret_ranges;

/// What stands for a secret.
const BLOT: &str = "***";
/// A shorter value is blotted out only where it stands by itself: else half of any text would go.
const SHORT: usize = 4;
/// These say nothing, and nobody has them for a password.
const FLAGS: [&str; 8] = ["0", "1", "on", "off", "yes", "no", "y", "n"];

/// Takes secrets out of text. `Debug` hides them.
///
/// Besides each value as a whole, its lines are secrets (a key of many lines may be printed line by line), and so is
/// what looks like a password in it ([`secret_ranges`]): programs print the address with another scheme, or the
/// password alone. Each is found as it stands there and decoded, and however a URL may spell it.
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
            for value in whole.chain(url_passwords(value)).chain(assigned(value)) {
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

    /// How long the longest secret is, in bytes, if each of its bytes is spelt as a URL may: text that is cut must be
    /// cut that much later than it is shown.
    pub fn longest(&self) -> usize {
        self.secrets.first().map_or(0, |secret| secret.len() * 3)
    }

    /// The text without them.
    pub fn blot_out(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| blot_out(&text, secret))
    }
}

impl std::fmt::Debug for Blotter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blotter({} secrets)", self.secrets.len())
    }
}

/// Replaces a secret; a short one only where it is no part of a longer word.
fn blot_out(text: &str, secret: &str) -> String {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let (mut clean, mut rest, mut at) = (String::with_capacity(text.len()), text, 0);
    while at < rest.len() {
        let found = rest.get(at..).and_then(|from| Some((from, spelt(from.as_bytes(), secret.as_bytes())?)));
        let found = found.filter(|(from, length)| {
            let before = rest[..at].chars().next_back().or(clean.chars().next_back());
            let after = from.get(*length..).and_then(|after| after.chars().next());
            secret.len() >= SHORT || !(is_word(before) || is_word(after))
        });
        match found {
            // Characters begin and end together with their spelling.
            Some((from, length)) => {
                clean.push_str(&rest[..at]);
                clean.push_str(BLOT);
                rest = from.get(length..).unwrap_or_default();
                at = 0;
            }
            None => at += 1,
        }
    }
    clean + rest
}

/// How many bytes of `text` spell the secret that it begins with, if it does: each byte as it is or as in a URL.
/// Programs differ in what they encode.
fn spelt(text: &[u8], secret: &[u8]) -> Option<usize> {
    // A secret may look encoded itself.
    let plain = || text.starts_with(secret).then_some(secret.len());
    spelt_as_in_url(text, secret).or_else(plain)
}

fn spelt_as_in_url(text: &[u8], secret: &[u8]) -> Option<usize> {
    let mut at = 0;
    for byte in secret {
        let digits = text.get(at + 1..at + 3).filter(|_| text.get(at) == Some(&b'%'));
        at += match text.get(at)? {
            _ if digits.and_then(|digits| hex::decode(digits).ok()).is_some_and(|found| found == [*byte]) => {
                3
            }
            found if found == byte || (found, byte) == (&b'+', &b' ') => 1,
            _ => return None,
        };
    }
    Some(at)
}

/// What looks like a password, and that without its quotes and without what may follow it.
fn assigned(text: &str) -> impl Iterator<Item = &str> {
    secret_ranges(text).into_iter().flat_map(|range| {
        let (from, value) = (&text[range.start..], &text[range]);
        let quoted = ['"', '\''].into_iter().find_map(|quote| from.strip_prefix(quote)?.split(quote).next());
        [Some(value), quoted.or_else(|| value.split([';', ',', '"', '\'']).next())].into_iter().flatten()
    })
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
    fn a_password_is_found_by_itself_wherever_it_was_told() {
        let blotter = Blotter::new([
            "host=db user=a password=hunter22 dbname=d",
            "pg://h/d?sslmode=off&password=hunter33&x=y",
            "Server=db;Password=hunter44;Database=shop",
            "host=db password='hunter 55'",
        ]);
        let text = "hunter22, 'hunter33', hunter44; hunter 55";
        assert_eq!(blotter.blot_out(text), "***, '***', ***; ***");
        assert_eq!(blotter.blot_out("host=db sslmode=off shop"), "host=db sslmode=off shop");
    }

    #[test]
    fn a_secret_is_found_however_a_url_spells_it() {
        let blotter = Blotter::new(["p@ss/word", "grüße an", "100%2", "%41"]);
        for text in [
            "p%40ss%2Fword",
            "p%40ss%2fword",
            "p%40ss/word",
            "%70%40%73%73%2F%77%6F%72%64",
            "gr%C3%BC%c3%9fe%20an",
            "gr%c3%bcße+an",
            "100%252",
            "100%2",
            "%41",
        ] {
            assert_eq!(blotter.blot_out(&format!("pg://a:{text}@db ü%")), "pg://a:***@db ü%");
            assert!(text.len() <= blotter.longest());
        }
    }

    #[test]
    fn what_says_nothing_is_left_alone() {
        let blotter = Blotter::new(["1", "on", "", "https://host:80/path", "abc"]);
        let text = "on port 80, 1 of 10 at /path: abcd";
        assert_eq!(blotter.blot_out(text), text);
    }
}
