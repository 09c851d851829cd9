//! Logging in.

use std::io::Write as _;

use dumprestore_driver::Result;

use super::fault;
use super::reply::Reply;
use super::target::Login;
use super::wire::Wire;

/// Whom every server knows, and old ones let in by the password alone.
const DEFAULT_USER: &str = "default";

/// Shows who we are, if there is something to show.
///
/// # Errors
/// If nobody answers, or we are not let in.
pub(super) fn log_in(wire: &mut Wire, login: &Login) -> Result<()> {
    let Some(password) = &login.password else { return Ok(()) };
    let password = password.expose();
    let user = login.user.as_deref().filter(|user| *user != DEFAULT_USER);
    match user {
        Some(user) => wire.command(&[b"AUTH", user.as_bytes(), password.as_bytes()])?,
        None => wire.command(&[b"AUTH", password.as_bytes()])?,
    }
    match wire.reply().map_err(|error| fault::not_in(error, wire.target()))? {
        Reply::Error(text) => Err(fault::of_password(&text, login, wire.target())),
        _ => Ok(()),
    }
}

/// Says what we are, for those who list connections; asks not to be taken for a user of the keys that are read; and
/// enters the database.
///
/// # Errors
/// If nobody answers, we are not let in, or there is no such database.
pub(super) fn introduce(wire: &mut Wire, index: u64) -> Result<()> {
    wire.command(&[b"CLIENT", b"SETNAME", b"dumprestore"])?;
    wire.command(&[b"CLIENT", b"NO-TOUCH", b"ON"])?;
    let index = index.to_string();
    if index != "0" {
        wire.command(&[b"SELECT", index.as_bytes()])?;
    }
    wire.flush().map_err(|error| wire.lost(error)).map_err(|error| fault::not_in(error, wire.target()))?;
    for _ in 0..2 {
        // Neither is needed: old servers know no `NO-TOUCH`, and a login may be granted neither.
        let reply = wire.reply().map_err(|error| fault::not_in(error, wire.target()))?;
        if let Reply::Error(text) = &reply
            && fault::keeps_out(text)
        {
            return Err(fault::of_login_reply(text, wire.target()));
        }
    }
    if index != "0"
        && let Reply::Error(text) = wire.reply()?
    {
        return Err(fault::of_command(&text, "SELECT", wire.target()));
    }
    Ok(())
}
