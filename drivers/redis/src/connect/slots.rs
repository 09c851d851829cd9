//! The slots of a cluster: which one a key is in, and names that are in a given one.

use std::sync::OnceLock;

use crc_fast::{CrcAlgorithm, checksum};

/// How many there are, in every cluster.
pub(crate) const SLOTS: u16 = 16_384;
/// How long a tag is.
pub(crate) const TAG: usize = 4;

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// The slot of a key: of what stands between its first `{` and the `}` after it, if that is not empty.
pub(crate) fn slot(key: &[u8]) -> u16 {
    let tagged = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    of_bytes(tagged.unwrap_or(key))
}

fn of_bytes(bytes: &[u8]) -> u16 {
    let sum = checksum(CrcAlgorithm::Crc16Xmodem, bytes);
    // A remainder of 2^14 is a slot.
    u16::try_from(sum % u64::from(SLOTS)).unwrap_or_default()
}

/// What has a name be in that slot, if it stands in braces: of the same length for each.
pub(crate) fn tag(slot: u16) -> &'static str {
    static TAGS: OnceLock<Vec<String>> = OnceLock::new();
    let tags = TAGS.get_or_init(tags);
    tags.get(usize::from(slot)).map_or("", String::as_str)
}

fn tags() -> Vec<String> {
    let mut tags = vec![String::new(); usize::from(SLOTS)];
    let mut left = tags.len();
    for number in 0..1usize << (5 * TAG) {
        let digit = |at: usize| DIGITS.get(number >> (5 * at) & 31).copied().unwrap_or(b'0');
        let text: Vec<u8> = (0..TAG).map(digit).collect();
        if let Some(tag) = tags.get_mut(usize::from(of_bytes(&text))).filter(|tag| tag.is_empty()) {
            *tag = String::from_utf8(text).unwrap_or_default();
            left -= 1;
        }
        if left == 0 {
            break;
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_the_slot_that_servers_say() {
        // As `CLUSTER KEYSLOT` answers.
        for (key, expected) in [("123456789", 12739), ("foo", 12182), ("", 0), ("a{foo}b", 12182)] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
        assert_eq!(slot(b"{}x"), of_bytes(b"{}x"));
        assert_eq!(slot(b"{{foo}}"), of_bytes(b"{foo"));
        assert_eq!(slot(b"x}{foo"), of_bytes(b"x}{foo"));
    }

    #[test]
    fn every_slot_has_a_tag_that_leads_to_it() {
        for wanted in 0..SLOTS {
            assert_eq!(tag(wanted).len(), TAG);
            assert_eq!(slot(format!("x:{{{}}}any{{key}}", tag(wanted)).as_bytes()), wanted);
        }
    }
}
