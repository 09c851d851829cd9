//! What a server answers: version 2 of its protocol.

use std::io::{self, BufRead, Read};

/// A line of the protocol is a number or a message.
const LONGEST_LINE: u64 = 64 * 1024;
/// No answer to any command of ours is nested deeper.
const DEEPEST: u32 = 16;
/// As many elements as room is made for before any of them has come.
const ROOM: usize = 1024;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `OK`, `QUEUED`, `PONG`.
    Simple(String),
    /// A refusal, with its code in front: `NOPERM …`.
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    /// No such thing.
    Null,
    Array(Vec<Reply>),
}

/// As the `redis` crate has it, which knows how to make other types of it. An error within an array comes as its text.
impl From<Reply> for redis::Value {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Simple(text) if text == "OK" => Self::Okay,
            Reply::Simple(text) | Reply::Error(text) => Self::SimpleString(text),
            Reply::Integer(number) => Self::Int(number),
            Reply::Bulk(bytes) => Self::BulkString(bytes),
            Reply::Null => Self::Nil,
            Reply::Array(replies) => Self::Array(replies.into_iter().map(Into::into).collect()),
        }
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("what answers does not speak Redis: {what}"))
}

/// Reads a line, without its end.
pub(super) fn read_line(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(match line.len() as u64 + 1 >= LONGEST_LINE {
            true => broken("a line has no end"),
            false => io::ErrorKind::UnexpectedEof.into(),
        });
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

/// Reads an answer. Memory is taken as bytes come, not by the length that is told first.
pub(super) fn read_reply(from: &mut impl BufRead) -> io::Result<Reply> {
    read_nested(from, 0)
}

fn read_nested(from: &mut impl BufRead, depth: u32) -> io::Result<Reply> {
    let line = read_line(from)?;
    let (kind, rest) = line.split_first().ok_or_else(|| broken("an empty line"))?;
    let text = || String::from_utf8_lossy(rest).into_owned();
    Ok(match kind {
        b'+' => Reply::Simple(text()),
        b'-' => Reply::Error(text()),
        b':' => Reply::Integer(number(rest)?),
        b'$' => match length(rest)? {
            Some(length) => Reply::Bulk(read_bulk(from, length)?),
            None => Reply::Null,
        },
        b'*' => match length(rest)? {
            Some(_) if depth >= DEEPEST => return Err(broken("an array is nested too deeply")),
            Some(length) => {
                let mut replies = Vec::with_capacity(usize::try_from(length).unwrap_or(ROOM).min(ROOM));
                for _ in 0..length {
                    replies.push(read_nested(from, depth + 1)?);
                }
                Reply::Array(replies)
            }
            None => Reply::Null,
        },
        _ => return Err(broken("an answer of an unknown kind")),
    })
}

fn read_bulk(from: &mut impl BufRead, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = from.by_ref().take(length).read_to_end(&mut bytes)?;
    let mut end = [0; 2];
    if read as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    from.read_exact(&mut end)?;
    if end != *b"\r\n" {
        return Err(broken("a value is longer than was told"));
    }
    Ok(bytes)
}

fn number(digits: &[u8]) -> io::Result<i64> {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| broken("a number that is none"))
}

/// A length, or none for what is not there.
fn length(digits: &[u8]) -> io::Result<Option<u64>> {
    match number(digits)? {
        -1 => Ok(None),
        length => u64::try_from(length).map(Some).map_err(|_| broken("a length below zero")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn written(reply: &Reply) -> Vec<u8> {
        match reply {
            Reply::Simple(text) => format!("+{text}\r\n").into_bytes(),
            Reply::Error(text) => format!("-{text}\r\n").into_bytes(),
            Reply::Integer(number) => format!(":{number}\r\n").into_bytes(),
            Reply::Null => b"$-1\r\n".to_vec(),
            Reply::Bulk(bytes) => {
                let mut out = format!("${}\r\n", bytes.len()).into_bytes();
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
                out
            }
            Reply::Array(replies) => {
                let mut out = format!("*{}\r\n", replies.len()).into_bytes();
                replies.iter().for_each(|reply| out.extend(written(reply)));
                out
            }
        }
    }

    fn any_reply() -> impl Strategy<Value = Reply> {
        let leaf = prop_oneof![
            "[a-zA-Z ]{0,20}".prop_map(Reply::Simple),
            "[A-Z]{1,8} [a-z ]{0,20}".prop_map(Reply::Error),
            any::<i64>().prop_map(Reply::Integer),
            proptest::collection::vec(any::<u8>(), 0..50).prop_map(Reply::Bulk),
            Just(Reply::Null),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| proptest::collection::vec(inner, 0..5).prop_map(Reply::Array))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_answer_is_read_as_it_was_written_and_no_byte_more(reply in any_reply(), rest in "[a-z]{0,5}") {
            let mut bytes = written(&reply);
            bytes.extend_from_slice(rest.as_bytes());
            let mut from = bytes.as_slice();
            prop_assert_eq!(read_reply(&mut from).unwrap(), reply);
            prop_assert_eq!(from, rest.as_bytes());
        }

        #[test]
        fn an_answer_that_is_cut_short_is_an_error(reply in any_reply(), cut in any::<prop::sample::Index>()) {
            let bytes = written(&reply);
            let mut from = &bytes[..cut.index(bytes.len())];
            prop_assert!(read_reply(&mut from).is_err());
        }

        #[test]
        fn no_bytes_whatever_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _whatever = read_reply(&mut bytes.as_slice());
        }
    }

    #[test]
    fn lengths_that_are_only_claimed_take_no_memory() {
        for claim in ["$9223372036854775807\r\nab", "*9223372036854775807\r\n:1\r\n"] {
            assert!(read_reply(&mut claim.as_bytes()).is_err());
        }
        let deep = "*1\r\n".repeat(100_000);
        assert!(read_reply(&mut deep.as_bytes()).is_err());
    }
}
