//! Whether a place has what was written to it.

use std::sync::Arc;

use bytes::Bytes;
use dumprestore_archive::{Archive, Limits, RangeRead};
use dumprestore_driver::{Error, ErrorKind, Result};

/// What was written, as far as it is compared.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    /// The last of them. The very last of an archive are the digest of its manifest, which stands for all of it.
    pub(crate) tail: Bytes,
    pub(crate) content: Content,
}

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// An archive: its manifest and its central directory can be read back.
    Plain,
    /// One that is encrypted, and can't be read without an identity.
    Sealed,
}

/// What came of looking at a copy that was published.
pub(crate) enum Checked {
    /// The place has what was written.
    Same,
    /// It could not be looked at.
    Unknown(Error),
}

impl Written {
    /// Compares size and end, and reads back what an archive consists of but for the content of its parts.
    ///
    /// # Errors
    /// If the place has something else: of kind [`ErrorKind::Archive`]. If it can't be looked at: of another.
    pub(crate) fn compare(&self, there: Arc<dyn RangeRead>) -> Result<Checked> {
        let unread = |error| Error::io("can't read back the archive", error);
        let size = there.size().map_err(unread)?;
        if size != self.bytes {
            return Err(differs(format!("it has {size} bytes there, and {} were written", self.bytes)));
        }
        let mut tail = vec![0; self.tail.len()];
        let at = size - tail.len() as u64;
        there.read_exact_at(&mut tail, at).map_err(unread)?;
        if tail != self.tail {
            return Err(differs("its end is not what was written"));
        }
        if self.content == Content::Plain {
            read_back(there)?;
        }
        Ok(Checked::Same)
    }
}

fn read_back(there: Arc<dyn RangeRead>) -> Result<()> {
    let opened = Archive::open_with(there, &Limits::default(), Some(std::env::temp_dir()));
    match opened {
        Ok(_) => Ok(()),
        Err(error) if is_of_the_archive(error.kind()) => Err(differs(error.to_string())),
        Err(error) => Err(Error::environment(format!("can't read back the archive: {error}"))),
    }
}

fn is_of_the_archive(kind: dumprestore_archive::ErrorKind) -> bool {
    use dumprestore_archive::ErrorKind as Kind;
    !matches!(kind, Kind::Io | Kind::Scratch | Kind::Cancelled)
}

fn differs(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Archive, why).with_hint("the store did not keep what it was given: don't trust it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_length_or_at_its_end_or_is_no_archive_is_not_what_was_written() {
        let written = |content| Written { bytes: 4, tail: Bytes::from_static(b"end"), content };
        let compare = |bytes: &[u8], content| written(content).compare(Arc::new(bytes.to_vec()));
        assert!(matches!(compare(b"xend", Content::Sealed), Ok(Checked::Same)));
        for (bytes, content) in [
            (&b"xxend"[..], Content::Sealed),
            (b"end", Content::Sealed),
            (b"xenD", Content::Sealed),
            (b"xend", Content::Plain),
        ] {
            let error = compare(bytes, content).err();
            assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Archive), "{bytes:?}");
        }
    }
}
