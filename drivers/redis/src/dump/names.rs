//! The keys of a database, each once, however many: `SCAN` may give one twice.

use std::collections::HashSet;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use dumprestore_driver::{Cancel, Error, Result};
use tempfile::SpooledTempFile;

use crate::connect::{Reply, Wire};
use crate::links::{Gathering, hash};

/// In bytes. What is more goes to a scratch file without a name.
const IN_MEMORY: usize = 8 << 20;
/// So many keys are asked for at once.
const COUNT: &[u8] = b"1000";

/// The keys that were there while it was looked. One that is made meanwhile may be missing.
pub(super) struct Names {
    from: BufReader<SpooledTempFile>,
    /// Those that came more than once, and whether they were given.
    twice: HashSet<u128>,
    given: HashSet<u128>,
}

impl Names {
    /// Asks for all keys of the database that the connection is in, and keeps those that are meant.
    ///
    /// # Errors
    /// If the server refuses, a scratch file can't be written, or the run is to stop.
    pub(super) fn list(
        wire: &mut Wire,
        scratch: &Path,
        cancel: &Cancel,
        mut is_meant: impl FnMut(&[u8]) -> bool,
    ) -> Result<Self> {
        let mut hashes = Gathering::new(scratch);
        let spool = tempfile::spooled_tempfile_in(IN_MEMORY, scratch);
        let mut spool = BufWriter::with_capacity(64 << 10, spool);
        let mut cursor = b"0".to_vec();
        loop {
            cancel.check()?;
            let (next, keys) = page(wire.ask(&[b"SCAN", &cursor, b"COUNT", COUNT])?)?;
            for key in keys.iter().filter(|key| is_meant(key)) {
                hashes.push(hash(key))?;
                write(&mut spool, key).map_err(failed)?;
            }
            if next == b"0" {
                break;
            }
            cursor = next;
        }
        let mut file = spool.into_inner().map_err(|error| failed(error.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let (_, twice) = hashes.finish()?;
        Ok(Self { from: BufReader::with_capacity(64 << 10, file), twice, given: HashSet::new() })
    }

    /// Some of them. None: there are no more.
    ///
    /// # Errors
    /// If the scratch file can't be read.
    pub(super) fn some(&mut self, most: usize) -> Result<Vec<Vec<u8>>> {
        let mut some = Vec::new();
        while some.len() < most {
            let Some(key) = read(&mut self.from).map_err(failed)? else { break };
            let again = !self.twice.is_empty() && {
                let hash = hash(&key);
                self.twice.contains(&hash) && !self.given.insert(hash)
            };
            if !again {
                some.push(key);
            }
        }
        Ok(some)
    }
}

fn page(reply: Reply) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let Reply::Array(both) = reply else { return Err(odd()) };
    let Ok([Reply::Bulk(cursor), Reply::Array(keys)]) = <[Reply; 2]>::try_from(both) else {
        return Err(odd());
    };
    let keys = keys.into_iter().map(|key| match key {
        Reply::Bulk(key) => Ok(key),
        _ => Err(odd()),
    });
    Ok((cursor, keys.collect::<Result<_>>()?))
}

fn odd() -> Error {
    Error::environment("the server answers `SCAN` with something else than keys")
}

fn write(spool: &mut impl Write, key: &[u8]) -> io::Result<()> {
    spool.write_all(&(key.len() as u64).to_le_bytes())?;
    spool.write_all(key)
}

fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u64::from_le_bytes(length);
    let mut key = Vec::new();
    from.take(length).read_to_end(&mut key)?;
    if key.len() as u64 == length { Ok(Some(key)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn failed(error: io::Error) -> Error {
    Error::io("can't keep names of keys in a scratch file", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_cursor_and_keys() {
        let keys = Reply::Array(vec![Reply::Bulk(b"a".to_vec()), Reply::Bulk(vec![0xff])]);
        let (cursor, keys) = page(Reply::Array(vec![Reply::Bulk(b"17".to_vec()), keys])).unwrap();
        assert_eq!((cursor, keys), (b"17".to_vec(), vec![b"a".to_vec(), vec![0xff]]));
        for odd in
            [Reply::Null, Reply::Array(vec![]), Reply::Array(vec![Reply::Integer(0), Reply::Array(vec![])])]
        {
            assert!(page(odd).is_err());
        }
    }

    #[test]
    fn a_key_that_came_twice_is_given_once() {
        let mut file = tempfile::spooled_tempfile_in(10, std::env::temp_dir());
        for key in [&b"a"[..], b"b", b"", b"a", b"c", b"a"] {
            write(&mut file, key).unwrap();
        }
        file.seek(SeekFrom::Start(0)).unwrap();
        let twice = HashSet::from([hash(b"a")]);
        let mut names = Names { from: BufReader::new(file), twice, given: HashSet::new() };
        assert_eq!(names.some(2).unwrap(), [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(names.some(9).unwrap(), [b"".to_vec(), b"c".to_vec()]);
        assert!(names.some(9).unwrap().is_empty());
    }
}
