//! What a server sends: a head, and a file whose instant is checked before anything of it is used.

use std::io::{self, BufRead, Read};

use dumprestore_driver::{Error, ErrorKind, Result};

use super::moment::Moment;
use super::pin::{Asked, ended, refused};
use crate::connect::Wire;
use crate::rdb::{Item, Reader};

/// A file that arrives, up to its first key.
pub(super) struct Arrival {
    pub(super) reader: Reader<Body>,
    /// What it says of itself.
    pub(super) remarks: Vec<(Vec<u8>, Vec<u8>)>,
    /// What follows that.
    pub(super) first: Option<Item>,
    /// What follows the file, where its length was not known before.
    mark: Option<[u8; MARK]>,
}

/// How it began.
pub(super) enum Begun {
    Ours(Box<Arrival>),
    /// It is not what was asked for: ask again.
    Again(Again),
}

/// Why a save is asked for again.
pub(super) enum Again {
    /// It was begun before, or after.
    NotOurs(Error),
    /// The server could not make it.
    Failed(Error),
}

/// How long the mark is after a file whose length is not known before.
const MARK: usize = 40;
/// A file says less than that of itself.
const MOST_REMARKS: usize = 1000;

/// Reads the head, and what the file says of itself. Waits until the server begins to send it.
///
/// # Errors
/// If the connection is lost, or what is sent is no such file.
pub(super) fn receive(asked: Asked) -> Result<Begun> {
    let Asked { mut wire, before, after, .. } = asked;
    let Some(head) = head(&mut wire)? else { return Ok(Begun::Again(Again::Failed(ended()))) };
    if head.starts_with(b"-") {
        return Ok(Begun::Again(Again::Failed(refused(&head))));
    }
    let (left, mark) = length(&head)?;
    let reader = Reader::begin(Body { wire, left }).map_err(of_stream)?;
    let mut arrival = Arrival { reader, remarks: Vec::new(), first: None, mark };
    arrival.read_remarks()?;
    match arrival.refuse_other_instants(&before, &after) {
        Ok(()) => Ok(Begun::Ours(Box::new(arrival))),
        Err(error) => Ok(Begun::Again(Again::NotOurs(error))),
    }
}

/// The first line that is not empty: those only say that the server is still there.
fn head(wire: &mut Wire) -> Result<Option<Vec<u8>>> {
    loop {
        let there = wire.fill_buf().map(|bytes| bytes.first().copied());
        match there.map_err(|error| wire.lost(error))? {
            None => return Ok(None),
            Some(b'\n') => wire.consume(1),
            Some(_) => return wire.line().map(Some),
        }
    }
}

/// How long the file is, or what follows it.
fn length(head: &[u8]) -> Result<(Option<u64>, Option<[u8; MARK]>)> {
    if let Some(mark) = head.strip_prefix(b"$EOF:").and_then(|mark| mark.try_into().ok()) {
        return Ok((None, Some(mark)));
    }
    let digits = head.strip_prefix(b"$").and_then(|digits| std::str::from_utf8(digits).ok());
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(length) => Ok((Some(length), None)),
        None => Err(Error::environment("what answers does not send its data as a server does")
            .with_context("answer", head.escape_ascii())),
    }
}

impl Arrival {
    /// What the file says of itself under that name.
    pub(super) fn remark(&self, name: &str) -> Option<&str> {
        let (_, value) = self.remarks.iter().find(|(found, _)| found == name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }

    fn read_remarks(&mut self) -> Result<()> {
        while self.remarks.len() < MOST_REMARKS {
            match self.reader.next().map_err(of_stream)? {
                Some(Item::Aux { name, value }) => self.remarks.push((name, value)),
                first => {
                    self.first = first;
                    return Ok(());
                }
            }
        }
        Err(Error::environment("what the server sends is no file of its data"))
    }

    fn refuse_other_instants(&self, before: &Moment, after: &Moment) -> Result<()> {
        let offset = self.remark("repl-offset").and_then(|offset| offset.parse::<u64>().ok());
        let history = self.remark("repl-id");
        if history == Some(after.history.as_str())
            && offset.is_some_and(|offset| (before.offset..=after.offset).contains(&offset))
        {
            return Ok(());
        }
        Err(Error::environment("the server sends a save of another instant than that of the cut")
            .with_context("offset", offset.map_or_else(|| "none".to_owned(), |offset| offset.to_string()))
            .with_context("expected", format!("{} to {}", before.offset, after.offset))
            .with_hint("others begin saves all the time: run it again at a quieter moment"))
    }

    /// Checks that the file was all there is.
    ///
    /// # Errors
    /// If something else follows it, or nothing where something should.
    pub(super) fn end(self) -> Result<()> {
        let (mut body, mut ahead) = self.reader.into_inner();
        let expected = self.mark.as_ref().map(<[u8; MARK]>::as_slice).unwrap_or_default();
        while ahead.len() < expected.len() {
            let mut more = [0; MARK];
            let most = expected.len() - ahead.len();
            let read = body.read(more.get_mut(..most).unwrap_or_default());
            let read = read.map_err(|error| Error::io("the end of the data did not come", error))?;
            ahead.extend_from_slice(more.get(..read).unwrap_or_default());
        }
        // Without `rdb-only`, older servers go on with their changes.
        let whole = match body.left {
            Some(left) => left == 0 && ahead.is_empty(),
            None => ahead.starts_with(expected),
        };
        if whole {
            Ok(())
        } else {
            Err(Error::environment("the data that the server sent do not end as they should"))
        }
    }
}

/// The file as it comes.
pub(super) struct Body {
    wire: Wire,
    left: Option<u64>,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        let most = most.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let read = self.wire.read(buffer)?;
        if read == 0 {
            return Err(cut_off().into());
        }
        if let Some(left) = &mut self.left {
            *left -= read as u64;
        }
        Ok(read)
    }
}

fn cut_off() -> Error {
    Error::environment("the server has ended the connection in the midst of its data").with_hint(
        "it was stopped, or we were too slow for its `repl-timeout` or `client-output-buffer-limit replica`: see its log, \
         and run it again",
    )
}

/// What is damaged on its way is no archive.
pub(super) fn of_stream(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Archive => error
            .with_kind(ErrorKind::Environment)
            .with_context("while", "the server sent its data")
            .with_hint("its memory or the network may be at fault: see its log, and run it again"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_a_length_or_a_mark() {
        assert_eq!(length(b"$172").unwrap(), (Some(172), None));
        let mark = [b'a'; MARK];
        assert_eq!(length(&[&b"$EOF:"[..], &mark].concat()).unwrap(), (None, Some(mark)));
        for wrong in [&b"$"[..], b"$-1", b"$EOF:short", b"+FULLRESYNC", b"$12x", b"HTTP/1.1 400"] {
            assert!(length(wrong).is_err());
        }
    }
}
