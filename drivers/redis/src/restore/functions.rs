//! Functions belong to no database: those of the archive take the place of the server's, in the transaction of the swap.

use crc_fast::{CrcAlgorithm, Digest};
use dumprestore_driver::{Error, Result};
use redis::Cmd;

use super::line::{Line, bytes, not_understood};
use crate::connect::Reply;
use crate::rdb::Version;

const FUNCTION: u8 = 0xf5;

/// What `FUNCTION DUMP` would give of these libraries.
pub(super) fn payload(libraries: &[Vec<u8>], version: Version) -> Result<Vec<u8>> {
    let mut payload = Vec::new();
    for library in libraries {
        let length = u32::try_from(library.len())
            .map_err(|_| Error::unsupported("a library of functions is longer than 4 GiB"))?;
        payload.push(FUNCTION);
        payload.push(0x80);
        payload.extend_from_slice(&length.to_be_bytes());
        payload.extend_from_slice(library);
    }
    payload.extend_from_slice(&version.number.to_le_bytes());
    let mut sum = Digest::new(CrcAlgorithm::Crc64Redis);
    sum.update(&payload);
    payload.extend_from_slice(&sum.finalize().to_le_bytes());
    Ok(payload)
}

/// Whether it is a payload of no functions at all.
pub(super) fn is_empty(payload: &[u8]) -> bool {
    payload.len() <= 10
}

pub(super) fn dump() -> Cmd {
    let mut cmd = redis::cmd("FUNCTION");
    cmd.arg("DUMP");
    cmd
}

/// Puts functions in place of those that there are, or over those of their name.
pub(super) fn restore(payload: &[u8], policy: Policy) -> Cmd {
    let mut cmd = redis::cmd("FUNCTION");
    cmd.arg("RESTORE").arg(payload).arg(match policy {
        Policy::Flush => "FLUSH",
        Policy::Replace => "REPLACE",
    });
    cmd
}

/// What becomes of other functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// They go.
    Flush,
    /// They stay.
    Replace,
}

/// The functions that the server has. `None`: it knows none, or the login may not ask.
pub(super) fn of_server(line: &mut Line) -> Result<Option<Vec<u8>>> {
    match line.ask(&dump()) {
        Ok(reply) => bytes(reply).map(Some).ok_or_else(not_understood),
        Err(error) if crate::connect::is_refusal(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Has the server try new functions, and put its own back before anybody else can call one.
///
/// # Errors
/// If it can't take the new ones.
pub(super) fn rehearse(line: &mut Line, new: &[u8], policy: Policy) -> Result<()> {
    let own = of_server(line)?.ok_or_else(not_understood)?;
    let cmds = [dump(), restore(new, policy), restore(&own, Policy::Flush)];
    let super::line::Executed::Done(replies) = line.transact(&cmds)? else { return Err(not_understood()) };
    let is_back = !matches!(replies.last(), Some(Reply::Error(_)));
    let mut replies = replies.into_iter();
    let before = replies.next().and_then(bytes).ok_or_else(not_understood)?;
    if before != own || !is_back {
        // Somebody has loaded some in between, or the server did not take its own.
        line.ask(&restore(&before, Policy::Flush))?;
    }
    for (reply, cmd) in replies.zip(cmds.iter().skip(1)) {
        line.accept(reply, cmd).map_err(|error| {
            error.with_hint("the server does not take these functions: see what it says; for a restore of others, set `functions: false`")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_no_functions_is_what_a_server_writes() {
        let version = Version { valkey: false, number: 10 };
        let payload = payload(&[], version).unwrap();
        assert_eq!(payload, b"\n\x00]\x9b\\@\x0f\x7f\xa2\xda");
        assert!(is_empty(&payload));
    }
}
