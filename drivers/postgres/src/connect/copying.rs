//! Rows that a server copies out.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::TryStreamExt;
use tokio_postgres::CopyOutStream;

use super::transport::{HEADER, Held, Taken, header};

/// Read from the socket at once, at the most.
const READ: usize = 256 << 10;
/// After less than that it is worth waiting a moment: whoever waits for the server is woken for each 8 KB, and each time
/// costs both sides more than the rows do. In so short a moment no server fills what lies between.
const SHORT: usize = 64 << 10;
const MOMENT: Duration = Duration::from_micros(250);
/// How long a thread blocks, at the most, before it looks whether the run is to stop.
const PATIENCE: Duration = Duration::from_millis(50);

const ROWS: u8 = b'd';

/// The answer to a `COPY … TO STDOUT`.
pub(crate) struct CopyOut<'a> {
    // Given back before the client goes on.
    direct: Option<Direct<'a>>,
    held: Option<Held<'a>>,
    client: Pin<Box<CopyOutStream>>,
    /// From the client, and not handed out.
    piece: Bytes,
}

impl<'a> CopyOut<'a> {
    /// Rows that `client` has been promised, read from the socket where it is held.
    pub(super) fn new(client: CopyOutStream, held: Option<Held<'a>>) -> Self {
        let direct = held.as_ref().and_then(|held| held.take(PATIENCE)).map(Direct::new);
        Self { direct, held, client: Box::pin(client), piece: Bytes::new() }
    }

    /// Adds to `rows` until there are `enough` bytes, and no more. False at the end, when there may be less. Blocks the
    /// thread.
    pub(crate) async fn fill(
        &mut self,
        rows: &mut Vec<u8>,
        enough: usize,
    ) -> Result<bool, tokio_postgres::Error> {
        while let Some(direct) = &mut self.direct {
            match direct.fill(rows, enough) {
                Progress::Enough => {
                    // Whoever waits for something else as well is to have a look at it.
                    tokio::task::yield_now().await;
                    return Ok(true);
                }
                Progress::Silence => tokio::task::yield_now().await,
                Progress::Other => {
                    self.direct = None;
                    self.held = None;
                }
            }
        }
        self.fill_by_client(rows, enough).await
    }

    async fn fill_by_client(
        &mut self,
        rows: &mut Vec<u8>,
        enough: usize,
    ) -> Result<bool, tokio_postgres::Error> {
        loop {
            let count = self.piece.len().min(enough.saturating_sub(rows.len()));
            rows.extend_from_slice(&self.piece[..count]);
            self.piece.advance(count);
            if rows.len() >= enough {
                return Ok(true);
            }
            match self.client.try_next().await? {
                Some(piece) => self.piece = piece,
                None => return Ok(false),
            }
        }
    }
}

/// What became of waiting for rows.
enum Progress {
    Enough,
    /// The server has sent nothing for a while.
    Silence,
    /// What follows is no row, or nothing at all: the client knows what to do about it.
    Other,
}

/// Reads rows from the socket itself. Dropped, what it has not handed out is the client's.
struct Direct<'a> {
    taken: Taken<'a>,
    /// Read, and not handed out: from `at` to `end`.
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// So much of a row is still to come.
    left: usize,
    last_read: usize,
}

impl<'a> Direct<'a> {
    fn new(mut taken: Taken<'a>) -> Self {
        let mut buffer = std::mem::take(&mut taken.unread);
        let end = buffer.len();
        buffer.resize(end.max(READ), 0);
        Self { taken, buffer, at: 0, end, left: 0, last_read: READ }
    }

