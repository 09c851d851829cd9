//! A place in a file, to read on from: what age reads from.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use dumprestore_archive::RangeRead;

/// The encrypted file, its size, and its beginning, which every new reader reads again.
#[derive(Clone)]
pub(super) struct Encrypted {
    pub(super) file: Arc<dyn RangeRead>,
    pub(super) head: Arc<[u8]>,
    pub(super) size: u64,
}

/// Bytes at the beginning that are read at once: more than any header has.
pub(super) const HEAD: u64 = 64 << 10;

impl Encrypted {
    pub(super) fn new(file: Arc<dyn RangeRead>) -> io::Result<Self> {
        let size = file.size()?;
        let mut head = vec![0; usize::try_from(size.min(HEAD)).unwrap_or_default()];
        file.read_exact_at(&mut head, 0)?;
        Ok(Self { file, head: head.into(), size })
    }
}

/// Reads the encrypted file from one place on.
pub(super) struct Position {
    from: Encrypted,
    at: u64,
}

impl Position {
    pub(super) fn start(from: Encrypted) -> Self {
        Self { from, at: 0 }
    }
}

impl Read for Position {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.from.size.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let head = usize::try_from(self.at).ok().and_then(|at| self.from.head.get(at..)).unwrap_or_default();
        let read = if head.is_empty() {
            let read = buffer.len().min(left);
            if read > 0 {
                self.from.file.read_exact_at(&mut buffer[..read], self.at).map_err(Foreign::wrap)?;
            }
            read
        } else {
            let read = buffer.len().min(head.len());
            buffer[..read].copy_from_slice(&head[..read]);
            read
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Position {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.from.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// An error of the file that is read, not of what it holds: it goes through age untouched.
#[derive(Debug)]
pub(super) struct Foreign(io::Error);

impl Foreign {
    fn wrap(error: io::Error) -> io::Error {
        // age would try again for ever.
        let kind = match error.kind() {
            io::ErrorKind::Interrupted => io::ErrorKind::Other,
            kind => kind,
        };
        io::Error::new(kind, Self(error))
    }

    /// The file's own error, if it is one; else what age says of the content.
    pub(super) fn unwrap(error: io::Error) -> Result<io::Error, io::Error> {
        error.downcast::<Self>().map(|foreign| foreign.0)
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Foreign {}
