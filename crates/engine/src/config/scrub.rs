//! Keeping values out of messages.

use super::mistake::printable;
use super::secrets::secret_ranges;

/// Replaces values in messages by what stands for them in the file. Foreign code puts values into its errors; what
/// came out of a variable, or is a secret, must not show there.
#[derive(Default)]
pub(crate) struct Scrubber(Vec<Hidden>);

struct Hidden {
    value: String,
    shown: String,
}

/// A shorter value is replaced in quotes only: else every `1` in a message would go.
const SHORT: usize = 3;

impl Scrubber {
    /// From now on `shown` stands for `value`.
    pub(crate) fn hide(&mut self, value: &str, shown: &str) {
        self.add(value, shown);
        for range in secret_ranges(value) {
            self.add(&value[range], "***");
        }
    }

    fn add(&mut self, value: &str, shown: &str) {
        for value in spellings(value) {
            // These say nothing, and messages are full of them.
            let telling = !matches!(value.as_str(), "" | "true" | "false");
            if telling && self.0.iter().all(|hidden| hidden.value != value) {
                self.0.push(Hidden { value, shown: shown.to_owned() });
            }
        }
        self.0.sort_by_key(|hidden| std::cmp::Reverse(hidden.value.len()));
    }

    /// `text` without any of the values.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            match self.0.iter().find(|hidden| hidden.begins(&clean, rest)) {
                Some(hidden) => {
                    clean.push_str(&hidden.shown);
                    rest = &rest[hidden.value.len()..];
                }
                None => {
                    clean.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        clean
    }
}

/// How a value may be spelt in a message: as it is, and as several kinds of text escape it.
fn spellings(value: &str) -> [String; 4] {
    let within_quotes = |debug: String| debug.get(1..debug.len() - 1).unwrap_or_default().to_owned();
    [value.to_owned(), printable(value), value.escape_debug().collect(), within_quotes(format!("{value:?}"))]
}

impl Hidden {
    fn begins(&self, before: &str, rest: &str) -> bool {
        let is_quote = |c: Option<char>| matches!(c, Some('`' | '"' | '\''));
        rest.strip_prefix(self.value.as_str()).is_some_and(|after| {
            self.value.len() >= SHORT
                || (is_quote(before.chars().next_back()) && is_quote(after.chars().next()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Scrubber;

    #[test]
    fn values_give_way_to_what_stands_for_them() {
        let mut scrubber = Scrubber::default();
        scrubber.hide("hunter\"2", "${PW}");
        scrubber.hide("postgres://a:s3cret@h/d", "${URL}");
        scrubber.hide("1", "${N}");
        for (text, clean) in [
            ("string \"hunter\\\"2\", not hunter\"2", "string \"${PW}\", not ${PW}"),
            ("can't reach postgres://a:s3cret@h/d with s3cret", "can't reach ${URL} with ***"),
            ("from 1 to 10, not `1`", "from 1 to 10, not `${N}`"),
        ] {
            assert_eq!(scrubber.clean(text), clean);
        }
    }

    #[test]
    fn the_longer_value_goes_first_and_what_is_shown_is_not_replaced_again() {
        let mut scrubber = Scrubber::default();
        scrubber.hide("abc", "${LONGER}");
        scrubber.hide("abcdef", "${abc}");
        assert_eq!(scrubber.clean("abcdef abc"), "${abc} ${LONGER}");
    }
}
