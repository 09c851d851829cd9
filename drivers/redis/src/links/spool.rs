//! References that were read on the way, kept until they are asked for.

use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use dumprestore_driver::{Digest, Error, Key, KeySink, Reference, Result};
use tempfile::SpooledTempFile;

use super::keys::Found;

/// In bytes. What is more goes to a scratch file without a name.
const IN_MEMORY: usize = 8 << 20;

/// Takes references.
pub(crate) struct Spool {
    into: BufWriter<SpooledTempFile>,
    is_empty: bool,
}

/// Gives them, in the order in which they came, as often as they are asked for.
pub(crate) struct Spooled(SpooledTempFile);

const PLAIN: u8 = 0;
const WITH_DIGEST: u8 = 1;
const MALFORMED: u8 = 2;

impl Spool {
    /// One whose scratch file would be in that folder.
    pub(crate) fn new(scratch: &Path) -> Self {
        let file = tempfile::spooled_tempfile_in(IN_MEMORY, scratch);
        Self { into: BufWriter::with_capacity(64 << 10, file), is_empty: true }
    }

    /// Whether none was kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Keeps one.
    ///
    /// # Errors
    /// If the scratch file can't be written.
    pub(crate) fn push(&mut self, found: &Found) -> Result<()> {
        self.is_empty = false;
        self.write(found).map_err(failed)
    }

    /// All of them.
    ///
    /// # Errors
    /// If the scratch file can't be written.
    pub(crate) fn finish(self) -> Result<Spooled> {
        self.into.into_inner().map(Spooled).map_err(|error| failed(error.into_error()))
    }

    fn write(&mut self, found: &Found) -> io::Result<()> {
        match found {
            Found::Reference(Reference { key, digest: None }) => {
                self.into.write_all(&[PLAIN])?;
                self.bytes(key.as_bytes())
            }
            Found::Reference(Reference { key, digest: Some(digest) }) => {
                self.into.write_all(&[WITH_DIGEST])?;
                self.bytes(key.as_bytes())?;
                self.into.write_all(digest.as_bytes())
            }
            Found::Malformed(key, what) => {
                self.into.write_all(&[MALFORMED])?;
                self.bytes(key.as_bytes())?;
                self.bytes(what.as_bytes())
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.into.write_all(&(bytes.len() as u64).to_le_bytes())?;
        self.into.write_all(bytes)
    }
}

impl Spooled {
    /// Hands all of them over.
    ///
    /// # Errors
    /// If the scratch file can't be read, and those of `keys`.
    pub(crate) fn give(&mut self, keys: &mut KeySink<'_>) -> Result<()> {
        self.0.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut from = BufReader::with_capacity(64 << 10, &mut self.0);
        while let Some(found) = read(&mut from).map_err(failed)? {
            match found {
                Found::Reference(reference) => keys.push(reference)?,
                Found::Malformed(key, what) => keys.push_malformed(key, what)?,
            }
        }
        Ok(())
    }
}

fn read(from: &mut impl Read) -> io::Result<Option<Found>> {
    let mut tag = [0];
    if from.read(&mut tag)? == 0 {
        return Ok(None);
    }
    let key = Key::new(bytes(from)?);
    Ok(Some(match tag {
        [PLAIN] => Found::Reference(Reference { key, digest: None }),
        [WITH_DIGEST] => {
            let mut digest = [0; 32];
            from.read_exact(&mut digest)?;
            Found::Reference(Reference { key, digest: Some(Digest::new(digest)) })
        }
        _ => Found::Malformed(key, String::from_utf8_lossy(&bytes(from)?).into_owned()),
    }))
}

/// What we wrote ourselves, and of a length that was in memory then.
fn bytes(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn failed(error: io::Error) -> Error {
    Error::io("can't keep references in a scratch file", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_again_and_again_from_memory_and_from_a_file() {
        for length in [3, IN_MEMORY] {
            let kept = [
                Found::Reference(Reference::to(vec![7; length])),
                Found::Reference(Reference { key: Key::new(vec![]), digest: Some(Digest::new([9; 32])) }),
                Found::Malformed(Key::new(vec![0xff]), "not so".to_owned()),
            ];
            let mut spool = Spool::new(&std::env::temp_dir());
            kept.iter().for_each(|found| spool.push(found).unwrap());
            let mut spooled = spool.finish().unwrap();
            for _ in 0..2 {
                let mut given = Vec::new();
                spooled
                    .give(&mut KeySink::of_all(&mut |found| {
                        given.push(match found {
                            Ok(reference) => Found::Reference(reference),
                            Err(bad) => Found::Malformed(bad.reference.key, bad.why.to_string()),
                        });
                        Ok(())
                    }))
                    .unwrap();
                assert!(given == kept);
            }
        }
    }
}
