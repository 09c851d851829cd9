//! The first hundred bytes of a database file, as <https://www.sqlite.org/fileformat2.html> defines them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use dumprestore_driver::{Error, Result};

use crate::fault::io_failed;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// How long the header is.
pub(crate) const HEADER: usize = 100;

/// What the header of an image says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) page_size: u64,
    pub(crate) pages: u64,
}

impl Header {
    /// Reads the header of a file of our own that is not open anywhere. `None` if the file has no bytes: that is a
    /// database without any content.
    pub(crate) fn of_file(path: &Path) -> Result<Option<Self>> {
        let fault = || io_failed("can't read the header of the staged database", path);
        let mut file = File::open(path).map_err(fault())?;
        let size = file.metadata().map_err(fault())?.len();
        if size == 0 {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(HEADER);
        Read::by_ref(&mut file).take(HEADER as u64).read_to_end(&mut bytes).map_err(fault())?;
        let header = Self::parse(&bytes)
            .ok_or_else(|| Error::archive("what the archive holds is not a SQLite database"))?;
        if header.pages.checked_mul(header.page_size) != Some(size) {
            return Err(Error::archive("the database in the archive has another size than its header says")
                .with_context("bytes", size)
                .with_context("pages", header.pages)
                .with_context("page size", header.page_size));
        }
        Ok(Some(header))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER || !bytes.starts_with(MAGIC) {
            return None;
        }
        let page_size = match u16::from_be_bytes([bytes[16], bytes[17]]) {
            1 => 65_536,
            size if size >= 512 && size.is_power_of_two() => u64::from(size),
            _ => return None,
        };
        let pages = u32::from_be_bytes([bytes[28], bytes[29], bytes[30], bytes[31]]);
        Some(Self { page_size, pages: u64::from(pages) })
    }
}
