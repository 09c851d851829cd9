//! Handing over the bytes of an open file.

use std::os::fd::{AsFd, OwnedFd};

use dumprestore_driver::Result;
use rustix::fs::{Advice, SeekFrom, fadvise, seek};
use rustix::io::{Errno, read};

/// From here on the kernel is told that all will be read.
const LARGE: u64 = 1 << 20;

/// How that ended.
pub(crate) enum Poured {
    All,
    /// The file ended early, or not at all.
    Short,
    Failed(Errno),
}

/// How far to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// As many bytes as were told of, though there may be more by now.
    AsLooked,
    /// To where nothing follows.
    OfFile,
}

/// A file that grows faster than it is read has no end: it is left after so many bytes more than it had.
const MOST_GROWN: u64 = 256 << 20;

/// Hands over the first `size` bytes of an open file, and what follows, if that is asked for.
pub(crate) fn pour(
    file: &OwnedFd,
    size: u64,
    sparse: bool,
    end: End,
    buffer: &mut [u8],
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<Poured> {
    if size >= LARGE {
        // Advice; if it is not taken, nothing is lost.
        let _ = fadvise(file, 0, None, Advice::Sequential);
    }
    let mut at = 0;
    while at < size {
        let data_end = if sparse {
            let (hole_end, data_end) = next_data(file, at, size);
            pour_zeros(hole_end - at, sink)?;
            at = hole_end;
            if at < size && seek(file, SeekFrom::Start(at)).is_err() {
                return Ok(Poured::Failed(Errno::IO));
            }
            data_end
        } else {
            size
        };
        while at < data_end {
            let most = buffer.len().min(usize::try_from(data_end - at).unwrap_or(usize::MAX));
            match read(file.as_fd(), &mut buffer[..most]) {
                Ok(0) => return Ok(Poured::Short),
                Ok(length) => {
                    sink(&buffer[..length])?;
                    at += length as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Ok(Poured::Failed(error)),
            }
        }
    }
    match end {
        End::AsLooked => Ok(Poured::All),
        // Looking for holes has moved the position.
        End::OfFile if seek(file, SeekFrom::Start(size)).is_err() => Ok(Poured::Failed(Errno::IO)),
        End::OfFile => pour_rest(file, buffer, sink),
    }
}

fn pour_rest(file: &OwnedFd, buffer: &mut [u8], sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Poured> {
    let mut more = 0;
    while more < MOST_GROWN {
        match read(file.as_fd(), &mut *buffer) {
            Ok(0) => return Ok(Poured::All),
            Ok(length) => {
                sink(&buffer[..length])?;
                more += length as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Ok(Poured::Failed(error)),
        }
    }
    Ok(Poured::Short)
}

/// From where to where the next data lie.
fn next_data(file: &OwnedFd, at: u64, size: u64) -> (u64, u64) {
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start.clamp(at, size),
        // Nothing but a hole up to the end.
        Err(Errno::NXIO) => return (size, size),
        // The file system does not tell: all of it is data.
        Err(_) => return (at, size),
    };
    let end = seek(file, SeekFrom::Hole(start)).unwrap_or(size);
    (start, end.clamp(start, size).max((start + 1).min(size)))
}

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

fn pour_zeros(mut count: u64, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    while count > 0 {
        let some = ZEROS.len().min(usize::try_from(count).unwrap_or(usize::MAX));
        sink(&ZEROS[..some])?;
        count -= some as u64;
    }
    Ok(())
}
