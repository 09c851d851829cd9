//! Which parts of a line of the configuration are secrets.
//!
//! Options declared as secrets are known by their schema. This is for all else, by its looks: lines of a file that could
//! not be read any further.

use std::ops::Range;

pub(crate) use dumprestore_driver::{looks_secret, secret_ranges};

/// What stands for a secret.
pub(crate) const MASK: &str = "***";

/// The secrets of a line of a configuration: those, and what follows a key that looks like one.
pub(crate) fn secret_ranges_of_line(line: &str) -> Vec<Range<usize>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    for (colon, _) in line.match_indices(':') {
        let name = line[..colon].trim_end_matches(['"', '\'', ' ', '\t']).rsplit(|c| !is_word(c)).next();
        let value = line[colon + 1..].trim_start();
        if name.is_some_and(looks_secret) && !value.is_empty() && !is_reference(value.trim_end()) {
            let from = line.len() - value.len();
            let mut ranges: Vec<_> = secret_ranges(&line[..from]);
            ranges.push(from..line.len());
            return ranges;
        }
    }
    secret_ranges(line)
}

/// `${NAME}` alone gives nothing away.
fn is_reference(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'']);
    value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| !name.contains([':', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str, ranges: Vec<Range<usize>>) -> String {
        let mut masked = text.to_owned();
        for range in ranges.into_iter().rev() {
            masked.replace_range(range, MASK);
        }
        masked
    }

    #[test]
    fn what_follows_a_secret_key_is_found_unless_it_is_a_reference() {
        for (line, expected) in [
            ("    password: hunter2 # mine", "    password: ***"),
            ("  - { name: db, db_password: 'x', path: y }", "  - { name: db, db_password: ***"),
            ("    \"api_key\" : x", "    \"api_key\" : ***"),
            ("    password: ${PW}", "    password: ${PW}"),
            ("    password: ${PW:-hunter2}", "    password: ***"),
            ("    keys: SELECT a", "    keys: SELECT a"),
            ("    path: x", "    path: x"),
        ] {
            assert_eq!(masked(line, secret_ranges_of_line(line)), expected);
        }
    }
}
