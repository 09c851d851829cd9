//! What would be in the way of a restore.

use dumprestore_driver::{Problem, Result};
use redis::Cmd;

use super::{Looking, not_permitted, rights};
use crate::config::Meant;
use crate::connect::{Reply, Role, Session};
use crate::restore::MARK;

pub(super) fn problems(looking: &Looking<'_>, session: &mut Session) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let left = Left::of(session, looking)?;
    problems.extend(only_reads(looking));
    problems.extend(of_a_cluster(looking));
    problems.extend(filters(looking));
    problems.extend(no_room_beside(looking, &left));
    problems.extend(too_little_memory(looking));
    problems.extend(can_not_save(looking, session)?);
    problems.extend(not_permitted(
        Problem::no_restore,
        "a restore is not permitted",
        &rights::try_out(session, &needed(looking))?.of_transactions(),
    ));
    problems.extend(left.problems());
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
fn no_room_beside(looking: &Looking<'_>, left: &Left) -> Option<Problem> {
    let count = looking.databases.filter(|_| !looking.server.cluster)?;
    // What a killed restore has left goes before the next one.
    let filled = looking.server.info.keyspace().into_iter().map(|(index, _)| index);
    let filled: Vec<u64> = filled.filter(|index| !left.staged.contains(index)).collect();
    let is_meant =
        |index: &u64| matches!(&looking.setup.databases, Meant::These(list) if list.contains(index));
    let spare = (1..count).filter(|index| !filled.contains(index) && !is_meant(index)).count();
    let needed = match &looking.setup.databases {
        Meant::These(list) => list.len(),
        // Those that only restores know of are no live ones.
        Meant::All => {
            filled.iter().filter(|index| !left.kept.contains(index) && !left.other.contains(index)).count()
        }
    };
    (spare < needed).then(|| {
        Problem::warning(format!(
            "to swap databases at once, a restore needs {} empty, and there {}: it renames keys one after the other, and keeps no \
             previous state",
            if needed == 1 { "one that is".to_owned() } else { format!("{needed} that are") },
            match spare {
                0 => "is none".to_owned(),
                1 => "is one".to_owned(),
                spare => format!("are {spare}"),
            }
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

/// Databases in which restores have left something.
#[derive(Default)]
struct Left {
    /// An old state, for good.
    kept: Vec<u64>,
    /// New keys that never became live, and nothing else.
    staged: Vec<u64>,
    /// Something else: what a restore needs that is under way, or was cut off.
    other: Vec<u64>,
}

impl Left {
    fn of(session: &mut Session, looking: &Looking<'_>) -> Result<Self> {
        let mut left = Self::default();
        if looking.server.cluster {
            return Ok(left);
        }
        for (index, _) in looking.server.info.keyspace() {
            let mut pipeline = redis::pipe();
            pipeline.cmd("SELECT").arg(index);
            pipeline.cmd("HVALS").arg(MARK);
            // Who may not look, or finds something else there, knows of nothing.
            let Some(Reply::Array(values)) = session.replies(&pipeline)?.pop() else { continue };
            let has = |marks: &[&[u8]]| {
                values
                    .iter()
                    .any(|value| matches!(value, Reply::Bulk(text) if marks.contains(&text.as_slice())))
            };
            match () {
                () if values.is_empty() => {}
                () if has(&[b"kept"]) => left.kept.push(index),
                () if has(&[b"claimed", b"staged", b"ready"]) => left.staged.push(index),
                () => left.other.push(index),
            }
        }
        Ok(left)
    }

    fn problems(&self) -> Vec<Problem> {
        let listed = |all: &[u64]| all.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let mut problems = Vec::new();
        if !self.kept.is_empty() {
            problems.push(
                Problem::warning(format!("the previous state is kept in databases: {}", listed(&self.kept))).with_hint(
                    "`dumprestore restore :previous` swaps it back, `dumprestore recover --discard-previous` drops it",
                ),
            );
        }
        let cut_off: Vec<u64> = self.staged.iter().chain(&self.other).copied().collect();
        if !cut_off.is_empty() {
            problems.push(
                Problem::warning(format!(
                    "a restore is under way, or was cut off, in databases: {}",
                    listed(&cut_off)
                ))
                .with_hint("wait until it has ended, or run `dumprestore recover` where it was begun"),
            );
        }
        problems
    }
}
