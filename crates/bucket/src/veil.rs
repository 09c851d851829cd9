//! What must not be seen in a text.

use dumprestore_driver::{Revealed, secret_ranges};

/// Hides secrets in texts that servers and programs say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Veil(Vec<Revealed>);

const LONGEST_CHARS: usize = 300;

impl Veil {
    /// That hides those.
    pub(crate) fn new(secrets: impl IntoIterator<Item = Revealed>) -> Self {
        Self(secrets.into_iter().filter(|secret| secret.expose().len() > 3).collect())
    }

    /// That text, fit to be shown: one line, not long, and without secrets.
    pub(crate) fn over(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            text = text.replace(secret.expose(), "***");
        }
        for range in signed(&text).into_iter().rev() {
            text.replace_range(range, "***");
        }
        for range in secret_ranges(&text).into_iter().rev() {
            text.replace_range(range, "***");
        }
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match words.char_indices().nth(LONGEST_CHARS) {
            Some((end, _)) => format!("{}…", &words[..end]),
            None => words,
        }
    }
}

/// The values of signatures in URLs.
fn signed(text: &str) -> Vec<std::ops::Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let mut found: Vec<std::ops::Range<usize>> = Vec::new();
    for name in ["sig=", "signature=", "x-amz-credential="] {
        for (at, _) in lower.match_indices(name) {
            let from = at + name.len();
            let length =
                text[from..].find(|c: char| c == '&' || c.is_whitespace()).unwrap_or(text.len() - from);
            found.push(from..from + length);
        }
    }
    found.sort_by_key(|range| range.start);
    found.dedup_by(|next, before| next.start < before.end);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_secrets_nor_signatures_are_seen() {
        let veil = Veil::new([Revealed::new("wJalr+/secret")]);
        let seen = veil.over("with wJalr+/secret\n at https://h/?X-Amz-Signature=abc&a=b sig=xyz token=t1");
        assert_eq!(seen, "with *** at https://h/?X-Amz-Signature=***&a=b sig=*** token=***");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let seen = Veil::default().over(&"ü".repeat(1000));
        assert_eq!(seen.chars().count(), LONGEST_CHARS + 1);
    }
}
