//! Asking sentinels for the primary that they watch.

use std::time::Instant;

use dumprestore_driver::{Cancel, Error, Result};

use super::fault;
use super::open;
use super::place::Address;
use super::reply::Reply;
use super::target::Target;

/// The server that the first sentinel with an answer names.
///
/// # Errors
/// If no sentinel can be reached, or none knows a primary of that name: the last one's reason.
pub(super) fn primary_of(
    target: &Target,
    sentinels: &[Address],
    name: &str,
    deadline: Option<Instant>,
    cancel: &Cancel,
) -> Result<Target> {
    let mut failed = None;
    for sentinel in sentinels {
        cancel.check()?;
        match ask(target, sentinel, name, deadline, cancel) {
            Ok(found) => return Ok(found),
            Err(error) => failed = Some(error),
        }
    }
    let error = Error::environment(format!("no sentinel tells where `{}` is", name.escape_debug()));
    let error = match failed.as_ref().and_then(|failed| failed.hint().map(str::to_owned)) {
        Some(hint) => error.with_hint(hint),
        None => error,
    };
    Err(match failed {
        Some(failed) => error.with_source(failed),
        None => error,
    })
}

fn ask(
    target: &Target,
    sentinel: &Address,
    name: &str,
    deadline: Option<Instant>,
    cancel: &Cancel,
) -> Result<Target> {
    let mut wire = open::enter_sentinel(target, sentinel, deadline, cancel)?;
    let parts: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", name.as_bytes()];
    wire.command(&parts)?;
    let reply = wire.reply().map_err(|error| fault::not_in(error, wire.target()))?;
    match reply {
        Reply::Error(text) if fault::keeps_out(&text) => Err(fault::of_login_reply(&text, wire.target())
            .with_hint("sentinels have logins of their own: `sentinel_password`, and `sentinel_user`")),
        Reply::Error(text) => Err(fault::of_command(&text, &fault::name_of(&parts), wire.target())),
        Reply::Array(pair) => address(target, &pair).ok_or_else(|| {
            Error::environment("a sentinel's answer is not understood").with_context("sentinel", sentinel)
        }),
        _ => Err(Error::config("the sentinel watches no primary of that name")
            .with_context("sentinel", sentinel)
            .with_hint("check the name after the sentinels in `url`: `redis-sentinel://HOST:PORT/NAME`")),
    }
}

fn address(target: &Target, pair: &[Reply]) -> Option<Target> {
    let [Reply::Bulk(host), Reply::Bulk(port)] = pair else { return None };
    let port = std::str::from_utf8(port).ok()?.parse().ok()?;
    Some(target.node(std::str::from_utf8(host).ok()?, port))
}
