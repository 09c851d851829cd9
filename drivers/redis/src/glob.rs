//! Patterns for keys, as the server itself has them (`KEYS`, `SCAN MATCH`): on bytes.

/// A pattern for keys: `*` stands for any bytes, `?` for one, `[a-c]` for one of these, `[^a]` for any but these, and `\`
/// takes what follows as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Byte(u8),
    Class { not: bool, ranges: Vec<(u8, u8)> },
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Any => false,
            Self::One => true,
            Self::Byte(own) => *own == byte,
            Self::Class { not, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte)) != *not
            }
        }
    }
}

impl Glob {
    /// Every text is a pattern, as it is to the server.
    pub(crate) fn new(text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match (byte, after.split_first()) {
                (b'*', _) if tokens.last() == Some(&Token::Any) => {}
                (b'*', _) => tokens.push(Token::Any),
                (b'?', _) => tokens.push(Token::One),
                (b'[', _) => {
                    let (class, after) = class(after);
                    tokens.push(class);
                    rest = after;
                }
                (b'\\', Some((escaped, after))) => {
                    tokens.push(Token::Byte(*escaped));
                    rest = after;
                }
                _ => tokens.push(Token::Byte(*byte)),
            }
        }
        Self { text: text.to_owned(), tokens }
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether that key is meant.
    pub(crate) fn fits(&self, key: &[u8]) -> bool {
        fits(&self.tokens, key)
    }

    /// Whether it has a `*`.
    pub(crate) fn has_star(&self) -> bool {
        self.tokens.contains(&Token::Any)
    }

    /// What the first `*` stands for in that key, if the key is meant: as little as can be.
    pub(crate) fn star<'a>(&self, key: &'a [u8]) -> Option<&'a [u8]> {
        let first = self.tokens.iter().position(|token| *token == Token::Any)?;
        let before = self.tokens.get(..first)?;
        let after = self.tokens.get(first + 1..)?;
        if !fits(before, key.get(..first)?) {
            return None;
        }
        let rest = key.get(first..)?;
        (0..=rest.len())
            .find(|end| fits(after, rest.get(*end..).unwrap_or_default()))
            .and_then(|end| rest.get(..end))
    }
}

/// What stands between brackets, and what comes after. As for the server, one that is never closed ends with the pattern,
/// and a range may be given backwards.
fn class(rest: &[u8]) -> (Token, &[u8]) {
    let (not, mut rest) = match rest.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let mut ranges = Vec::new();
    loop {
        rest = match rest {
            [] => break,
            [b'\\', escaped, after @ ..] => {
                ranges.push((*escaped, *escaped));
                after
            }
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [first, b'-', last, after @ ..] => {
                ranges.push((*first.min(last), *first.max(last)));
                after
            }
            [one, after @ ..] => {
                ranges.push((*one, *one));
                after
            }
        };
    }
    (Token::Class { not, ranges }, rest)
}

/// In time by the product of both lengths: only the last `*` is ever tried again.
fn fits(tokens: &[Token], key: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut star = None;
    loop {
        match (tokens.get(token), key.get(at)) {
            (Some(Token::Any), _) => {
                token += 1;
                star = Some((token, at));
                continue;
            }
            (Some(one), Some(byte)) if one.takes(*byte) => {
                token += 1;
                at += 1;
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        match star {
            Some((after, taken)) if taken < key.len() => {
                star = Some((after, taken + 1));
                (token, at) = (after, taken + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, key: &str) -> bool {
        Glob::new(pattern).fits(key.as_bytes())
    }

    #[test]
    fn patterns_mean_what_they_mean_to_the_server() {
        assert!(fits("*", "") && fits("sess:*", "sess:") && fits("sess:*", "sess:1:2"));
        assert!(!fits("sess:*", "mysess:1") && !fits("", "a") && fits("", ""));
        assert!(fits("h?llo", "hallo") && !fits("h?llo", "hllo") && fits("h[ae]llo", "hello"));
        assert!(!fits("h[^e]llo", "hello") && fits("h[^e]llo", "hallo") && fits("h[b-a]llo", "hallo"));
        assert!(fits("a\\*b", "a*b") && !fits("a\\*b", "axb") && fits("[\\]]", "]") && !fits("a[", "a["));
        assert!(fits("*a*b*c*", "xxaxxbxxc") && !fits("*a*b*c*", "xxaxxcxxb"));
        assert!(Glob::new("?").fits(&[0xff]) && !Glob::new("?").fits("ä".as_bytes()));
    }

    #[test]
    fn a_star_tells_what_it_stands_for() {
        let star =
            |pattern: &str, key: &'static str| Glob::new(pattern).star(key.as_bytes()).map(<[u8]>::to_vec);
        assert_eq!(star("cart:*", "cart:17"), Some(b"17".to_vec()));
        assert_eq!(star("cart:*:items", "cart:17:items"), Some(b"17".to_vec()));
        assert_eq!(star("cart:*:*", "cart:17:a:b"), Some(b"17".to_vec()));
        assert_eq!(star("cart:*", "sess:17"), None);
        assert_eq!(star("cart", "cart"), None);
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        assert!(!fits(&format!("{}b", "a*".repeat(40)), &"a".repeat(20_000)));
        assert!(fits(&format!("{}b", "a*".repeat(40)), &format!("{}b", "a".repeat(20_000))));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_key_fits_itself_with_its_signs_taken_as_they_are(key in "[a*?\\[\\]\\\\^-]{0,12}") {
            let escaped: String = key.chars().flat_map(|c| ['\\', c]).collect();
            prop_assert!(fits(&escaped, &key));
            prop_assert!(fits(&(escaped + "*"), &key));
        }

        #[test]
        fn what_a_star_stands_for_makes_the_key_again(one in "[a-c]{0,5}", two in "[a-c:]{0,8}", three in "[a-c]{0,5}") {
            let key = format!("{one}{two}{three}");
            let glob = Glob::new(&format!("{one}*{three}"));
            let star = glob.star(key.as_bytes());
            prop_assert_eq!(star, Some(two.as_bytes()));
        }
    }
}
