//! What a server must let a restore do, found out before anything is changed.

use dumprestore_driver::{Error, Result};
use redis::Cmd;

use super::archived::Archived;
use super::line::{Line, select};
use super::mark::{Fields, MARK, Mark};
use crate::connect::{Role, Server};
use crate::rdb::Version;

/// Refuses a server that can't take what is archived.
pub(super) fn check_server(server: &Server, archived: &Archived) -> Result<()> {
    if let Role::Replica { of, .. } = &server.role {
        return Err(Error::environment("the server is a replica: it takes no writes")
            .with_context("its primary", of)
            .with_hint("have `url` lead to the primary, or to the sentinels"));
    }
    if !reads(server.rdb, archived.version) {
        return Err(Error::unsupported("the server can't read what a newer or another one has dumped")
            .with_context("dumped as", archived.version)
            .with_context("the server", server.title())
            .with_context("reads up to", server.rdb)
            .with_hint("restore into a server of the version that was dumped, or newer"));
    }
    Ok(())
}

/// Valkey reads what Redis wrote before they parted; what Redis wrote later means nothing to it, nor the other way round.
fn reads(server: Version, archived: Version) -> bool {
    const COMMON: u16 = 11;
    match (server.valkey, archived.valkey) {
        (true, false) => archived.number <= COMMON,
        (false, true) => false,
        _ => archived.number <= server.number,
    }
}

/// Refuses a value that would not get through.
pub(super) fn check_largest(line: &mut Line, archived: &Archived) -> Result<()> {
    let Some(largest) = archived.largest_value else { return Ok(()) };
    let most = most_per_value(line)?;
    if largest.saturating_add(16) > most {
        return Err(Error::environment("a value of the archive is longer than the server takes one")
            .with_context("bytes", largest)
            .with_context("proto-max-bulk-len", most)
            .with_hint("raise it for the time of the restore: `CONFIG SET proto-max-bulk-len …`"));
    }
    Ok(())
}

/// As many bytes as the server takes for one value.
pub(super) fn most_per_value(line: &mut Line) -> Result<u64> {
    const DEFAULT: u64 = 512 << 20;
    Ok(setting(line, "proto-max-bulk-len")?.and_then(|text| text.parse().ok()).unwrap_or(DEFAULT))
}

/// A setting, if the login may ask for it.
pub(super) fn setting(line: &mut Line, name: &str) -> Result<Option<String>> {
    match line.ask(redis::cmd("CONFIG").arg("GET").arg(name)) {
        Ok(crate::connect::Reply::Array(pair)) => {
            let value = pair.into_iter().nth(1).and_then(super::line::bytes);
            Ok(value.and_then(|value| String::from_utf8(value).ok()))
        }
        Ok(_) => Ok(None),
        Err(error) if crate::connect::is_refusal(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses a login that may not do what a swap takes, undoing it included. Executes none of it.
pub(super) fn check_commands(line: &mut Line, run: &str, live: u64, spare: u64) -> Result<()> {
    let fields = Fields::of(run, live);
    let cmd = |parts: &[&str]| -> Cmd {
        let mut cmd = Cmd::new();
        parts.iter().for_each(|part| {
            cmd.arg(part);
        });
        cmd
    };
    let (from, to) = (live.to_string(), spare.to_string());
    // Neither can be tried in a transaction.
    line.ask_all(&[cmd(&["WATCH", MARK]), cmd(&["UNWATCH"])])?;
    line.rehearse(&[
        select(spare),
        cmd(&["HSETNX", MARK, fields.mark(), Mark::Claimed.as_str()]),
        fields.set(Mark::Staged),
        cmd(&["HINCRBY", MARK, &fields.lasting(), "1"]),
        cmd(&["HGET", MARK, fields.mark()]),
        cmd(&["HGETALL", MARK]),
        fields.remove(),
        cmd(&["DBSIZE"]),
        cmd(&["INFO", "keyspace"]),
        cmd(&["RESTORE", "a key", "0", "a value", "ABSTTL"]),
        cmd(&["SCAN", "0"]),
        cmd(&["EXISTS", "a key"]),
        cmd(&["SWAPDB", &from, &to]),
        cmd(&["FLUSHDB", "ASYNC"]),
    ])
    .map_err(|error| match error.hint() {
        Some(_) => error,
        None => error
            .with_hint("a restore needs `SELECT`, `RESTORE`, `SWAPDB`, `FLUSHDB` and hashes at the server"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_read_what_they_and_their_ancestors_wrote() {
        let redis = |number| Version { valkey: false, number };
        let valkey = |number| Version { valkey: true, number };
        assert!(reads(redis(12), redis(9)) && reads(redis(10), redis(10)) && reads(valkey(80), redis(11)));
        assert!(reads(valkey(80), valkey(80)));
        assert!(
            !reads(redis(10), redis(11)) && !reads(redis(12), valkey(80)) && !reads(valkey(80), redis(12))
        );
        // A Valkey 8 writes and reads what Redis 7.2 does.
        assert!(reads(redis(11), redis(11)) && !reads(redis(11), valkey(80)));
    }
}
