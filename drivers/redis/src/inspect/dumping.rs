//! What would be in the way of a dump.

use dumprestore_driver::{Problem, Result};
use redis::Cmd;

use super::{Looking, not_permitted, problem, rights};
use crate::config::{Meant, Mode};
use crate::connect::{Role, Session, shown};
use crate::rdb;

pub(super) fn problems(looking: &Looking<'_>, session: &mut Session) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    problems.extend(unknown_format(looking));
    problems.extend(without_its_primary(looking));
    problems.extend(modules(looking));
    problems.extend(left_out(looking));
    match looking.setup.mode {
        Mode::Replication => problems.extend(replication(looking, session)?),
        Mode::Scan => problems.extend(scan(looking, session)?),
    }
    Ok(problems)
}

fn unknown_format(looking: &Looking<'_>) -> Option<Problem> {
    let error = rdb::Version::of(looking.server.rdb.number).err()?;
    Some(problem(Problem::no_dump, &error))
}

fn without_its_primary(looking: &Looking<'_>) -> Option<Problem> {
    // Of a cluster, the primaries are asked, whichever node we are at.
    if looking.cluster.is_some() {
        return None;
    }
    match &looking.server.role {
        Role::Replica { of, in_touch: false } => Some(
            Problem::no_dump(format!("the server is a replica that has lost its primary, {of}"))
                .with_hint("wait until it has found it, or dump the primary itself"),
        ),
        _ => None,
    }
}

/// What servers come with, used or not: sets of vectors, of which a key stops a dump by its name, and the engine of scripts.
const BUILT_IN: [&str; 2] = ["vectorset", "lua"];

fn modules(looking: &Looking<'_>) -> Option<Problem> {
    let is_foreign = |name: &&str| !BUILT_IN.contains(name);
    let modules = looking.server.info.modules().iter().map(String::as_str);
    let modules: Vec<&str> = modules.filter(is_foreign).collect();
    (!modules.is_empty()).then(|| {
        Problem::warning(format!("the server has modules: `{}`", modules.join("`, `"))).with_hint(
            "keys of types that a module has added can't be dumped, and stop a dump: leave them out with `exclude`; if it keeps \
             data beside the keys, use `mode: scan`, which leaves those out",
        )
    })
}

fn left_out(looking: &Looking<'_>) -> Option<Problem> {
    let Meant::These(list) = &looking.setup.databases else { return None };
    let others: Vec<String> = looking
        .server
        .info
        .keyspace()
        .iter()
        .filter(|(index, keys)| *keys > 0 && !list.contains(index))
        .map(|(index, _)| index.to_string())
        .collect();
    (!others.is_empty()).then(|| {
        Problem::warning(format!(
            "other databases of the server hold keys, which this node leaves out: {}",
            others.join(", ")
        ))
        .with_hint("if no other node has them, name them in `databases`")
    })
}

fn replication(looking: &Looking<'_>, session: &mut Session) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    // Who has no users has no `ACL DRYRUN` either, and that came with 7.0.
    let user = looking.login.filter(|_| looking.server.is_since(7, 0));
    if let Some(said) = rights::refused_sync(session, user)? {
        problems.push(
            Problem::no_dump(format!("the server takes no replica with this login: {}", shown(&said))).with_hint(
                "grant the login `SYNC` (`ACL SETUSER … +sync +replconf`), or set `mode: scan`, which has no state of one instant",
            ),
        );
    }
    let needed = [redis::cmd("INFO"), redis::cmd("TIME")];
    problems.extend(not_permitted(
        Problem::no_dump,
        "a dump is not permitted",
        &rights::try_out(session, &needed)?.known(),
    ));
    problems.extend(delayed(session)?);
    Ok(problems)
}

/// A server that keeps nothing on disk is not made to, and sends only after a delay.
fn delayed(session: &mut Session) -> Result<Option<Problem>> {
    let mut is = |name: &str, value: &str| -> Result<bool> {
        Ok(session.setting(name)?.is_some_and(|set| set == value))
    };
    let diskless = is("repl-diskless-sync", "yes")?;
    let keeps_nothing = is("save", "")? && is("appendonly", "no")?;
    let delay = session.setting("repl-diskless-sync-delay")?.and_then(|delay| delay.parse::<u64>().ok());
    Ok(delay.filter(|delay| *delay > 0 && diskless && keeps_nothing).map(|delay| {
        Problem::warning(format!(
            "the server waits {delay} s before it gives its data, and the cut of the set waits with it"
        ))
        .with_hint(
            "`CONFIG SET repl-diskless-sync-delay 0`, and the same in `redis.conf` or the server's arguments: what is set is \
             forgotten at its next start",
        )
    }))
}

fn scan(looking: &Looking<'_>, session: &mut Session) -> Result<Vec<Problem>> {
    let mut problems = vec![
        Problem::warning("`mode: scan` reads key by key: keys that change meanwhile are not of one instant")
            .with_hint("use `mode: replication` where the server takes replicas"),
    ];
    let key = "a key";
    let mut needed: Vec<Cmd> = vec![redis::cmd("INFO"), redis::cmd("TIME")];
    needed.push(redis::cmd("SELECT").arg(looking.setup.target.index()).clone());
    needed.push(redis::cmd("SCAN").arg(0).clone());
    needed.push(redis::cmd("DUMP").arg(key).clone());
    let ttl = if looking.server.is_since(7, 0) { "PEXPIRETIME" } else { "PTTL" };
    needed.push(redis::cmd(ttl).arg(key).clone());
    if looking.setup.functions && looking.server.is_since(7, 0) {
        needed.push(redis::cmd("FUNCTION").arg("DUMP").clone());
    }
    problems.extend(not_permitted(
        Problem::no_dump,
        "a dump is not permitted",
        &rights::try_out(session, &needed)?.known(),
    ));
    Ok(problems)
}
