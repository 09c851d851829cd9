//! Between the client and the socket: passes bytes on, until rows are to be read without the client.
//!
//! A server sends rows 8 KB at a time. Through the client each such piece wakes a thread of the runtime, which wakes the
//! thread that wants the rows: half of what a dump takes of a processor went into that. So while a table is copied out,
//! the thread that wants the rows reads the socket itself (`copying.rs`), and the runtime does not hear of it.
//!
//! For that the transport knows where messages begin. When it was [told to](Tap::hold) it passes nothing on that comes
//! behind the next message which says that rows follow. What is encrypted it can't tell apart, and only passes on.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::{Blocking, Socket};

/// Read at once for the client.
const BUFFER: usize = 32 << 10;
/// A kind, and a length that counts itself.
pub(super) const HEADER: usize = 5;
const ROWS_FOLLOW: u8 = b'H';
const TLS_FOLLOWS: u8 = b'S';

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    /// Messages, in plain.
    Messages,
    /// The answer to whether there may be TLS, and then what it says.
    Answer,
    /// What only the ends understand.
    Encrypted,
}

/// What a client reads from, and writes to.
pub(super) struct Transport(Arc<Mutex<State>>);

/// The other hand on a transport.
#[derive(Clone)]
pub(super) struct Tap(Arc<Mutex<State>>);

struct State {
    socket: Place,
    speech: Speech,
    /// Read, and not passed on: from `at` on.
    buffer: Vec<u8>,
    at: usize,
    /// So much of the message that is being passed on is still to come.
    left: usize,
    kind: u8,
    hold: Hold,
    /// Who waits for the socket to be given back.
    reader: Option<Waker>,
    writer: Option<Waker>,
}

enum Place {
    Here(Socket),
    Taken,
    /// It could not be given back.
    Lost,
}

