//! What a login may do, found out without doing it.

use dumprestore_driver::Result;
use redis::{Cmd, Pipeline};

use crate::connect::{Reply, Session, is_refusal_text};

/// What became of commands that were tried.
pub(super) enum Tried {
    /// These are refused to the login, with what the server says.
    Refused(Vec<String>),
    /// It is not to be known, since the login may queue nothing: what the server says.
    Untried(String),
}

impl Tried {
    /// The refusals that are known of.
    pub(super) fn known(self) -> Vec<String> {
        match self {
            Self::Refused(refused) => refused,
            Self::Untried(_) => Vec::new(),
        }
    }

    /// The same, of who needs to queue.
    pub(super) fn of_transactions(self) -> Vec<String> {
        match self {
            Self::Refused(refused) => refused,
            Self::Untried(said) => vec![said],
        }
    }
}

/// Finds out which of these commands the server would refuse to this login. They are queued in a transaction that is never
/// executed: it goes with a connection of its own.
///
/// # Errors
/// If no further connection can be had, or it is lost.
pub(super) fn try_out(session: &Session, commands: &[Cmd]) -> Result<Tried> {
    let mut session = Session::open(session.target())?;
    // Alone: if the server does not begin to queue, it would execute what follows.
    let mut beginning = Pipeline::new();
    beginning.cmd("MULTI");
    match session.replies(&beginning)?.pop() {
        Some(Reply::Simple(text)) if text == "OK" => {}
        Some(Reply::Error(text)) => return Ok(Tried::Untried(text)),
        _ => return Ok(Tried::Untried("the answer to `MULTI` is not understood".to_owned())),
    }
    let mut pipeline = Pipeline::with_capacity(commands.len());
    for command in commands {
        pipeline.add_command(command.clone());
    }
    let mut refused: Vec<String> = Vec::new();
    for reply in session.replies(&pipeline)? {
        if let Reply::Error(text) = reply
            && is_refusal_text(&text)
            && !refused.contains(&text)
        {
            refused.push(text);
        }
    }
    Ok(Tried::Refused(refused))
}

/// What the server would say to `SYNC`, which can't be queued. `None`: it would do it, as far as is to be known.
///
/// # Errors
/// As of [`try_out`].
pub(super) fn refused_sync(session: &mut Session, user: Option<&str>) -> Result<Option<String>> {
    // Servers since 7.0 refuse to queue it, but only after they have found that they know it.
    let mut queued = try_out(session, &[redis::cmd("SYNC")])?.known();
    if !queued.is_empty() {
        return Ok(queued.pop());
    }
    let Some(user) = user else { return Ok(None) };
    let mut pipeline = Pipeline::new();
    pipeline.cmd("ACL").arg("DRYRUN").arg(user).arg("SYNC");
    Ok(match session.replies(&pipeline)?.pop() {
        Some(Reply::Bulk(text)) => Some(String::from_utf8_lossy(&text).into_owned()),
        // Allowed.
        Some(Reply::Simple(_)) => None,
        // Who may not ask.
        _ => try_out(session, &[redis::cmd("REPLCONF").arg("ack").arg(0).clone()])?.known().pop(),
    })
}
