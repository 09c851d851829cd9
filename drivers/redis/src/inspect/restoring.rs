//! What would be in the way of a restore.

use dumprestore_driver::{Problem, Result};
use redis::Cmd;

use super::{Looking, not_permitted, rights};
use crate::config::Meant;
use crate::connect::{Role, Session};
use crate::restore::MARK;

pub(super) fn problems(looking: &Looking<'_>, session: &mut Session) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    problems.extend(only_reads(looking));
    problems.extend(of_a_cluster(looking));
    problems.extend(filters(looking));
    problems.extend(no_room_beside(looking));
    problems.extend(too_little_memory(looking));
    problems.extend(can_not_save(looking, session)?);
    problems.extend(not_permitted(
        Problem::no_restore,
        "a restore is not permitted",
        &rights::try_out(session, &needed(looking))?.of_transactions(),
    ));
    problems.extend(left(session, looking)?);
    Ok(problems)
}

fn only_reads(looking: &Looking<'_>) -> Option<Problem> {
    let Role::Replica { of, .. } = &looking.server.role else { return None };
    if looking.cluster.is_some() {
        return None;
    }
    Some(
        Problem::no_restore(format!("the server is a replica of {of}: it takes no writes"))
            .with_hint("restore into the primary"),
    )
}

fn of_a_cluster(looking: &Looking<'_>) -> Option<Problem> {
    looking.server.cluster.then(|| {
        Problem::warning(
            "it is a cluster: a restore renames keys one after the other at each primary, and keeps no previous state",
        )
        .with_hint("while it commits, have applications wait that must not see old and new keys side by side")
    })
}

fn filters(looking: &Looking<'_>) -> Option<Problem> {
    let filtered = !looking.setup.include.is_empty() || !looking.setup.exclude.is_empty();
    filtered.then(|| {
        Problem::warning(
            "`include` and `exclude` leave keys out: a restore renames keys one after the other, and keeps no previous state",
        )
        .with_hint("without patterns, and with an empty database beside, all of a database is swapped at once")
    })
}

/// New keys are made in databases that are empty.
fn no_room_beside(looking: &Looking<'_>) -> Option<Problem> {
    let count = looking.databases.filter(|_| !looking.server.cluster)?;
    let filled: Vec<u64> = looking.server.info.keyspace().into_iter().map(|(index, _)| index).collect();
    let is_meant =
        |index: &u64| matches!(&looking.setup.databases, Meant::These(list) if list.contains(index));
    let spare = (1..count).filter(|index| !filled.contains(index) && !is_meant(index)).count();
    let needed = match &looking.setup.databases {
        Meant::These(list) => list.len(),
        Meant::All => filled.len(),
    };
    (spare < needed).then(|| {
        Problem::warning(format!(
            "to swap databases at once, a restore needs {needed} that are empty, and there are {spare}: it renames keys one after \
             the other, and keeps no previous state"
        ))
        .with_hint("empty one, or raise `databases` in the server's configuration and start it again")
    })
}

/// Old and new keys are there together for a while.
fn too_little_memory(looking: &Looking<'_>) -> Option<Problem> {
    let info = &looking.server.info;
    let most = info.number("maxmemory").filter(|most| *most > 0)?;
    let used = info.number("used_memory")?;
    let twice = used.saturating_add(super::size(looking.setup, looking.server));
    let policy = info.get("maxmemory_policy").unwrap_or("noeviction");
    (twice > most).then(|| {
        let what =
            format!("`maxmemory` ({most} bytes) would not hold the data twice, as a restore needs it to");
        match policy {
            "noeviction" => Problem::warning(what).with_hint("raise `maxmemory` for the time of a restore"),
            policy => Problem::warning(format!("{what}, and `{policy}` would have live keys go"))
                .with_hint("raise `maxmemory` for the time of a restore: it ends before any key has to go"),
        }
    })
}

/// A server that can't save its data refuses writes.
fn can_not_save(looking: &Looking<'_>, session: &mut Session) -> Result<Option<Problem>> {
    if looking.server.info.get("rdb_last_bgsave_status") != Some("err") {
        return Ok(None);
    }
    let saves = session.setting("save")?.is_none_or(|save| !save.is_empty());
    let stops = session.setting("stop-writes-on-bgsave-error")?.is_none_or(|stops| stops == "yes");
    Ok((saves && stops).then(|| {
        Problem::no_restore(
            "the server could not save its data the last time, and takes no writes until it can",
        )
        .with_hint("see its log: mostly its disk is full, or it may not write there")
    }))
}

/// What making new keys beside the live ones, and swapping them, takes.
fn needed(looking: &Looking<'_>) -> Vec<Cmd> {
    let cmd = |parts: &[&str]| {
        let mut cmd = Cmd::new();
        parts.iter().for_each(|part| {
            cmd.arg(part);
        });
        cmd
    };
    let mut needed = vec![
        cmd(&["SELECT", "0"]),
        cmd(&["HSET", MARK, "a", "b"]),
        cmd(&["RESTORE", "a key", "0", "a value"]),
        cmd(&["SCAN", "0"]),
        cmd(&["EXISTS", "a key"]),
        cmd(&["DBSIZE"]),
    ];
    if !looking.server.cluster {
        needed.extend([cmd(&["SWAPDB", "0", "0"]), cmd(&["FLUSHDB", "no such way"])]);
    }
    if looking.setup.functions && looking.server.is_since(7, 0) {
        needed.push(cmd(&["FUNCTION", "RESTORE", "a payload"]));
    }
    needed
}

/// Databases in which a restore has left something: one that was killed, or whose old state was kept.
fn left(session: &mut Session, looking: &Looking<'_>) -> Result<Option<Problem>> {
    if looking.server.cluster {
        return Ok(None);
    }
    let mut found = Vec::new();
    for (index, _) in looking.server.info.keyspace() {
        let mut pipeline = redis::pipe();
        pipeline.cmd("SELECT").arg(index);
        pipeline.cmd("EXISTS").arg(MARK);
        if session.replies(&pipeline)?.last() == Some(&crate::connect::Reply::Integer(1)) {
            found.push(index.to_string());
        }
    }
    Ok((!found.is_empty()).then(|| {
        Problem::warning(format!("earlier restores have left something in databases: {}", found.join(", "))).with_hint(
            "it is the previous state, if that was kept; if a restore was killed, `dumprestore recover` ends it",
        )
    }))
}
