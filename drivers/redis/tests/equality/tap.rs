//! All changes of a server, as a replica gets them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dumprestore_testkit::{RedisServer, TempDir, soon};

/// They are recorded until the server ends.
pub(crate) struct Tap {
    folder: TempDir,
    /// The offset before the first byte.
    from: u64,
    /// Bytes that have come.
    received: Arc<AtomicU64>,
}

impl Tap {
    /// From now on. What the server holds by now is not recorded: it has to be empty.
    pub(crate) fn begin(server: &RedisServer) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.write_all(b"PSYNC ? -1\r\n").unwrap();
        let mut stream = BufReader::with_capacity(1 << 20, stream);
        let answer = line(&mut stream);
        let offset =
            answer.strip_prefix("+FULLRESYNC ").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        let from = offset.unwrap_or_else(|| panic!("{answer}"));
        let length = line(&mut stream);
        let length: u64 = length.strip_prefix('$').unwrap().parse().unwrap();
        std::io::copy(&mut (&mut stream).take(length), &mut std::io::sink()).unwrap();
        let folder = TempDir::with_prefix("dumprestore-").unwrap();
        let mut file = std::fs::File::create(folder.path().join("changes")).unwrap();
        let received = Arc::new(AtomicU64::new(0));
        let count = received.clone();
        std::thread::spawn(move || {
            loop {
                let Ok(bytes) = stream.fill_buf() else { return };
                let length = bytes.len();
                if length == 0 || file.write_all(bytes).is_err() {
                    return;
                }
                stream.consume(length);
                count.fetch_add(length as u64, Ordering::Release);
            }
        });
        Self { folder, from, received }
    }

    /// Up to which offset all has come.
    pub(crate) fn received(&self) -> u64 {
        self.from + self.received.load(Ordering::Acquire)
    }

    /// Gives all changes up to an offset to another server, which is empty. Tells how many bytes that were.
    pub(crate) fn replay(&self, to: u64, server: &RedisServer) -> u64 {
        soon("all changes", || self.received() > to);
        let length = to - self.from;
        let changes = std::fs::File::open(self.folder.path().join("changes")).unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        let mark = "all changes were made";
        let reader = std::thread::spawn(move || {
            let mut answer = Vec::new();
            loop {
                answer.clear();
                assert!(answers.read_until(b'\n', &mut answer).unwrap() > 0, "the server has closed it");
                let text = String::from_utf8_lossy(&answer);
                assert!(!text.starts_with('-'), "{text}");
                if text.trim_end() == mark {
                    return;
                }
            }
        });
        assert_eq!(std::io::copy(&mut changes.take(length), &mut stream).unwrap(), length);
        write!(stream, "*2\r\n$4\r\nECHO\r\n${}\r\n{mark}\r\n", mark.len()).unwrap();
        reader.join().expect("all changes were taken");
        length
    }
}

/// A line that is not empty: those only say that the server is still there.
fn line(stream: &mut impl BufRead) -> String {
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the server has closed it");
        if !line.trim_end().is_empty() {
            return line.trim_end().to_owned();
        }
    }
}
