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
    /// The file ended early: it was truncated.
    Short,
    Failed(Errno),
}

/// Hands over the first `size` bytes of an open file.
pub(crate) fn pour(
    file: &OwnedFd,
    size: u64,
    sparse: bool,
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
    Ok(Poured::All)
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
