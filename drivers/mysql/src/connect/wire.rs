//! Packets on a stream.

use std::io;
use std::ops::Range;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What packets go over: a socket, with TLS or without.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Transport for T {}

const HEADER: usize = 4;
/// What is longer comes in several packets; the last is shorter than this, if need be empty.
pub(super) const LONGEST_PAYLOAD: usize = 0xff_ff_ff;
/// No server takes or sends more (`max_allowed_packet` ends there).
const LONGEST_MESSAGE: usize = (1 << 30) + 64 * 1024;
const READ_AT_ONCE: usize = 256 * 1024;
/// A buffer that one long message has made larger than this is given back after it.
const KEPT: usize = 1024 * 1024;

/// Reads and writes packets. After an error it is of no more use.
///
/// Reading may be given up and taken up again; writing may not.
pub(super) struct Wire {
    stream: Box<dyn Transport>,
    /// Read, and not yet looked at: from `start` to `end`.
    inbox: Vec<u8>,
    start: usize,
    end: usize,
    /// The message that was read last, where it stands in `inbox`; or whole, where it came in several packets.
    message: Range<usize>,
    joined: Vec<u8>,
    joining: bool,
    sequence: u8,
    outbox: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Transport>) -> Self {
        Self {
            stream,
            inbox: vec![0; READ_AT_ONCE],
            start: 0,
            end: 0,
            message: 0..0,
            joined: Vec::new(),
            joining: false,
            sequence: 0,
            outbox: Vec::new(),
        }
    }

    /// The stream, for TLS to be put around it.
    ///
    /// # Errors
    /// If there is something unread: what was sent before the encryption must not pass for what was sent in it.
    pub(super) fn into_stream(self) -> io::Result<(Box<dyn Transport>, u8)> {
        match self.start == self.end {
            true => Ok((self.stream, self.sequence)),
            false => Err(broken("a server sent something in the clear after it had offered TLS")),
        }
    }

    /// Goes on counting packets from there.
    pub(super) fn resume_at(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// A new command begins.
    pub(super) fn begin(&mut self) {
        self.sequence = 0;
    }

    /// The message that was read last.
    pub(super) fn message(&self) -> &[u8] {
        let whole =
            if self.joined.is_empty() { self.inbox.get(self.message.clone()) } else { Some(&*self.joined) };
        whole.unwrap_or_default()
    }

    /// Reads one message, of any number of packets. [`message`](Self::message) has it.
    pub(super) async fn read(&mut self) -> io::Result<()> {
        if !self.joining {
            self.joined.clear();
            if self.joined.capacity() > KEPT {
                self.joined = Vec::new();
            }
        }
        loop {
            let (length, sequence) = self.header().await?;
            self.fill(HEADER + length).await?;
            let payload = self.start + HEADER..self.start + HEADER + length;
            self.start = payload.end;
            let first = self.inbox.get(payload.start).copied();
            // A server that ends the connection by itself says so with an error out of order.
            if sequence != self.sequence && first != Some(0xff) {
                return Err(broken("a server's packets are out of order"));
            }
            self.sequence = sequence.wrapping_add(1);
            if length < LONGEST_PAYLOAD && !self.joining {
                self.message = payload;
                return Ok(());
            }
            self.join(payload)?;
            self.joining = length == LONGEST_PAYLOAD;
            if !self.joining {
                return Ok(());
            }
        }
    }

    fn join(&mut self, payload: Range<usize>) -> io::Result<()> {
        if self.joined.len() + payload.len() > LONGEST_MESSAGE {
            return Err(broken("a server sent a message that is longer than any may be"));
        }
        self.joined.extend_from_slice(self.inbox.get(payload).unwrap_or_default());
        Ok(())
    }

    /// Whether a whole message is there already, so that reading it waits for nothing.
    pub(super) fn has_message(&self) -> bool {
        let there = self.inbox.get(self.start..self.end).unwrap_or_default();
        let Some(&[low, middle, high, _]) = there.get(..HEADER) else { return false };
        let length = usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16;
        length < LONGEST_PAYLOAD && there.len() >= HEADER + length
    }

    async fn header(&mut self) -> io::Result<(usize, u8)> {
        self.fill(HEADER).await?;
        match self.inbox.get(self.start..self.start + HEADER) {
            Some(&[low, middle, high, sequence]) => {
                Ok((usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16, sequence))
            }
            _ => Err(broken("a packet has no header")),
        }
    }

    /// Reads until that many bytes are there.
    async fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.end - self.start >= wanted {
            return Ok(());
        }
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.inbox.len() > LONGEST_PAYLOAD.max(READ_AT_ONCE) / 2 && wanted <= READ_AT_ONCE {
                self.inbox = vec![0; READ_AT_ONCE];
            }
        }
        if self.start + wanted > self.inbox.len() {
            self.inbox.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if wanted > self.inbox.len() {
                self.inbox.resize(wanted.max(READ_AT_ONCE), 0);
            }
        }
        while self.end - self.start < wanted {
            let free = self.inbox.get_mut(self.end..).unwrap_or_default();
            let read = self.stream.read(free).await?;
            if read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the connection"));
            }
            self.end += read;
        }
        Ok(())
    }

    /// Writes one message, begun by `head`, in as many packets as it needs, and sends it.
    pub(super) async fn write(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let (mut head, mut body) = (head, body);
        loop {
            let length = (head.len() + body.len()).min(LONGEST_PAYLOAD);
            let (from_head, head_after) = head.split_at(length.min(head.len()));
            let (from_body, body_after) = body.split_at(length - from_head.len());
            (head, body) = (head_after, body_after);
            let header = (length as u32 | u32::from(self.sequence) << 24).to_le_bytes();
            self.sequence = self.sequence.wrapping_add(1);
            self.outbox.clear();
            self.outbox.extend_from_slice(&header);
            self.outbox.extend_from_slice(from_head);
            if from_body.len() < READ_AT_ONCE {
                self.outbox.extend_from_slice(from_body);
                self.stream.write_all(&self.outbox).await?;
            } else {
                self.stream.write_all(&self.outbox).await?;
                self.stream.write_all(from_body).await?;
            }
            // One that fills its last packet is ended by an empty one.
            if length < LONGEST_PAYLOAD {
                break;
            }
        }
        self.stream.flush().await
    }

    /// Drops the stream, in the middle of whatever is under way.
    pub(super) fn cut(&mut self) {
        self.stream = Box::new(tokio::io::join(tokio::io::empty(), tokio::io::sink()));
        (self.inbox, self.joined, self.outbox) = (Vec::new(), Vec::new(), Vec::new());
        (self.start, self.end, self.message) = (0, 0, 0..0);
    }

    /// Ends the stream, as far as it can still be.
    pub(super) async fn shut_down(&mut self) {
        let _ = self.stream.shutdown().await;
    }
}

/// The server does not speak as it should.
pub(super) fn broken(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads the fields of a message, one after the other.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.0.get(..length)?;
        self.0 = self.0.get(length..)?;
        Some(taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A number of as many bytes as it needs.
    pub(super) fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        let width = match first {
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            0xfb | 0xff => return None,
            small => return Some(u64::from(small)),
        };
        let bytes = self.take(width)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Bytes behind their length.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// Bytes before a zero byte, which is passed over.
    pub(super) fn until_zero(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let taken = self.take(end)?;
        self.byte()?;
        Some(taken)
    }
}
