//! `RESTORE`, half a million times a second: written as the protocol has it, without detours.

use std::io::Write as _;

use dumprestore_driver::Result;

use super::lifetime::Fate;
use super::line::Line;
use crate::rdb::Entry;

/// A payload that is longer is not copied once more.
const LONG: usize = 16 << 10;

/// Sends the command that makes a key of that name. `scratch` is used again and again.
pub(super) fn send(
    line: &mut Line,
    scratch: &mut Vec<u8>,
    before: &str,
    entry: &Entry,
    fate: Fate,
    payload: &[u8],
) -> Result<()> {
    // Who does not expire needs no word on how that is meant.
    let (expires, absolute) = match fate {
        Fate::Expires(at) => (at, 1),
        Fate::Lasts | Fate::Expired => (0, 0),
    };
    let used = match (entry.idle, entry.freq) {
        (Some(idle), _) => Some(("IDLETIME", idle)),
        (None, Some(freq)) => Some(("FREQ", u64::from(freq))),
        (None, None) => None,
    };
    scratch.clear();
    header(scratch, b'*', 4 + absolute + if used.is_some() { 2 } else { 0 });
    bulk(scratch, b"RESTORE");
    header(scratch, b'$', (before.len() + entry.key.len()) as u64);
    scratch.extend_from_slice(before.as_bytes());
    scratch.extend_from_slice(&entry.key);
    scratch.extend_from_slice(b"\r\n");
    number(scratch, expires);
    header(scratch, b'$', payload.len() as u64);
    let mut write = |bytes: &[u8]| line.wire.write_all(bytes).map_err(|error| line.wire.lost(error));
    if payload.len() > LONG {
        write(scratch)?;
        write(payload)?;
        scratch.clear();
    } else {
        scratch.extend_from_slice(payload);
    }
    scratch.extend_from_slice(b"\r\n");
    if absolute > 0 {
        bulk(scratch, b"ABSTTL");
    }
    if let Some((name, value)) = used {
        bulk(scratch, name.as_bytes());
        number(scratch, value);
    }
    write(scratch)
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    header(out, b'$', bytes.len() as u64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn header(out: &mut Vec<u8>, kind: u8, length: u64) {
    out.push(kind);
    digits(out, length);
    out.extend_from_slice(b"\r\n");
}

/// A number, as a string.
fn number(out: &mut Vec<u8>, value: u64) {
    header(out, b'$', u64::from(value.checked_ilog10().unwrap_or(0)) + 1);
    digits(out, value);
    out.extend_from_slice(b"\r\n");
}

fn digits(out: &mut Vec<u8>, mut value: u64) {
    let from = out.len();
    loop {
        // A remainder of ten is a digit.
        out.push(b'0' + u8::try_from(value % 10).unwrap_or_default());
        value /= 10;
        if value == 0 {
            break;
        }
    }
    if let Some(written) = out.get_mut(from..) {
        written.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for value in [0, 1, 9, 10, 99, 100, 4_102_444_800_123, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            let text = value.to_string();
            assert_eq!(out, format!("${}\r\n{text}\r\n", text.len()).into_bytes());
        }
    }
}
