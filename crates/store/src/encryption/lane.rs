//! One reader of the payload, of which there is one for each thread that reads at the same time.

use std::io::{self, Read, Seek, SeekFrom};

use age::Decryptor;
use age::stream::StreamReader;
use age_core::format::FileKey;

use super::CHUNK;
use super::position::{Encrypted, Foreign, Position};
use super::unlock::{Opener, copy};

/// A reader with a place in the content.
pub(super) struct Lane {
    reader: StreamReader<Position>,
    /// Where it goes on from.
    pub(super) at: u64,
}

impl Lane {
    /// A new one, at the beginning.
    pub(super) fn open(from: &Encrypted, key: &FileKey) -> io::Result<Self> {
        let decryptor = Decryptor::new(Position::start(from.clone())).map_err(io::Error::other)?;
        let opener = Opener(copy(key));
        let identities = std::iter::once(&opener as &dyn age::Identity);
        let reader = decryptor.decrypt(identities).map_err(io::Error::other)?;
        Ok(Self { reader, at: 0 })
    }

    /// How much content there is. Reads the last chunk, which proves that it is the last.
    pub(super) fn size(&mut self) -> io::Result<u64> {
        self.at = self.reader.seek(SeekFrom::End(0))?;
        Ok(self.at)
    }

    /// Fills `buffer` with content from `offset` on; there must be as much. After an error the lane is spent.
    pub(super) fn read(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.at != offset {
            if offset.is_multiple_of(CHUNK) {
                // To the beginning of a chunk age goes only after it has read the last one. Into a chunk it just goes.
                self.reader.seek(SeekFrom::Start(offset + 1))?;
            }
            self.reader.seek(SeekFrom::Start(offset))?;
        }
        self.reader.read_exact(buffer)?;
        self.at = offset + buffer.len() as u64;
        Ok(())
    }
}

/// Whether an error is of the file, and not of what it holds.
pub(super) fn of_file(error: io::Error) -> Result<io::Error, io::Error> {
    Foreign::unwrap(error)
}
