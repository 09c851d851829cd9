//! Random access, the one thing that reading an archive needs.

use std::fs::File;
use std::io;

/// Something that can be read at any place, from several threads at once.
pub trait RangeRead: Send + Sync {
    /// Its size in bytes. It must not change while an archive is read.
    fn size(&self) -> io::Result<u64>;
    /// Fills `buffer` with the bytes from `offset` on; it is an error if there are fewer.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl RangeRead for File {
    fn size(&self) -> io::Result<u64> {
        let metadata = self.metadata()?;
        if metadata.is_file() {
            return Ok(metadata.len());
        }
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "not a regular file, which an archive must be read from",
        ))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }
}

impl RangeRead for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| self.get(start..start.checked_add(buffer.len())?));
        buffer.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Reads a stretch from beginning to end.
pub(crate) struct Stretch<F> {
    pub(crate) file: F,
    pub(crate) at: u64,
    pub(crate) left: u64,
}

impl<F: AsFile> io::Read for Stretch<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.file.as_file().read_exact_at(&mut buffer[..wanted], self.at)?;
        self.at += wanted as u64;
        self.left -= wanted as u64;
        Ok(wanted)
    }
}

/// Whatever leads to the file: a reference, or something that owns it.
pub(crate) trait AsFile {
    fn as_file(&self) -> &dyn RangeRead;
}

impl AsFile for &dyn RangeRead {
    fn as_file(&self) -> &dyn RangeRead {
        *self
    }
}
