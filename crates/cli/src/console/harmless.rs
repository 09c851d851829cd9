//! Text that comes from elsewhere, such as names of files, must not act on the terminal.

use std::fmt::Display;

/// The same text, with what a terminal would obey written out: escapes, and what turns the direction of writing.
pub(super) fn harmless(text: impl Display) -> String {
    let text = text.to_string();
    if !text.contains(acts) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && !matches!(c, '\n' | '\t')) || turns
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        for (text, shown) in [
            ("plain `text`\n\tü 日本", "plain `text`\n\tü 日本"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\rb\u{7f}\u{9b}", "a\\u{d}b\\u{7f}\\u{9b}"),
            ("gpj.\u{202e}exe", "gpj.\\u{202e}exe"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }
}
