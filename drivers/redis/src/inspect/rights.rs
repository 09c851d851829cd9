//! What a login may do, found out without doing it.

use dumprestore_driver::Result;
use redis::{Cmd, Pipeline};

use crate::connect::{Reply, Session, is_refusal_text};

/// The commands among these that the server would refuse to this login, with what it says. They are queued in a
/// transaction, which is then given up: none is executed.
///
/// # Errors
/// If the connection is lost.
pub(super) fn refused(session: &mut Session, commands: &[Cmd]) -> Result<Vec<String>> {
    let mut pipeline = Pipeline::with_capacity(commands.len() + 2);
    pipeline.cmd("MULTI");
    for command in commands {
        pipeline.add_command(command.clone());
    }
    pipeline.cmd("DISCARD");
    let mut refused: Vec<String> = Vec::new();
    for reply in session.replies(&pipeline)? {
        if let Reply::Error(text) = reply
            && is_refusal_text(&text)
            && !refused.contains(&text)
        {
            refused.push(text);
        }
    }
    Ok(refused)
}

/// What the server would say to `SYNC`, which can't be queued. `None`: it would do it, as far as is to be known.
///
/// # Errors
/// If the connection is lost.
pub(super) fn refused_sync(session: &mut Session, user: Option<&str>) -> Result<Option<String>> {
    // Servers since 7.0 refuse to queue it, but only after they have found that they know it.
    let mut queued = refused(session, &[redis::cmd("SYNC")])?;
    if !queued.is_empty() {
        return Ok(queued.pop());
    }
    let Some(user) = user else { return Ok(None) };
    let mut pipeline = Pipeline::new();
    pipeline.cmd("ACL").arg("DRYRUN").arg(user).arg("SYNC");
    Ok(match session.replies(&pipeline)?.pop() {
        Some(Reply::Bulk(text)) => Some(String::from_utf8_lossy(&text).into_owned()),
        // `OK`, or who may not ask.
        _ => refused(session, &[redis::cmd("REPLCONF").arg("ack").arg(0).clone()])?.pop(),
    })
}
