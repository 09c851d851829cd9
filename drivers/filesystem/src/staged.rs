//! What a staged folder answers to references, before it is swapped in.

use std::io::Read;

use dumprestore_driver::{Cancel, Digest, Reference, Result, Why};
use rustix::fs::{FileType, OFlags};
use sha2::{Digest as _, Sha256};

use crate::container::Side;
use crate::listing::open_quietly;
use crate::resolve::{not_a_file, path_of_key};
use crate::state::type_of;

/// Why a reference does not resolve in the staged folder; `None` if it does.
pub(crate) fn unresolved_in(
    staged: &mut Side,
    reference: &Reference,
    cancel: &Cancel,
) -> Result<Option<Why>> {
    let path = match path_of_key(reference.key.as_bytes()) {
        Ok(path) => path,
        Err(why) => return Ok(Some(Why::Unreadable(why))),
    };
    let stat = match staged.stat(&path) {
        Ok(Some(stat)) => stat,
        Ok(None) => return Ok(Some(Why::Missing)),
        Err(error) => return Ok(Some(Why::Unreadable(error.to_string()))),
    };
    if type_of(&stat) != FileType::RegularFile {
        return Ok(Some(Why::Unreadable(not_a_file(&stat).to_owned())));
    }
    let Some(wanted) = reference.digest else { return Ok(None) };
    Ok(match digest_of(staged, &path, cancel)? {
        Ok(found) if found == wanted => None,
        Ok(found) => Some(Why::Differs(found)),
        Err(error) => Some(Why::Unreadable(error.to_string())),
    })
}

fn digest_of(staged: &mut Side, path: &[u8], cancel: &Cancel) -> Result<std::io::Result<Digest>> {
    let way = staged.way(path);
    let opened =
        staged.beneath().parent(&way).and_then(|(folder, name)| open_quietly(folder, name, OFlags::NONBLOCK));
    let mut file: std::fs::File = match opened {
        Ok(file) => file.into(),
        Err(error) => return Ok(Err(error)),
    };
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 256 * 1024]);
    loop {
        cancel.check()?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Ok(Digest::new(hash.finalize().into()))),
            Ok(length) => hash.update(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}