    fn fill(&mut self, rows: &mut Vec<u8>, enough: usize) -> Progress {
        loop {
            if !self.hand_out(rows, enough) {
                return Progress::Other;
            }
            if rows.len() >= enough {
                return Progress::Enough;
            }
            match self.read() {
                Ok(0) => return Progress::Other,
                Ok(_) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Progress::Silence,
                    io::ErrorKind::Interrupted => {}
                    // The client will meet it as well.
                    _ => return Progress::Other,
                },
            }
        }
    }

    /// False: what comes next is no row.
    fn hand_out(&mut self, rows: &mut Vec<u8>, enough: usize) -> bool {
        while rows.len() < enough {
            let unread = &self.buffer[self.at..self.end];
            if self.left == 0 {
                match header(unread) {
                    Some((ROWS, length)) => {
                        self.at += HEADER;
                        self.left = length - HEADER;
                        continue;
                    }
                    Some(_) => return false,
                    None => break,
                }
            }
            let count = self.left.min(unread.len()).min(enough - rows.len());
            if count == 0 {
                break;
            }
            rows.extend_from_slice(&unread[..count]);
            self.at += count;
            self.left -= count;
        }
        true
    }

    fn read(&mut self) -> io::Result<usize> {
        if self.last_read < SHORT {
            std::thread::sleep(MOMENT);
        }
        self.buffer.copy_within(self.at..self.end, 0);
        self.end -= self.at;
        self.at = 0;
        self.last_read = self.taken.read(&mut self.buffer[self.end..])?;
        self.end += self.last_read;
        Ok(self.last_read)
    }
}

impl Drop for Direct<'_> {
    fn drop(&mut self) {
        let unread = &self.buffer[self.at..self.end];
        self.taken.unread = match self.left {
            0 => unread.to_vec(),
            // Of a row that was begun the client gets the rest, as a row.
            left => {
                let length = u32::try_from(left + HEADER - 1).unwrap_or(u32::MAX);
                [&[ROWS][..], &length.to_be_bytes(), unread].concat()
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::super::socket::Socket;
    use super::super::transport::{Speech, transport};
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    #[tokio::test]
    async fn rows_are_read_past_the_client_and_what_is_left_of_them_is_the_clients() {
        let (ours, mut server) = UnixStream::pair().unwrap();
        let (mut client, tap) = transport(Socket::Unix(ours), Speech::Messages);
        let follow = message(b'H', b"\0\0\0");
        let rows = [message(b'd', b"one\n"), message(b'd', b""), message(b'd', b"twenty\n")].concat();
        let held = tap.hold().unwrap();
        server.write_all(&[&follow[..], &rows[..7]].concat()).await.unwrap();
        client.read_exact(&mut vec![0; follow.len()]).await.unwrap();

        let mut direct = Direct::new(held.take(PATIENCE).unwrap());
        let mut got = Vec::new();
        assert!(matches!(direct.fill(&mut got, 9), Progress::Silence));
        server.write_all(&rows[7..]).await.unwrap();
        server.write_all(&message(b'c', b"")).await.unwrap();
        assert!(matches!(direct.fill(&mut got, 9), Progress::Enough));
        assert_eq!(got, b"one\ntwent");
        drop((direct, held));
        let rest = [message(b'd', b"y\n"), message(b'c', b"")].concat();
        let mut got = vec![0; rest.len()];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(got, rest);
    }

    #[tokio::test]
    async fn what_is_no_row_is_left_to_the_client() {
        for other in [message(b'c', b""), message(b'E', b"no\0"), message(b'N', b"look\0"), Vec::new()] {
            let (ours, mut server) = UnixStream::pair().unwrap();
            let (mut client, tap) = transport(Socket::Unix(ours), Speech::Messages);
            let held = tap.hold().unwrap();
            server.write_all(&message(b'H', b"")).await.unwrap();
            client.read_exact(&mut [0; HEADER]).await.unwrap();
            server.write_all(&[message(b'd', b"row\n"), other.clone()].concat()).await.unwrap();
            drop(server);
            let mut direct = Direct::new(held.take(PATIENCE).unwrap());
            let mut got = Vec::new();
            assert!(matches!(direct.fill(&mut got, 99), Progress::Other));
            assert_eq!(got, b"row\n");
            drop((direct, held));
            let mut left = Vec::new();
            client.read_to_end(&mut left).await.unwrap();
            assert_eq!(left, other);
        }
    }
}