impl Place {
    /// The socket. None while it is taken.
    fn get(&mut self) -> io::Result<Option<&mut Socket>> {
        match self {
            Self::Here(socket) => Ok(Some(socket)),
            Self::Taken => Ok(None),
            Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    No,
    /// Behind the message after which rows come.
    Asked,
    /// That one has been passed on.
    Now,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A transport of that socket.
pub(super) fn transport(socket: Socket, speech: Speech) -> (Transport, Tap) {
    let state = Arc::new(Mutex::new(State {
        socket: Place::Here(socket),
        speech,
        buffer: Vec::new(),
        at: 0,
        left: 0,
        kind: 0,
        hold: Hold::No,
        reader: None,
        writer: None,
    }));
    (Transport(state.clone()), Tap(state))
}

impl State {
    fn poll_read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (begun, room) = (out.filled().len(), out.remaining());
        loop {
            match self.speech {
                Speech::Messages => self.pass_on(out),
                Speech::Answer => self.pass_answer_on(out),
                Speech::Encrypted => {
                    let count = self.rest().len();
                    self.pass(count, out);
                }
            }
            if room == 0 || out.filled().len() > begun {
                return Poll::Ready(Ok(()));
            }
            if self.hold == Hold::Now {
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// Passes messages on, as far as they are there.
    fn pass_on(&mut self, out: &mut ReadBuf<'_>) {
        while self.hold != Hold::Now && out.remaining() > 0 {
            if self.left == 0 {
                let Some((kind, length)) = header(self.rest()) else { return };
                (self.kind, self.left) = (kind, length);
            }
            let passed = self.pass(self.left, out);
            self.left -= passed;
            if self.left == 0 && self.kind == ROWS_FOLLOW && self.hold == Hold::Asked {
                self.hold = Hold::Now;
            }
            if passed == 0 {
                return;
            }
        }
    }

    /// One byte. Nothing is looked at behind it that TLS has not said.
    fn pass_answer_on(&mut self, out: &mut ReadBuf<'_>) {
        let Some(answer) = self.rest().first().copied() else { return };
        if self.pass(1, out) == 1 {
            self.speech = if answer == TLS_FOLLOWS { Speech::Encrypted } else { Speech::Messages };
        }
    }

    fn pass(&mut self, most: usize, out: &mut ReadBuf<'_>) -> usize {
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let count = most.min(rest.len()).min(out.remaining());
        out.put_slice(&rest[..count]);
        self.at += count;
        count
    }

    /// Reads from the socket. 0: it has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { socket, buffer, at, reader, .. } = self;
        let Some(socket) = socket.get()? else {
            *reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        buffer.drain(..*at);
        *at = 0;
        let begun = buffer.len();
        buffer.resize(begun + BUFFER, 0);
        let mut into = ReadBuf::new(&mut buffer[begun..]);
        let read = socket.poll_read(cx, &mut into);
        let count = into.filled().len();
        buffer.truncate(begun + count);
        read.map_ok(|()| count)
    }

    /// The socket, to write to. `None`: whoever waits is woken when it is back.
    fn writable(&mut self, cx: &mut Context<'_>) -> io::Result<Option<&mut Socket>> {
        let socket = self.socket.get()?;
        if socket.is_none() {
            self.writer = Some(cx.waker().clone());
        }
        Ok(socket)
    }

    fn wake(&mut self) {
        [self.reader.take(), self.writer.take()].into_iter().flatten().for_each(Waker::wake);
    }
}

/// Kind and whole length of the message that begins so. A length that can't be is the client's to refuse: it is given
/// what there is.
pub(super) fn header(bytes: &[u8]) -> Option<(u8, usize)> {
    let (header, _) = bytes.split_first_chunk::<HEADER>()?;
    let [kind, length @ ..] = *header;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
    Some((kind, length.max(HEADER - 1) + 1))
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match lock(&self.0).writable(cx)? {
            Some(socket) => socket.poll_write(cx, pieces),
            None => Poll::Pending,
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing is held back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match lock(&self.0).writable(cx)? {
            Some(socket) => socket.poll_shutdown(cx),
            None => Poll::Pending,
        }
    }
}

impl Tap {
    /// From the next message on that says that rows follow, the client waits, until the socket has been taken and given
    /// back, or the hold [let go](Held). None if that can't be, for what is spoken is encrypted.
    pub(super) fn hold(&self) -> Option<Held<'_>> {
        let mut state = lock(&self.0);
        (state.speech == Speech::Messages).then(|| {
            state.hold = Hold::Asked;
            Held(&self.0)
        })
    }
}

/// The client waits, or soon will. Dropped, it goes on.
pub(super) struct Held<'a>(&'a Mutex<State>);

impl<'a> Held<'a> {
    /// Takes the socket, and what has been read from it, once the client has been told that rows follow. Its reads
    /// block for so long at the most. None if that can't be: then the client has it still.
    pub(super) fn take(&self, limit: Duration) -> Option<Taken<'a>> {
        let mut state = lock(self.0);
        if state.hold != Hold::Now || !matches!(state.socket, Place::Here(_)) {
            return None;
        }
        let Place::Here(socket) = std::mem::replace(&mut state.socket, Place::Lost) else { return None };
        let socket = socket.block(limit).ok()?;
        state.socket = Place::Taken;
        let mut unread = std::mem::take(&mut state.buffer);
        unread.drain(..std::mem::take(&mut state.at));
        Some(Taken { state: self.0, socket: Some(socket), unread })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut state = lock(self.0);
        state.hold = Hold::No;
        state.wake();
    }
}

/// The socket, for as long as the client does not have it. Dropped, the client has it again.
pub(super) struct Taken<'a> {
    state: &'a Mutex<State>,
    socket: Option<Blocking>,
    /// What was read, and is the client's to read: whole messages from their beginning on.
    pub(super) unread: Vec<u8>,
}

impl Taken<'_> {
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let lost = || io::Error::from(io::ErrorKind::NotConnected);
        self.socket.as_ref().ok_or_else(lost)?.read(buffer)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // Without a runtime there is no client either.
        let runtime = tokio::runtime::Handle::try_current().ok();
        let given = self.socket.take().filter(|_| runtime.is_some()).map(Blocking::unblock);
        let mut state = lock(self.state);
        state.buffer = std::mem::take(&mut self.unread);
        state.socket = match given {
            Some(Ok(socket)) => Place::Here(socket),
            _ => Place::Lost,
        };
        state.wake();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);

    fn pair(speech: Speech) -> (UnixStream, Transport, Tap) {
        let (ours, server) = UnixStream::pair().unwrap();
        let (transport, tap) = transport(Socket::Unix(ours), speech);
        (server, transport, tap)
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    async fn read(from: &mut Transport, expected: &[u8]) {
        let mut got = vec![0; expected.len()];
        from.read_exact(&mut got).await.unwrap();
        assert_eq!(got, expected);
    }

    /// Whether there is nothing to read for now.
    async fn is_silent(transport: &mut Transport) -> bool {
        tokio::time::timeout(Duration::from_millis(30), transport.read_u8()).await.is_err()
    }

    #[tokio::test]
    async fn nothing_behind_the_message_that_rows_follow_is_passed_on_while_it_is_held() {
        let (mut server, mut transport, tap) = pair(Speech::Messages);
        let (before, follow) = (message(b'1', b""), message(b'H', b"\0\0\0"));
        let rows = [message(b'd', b"one\n"), message(b'c', b"")].concat();
        let held = tap.hold().unwrap();
        assert!(held.take(LIMIT).is_none());
        server.write_all(&[&before[..], &follow, &rows].concat()).await.unwrap();
        read(&mut transport, &[&before[..], &follow].concat()).await;
        assert!(is_silent(&mut transport).await);
        let taken = held.take(LIMIT).unwrap();
        assert_eq!(taken.unread, rows);
        assert!(is_silent(&mut transport).await);
        drop(taken);
        assert!(is_silent(&mut transport).await);
        drop(held);
        read(&mut transport, &rows).await;
        server.write_all(&follow).await.unwrap();
        server.write_all(&rows).await.unwrap();
        read(&mut transport, &[&follow[..], &rows].concat()).await;
    }

    #[tokio::test]
    async fn what_is_written_while_the_socket_is_taken_goes_out_when_it_is_given_back() {
        let (mut server, mut transport, tap) = pair(Speech::Messages);
        let follow = message(b'H', b"");
        let held = tap.hold().unwrap();
        server.write_all(&follow).await.unwrap();
        read(&mut transport, &follow).await;
        let taken = held.take(LIMIT).unwrap();
        let writing = tokio::spawn(async move { transport.write_all(b"bye").await });
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop((taken, held));
        let mut got = [0; 3];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"bye");
        writing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn only_what_is_in_plain_can_be_held() {
        for (answer, plain) in [(b'N', true), (b'S', false)] {
            let (mut server, mut transport, tap) = pair(Speech::Answer);
            assert!(tap.hold().is_none());
            server.write_all(&[&[answer][..], b"\x17\x03\x03\x7f\xffmore"].concat()).await.unwrap();
            let mut first = [0; 2];
            assert_eq!(transport.read(&mut first).await.unwrap(), 1);
            assert_eq!(tap.hold().is_some(), plain);
            read(&mut transport, b"\x17\x03\x03\x7f\xffmore").await;
        }
    }

    #[tokio::test]
    async fn the_end_is_passed_on() {
        let (server, mut transport, _tap) = pair(Speech::Messages);
        drop(server);
        assert_eq!(transport.read(&mut [0]).await.unwrap(), 0);
    }
}
