//! Looking at a server: what would be in the way of a dump, and of a restore.
//!
//! A module for each of them, and `rights.rs` for what the login may do. Nothing is changed, but that a server which keeps a
//! log of refusals (`ACL LOG`) notes in it what it would refuse.

mod dumping;
mod restoring;
mod rights;

use dumprestore_driver::{Cancel, Claim, Error, Facts, Inspection, Problem, Result};

use crate::config::{Meant, Setup};
use crate::connect::{Cluster, Role, Server, Session, shown};

/// The oldest server that every command of ours is made for: it has users, and copies keys with their time to live.
const OLDEST: (u16, u16) = (6, 0);
/// As many databases as a node claims one by one.
const MOST_CLAIMS: u64 = 10_000;

/// Everything that the engine wants to know before a run.
pub(crate) async fn inspect(setup: &Setup) -> Result<Inspection> {
    let setup = setup.clone();
    // A server that never answers holds this thread, but no longer than whoever waits for it.
    let cancel = Cancel::default();
    let _stopped_with_us = StopOnDrop(cancel.clone());
    tokio::task::spawn_blocking(move || look(&setup, &cancel))
        .await
        .map_err(|error| Error::defect("the `redis` driver panicked").with_source(error))?
}

struct StopOnDrop(Cancel);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn look(setup: &Setup, cancel: &Cancel) -> Result<Inspection> {
    let mut inspection = Inspection::default();
    inspection.claims = claims(setup, None, None);
    let opened = Session::open_for(&setup.target, cancel);
    match opened.and_then(|mut session| Server::of(&mut session).map(|server| (session, server))) {
        Ok((mut session, server)) => see(setup, &mut session, &server, &mut inspection)?,
        Err(error) => inspection.problems.push(problem(Problem::error, &error)),
    }
    Ok(inspection)
}

/// The server is there, and tells of itself.
fn see(setup: &Setup, session: &mut Session, server: &Server, inspection: &mut Inspection) -> Result<()> {
    let login = session.query::<String>(redis::cmd("ACL").arg("WHOAMI")).ok();
    let databases = session.setting("databases")?.and_then(|count| count.parse().ok());
    let run_id = Some(server.run_id.as_str()).filter(|id| !id.is_empty());
    inspection.claims = claims(setup, run_id, databases);
    inspection.facts = facts(server, login.as_deref());
    inspection.size = Some(size(setup, server));
    inspection.parts = Some(1);
    if !server.is_since(OLDEST.0, OLDEST.1) {
        inspection.problems.push(Problem::error(format!(
            "the server is {}, and Redis {}.{} is the oldest that is supported",
            server.title(),
            OLDEST.0,
            OLDEST.1
        )));
        return Ok(());
    }
    if server.info.get("redis_mode") == Some("sentinel") {
        inspection.problems.push(Problem::error("it is a sentinel, which has no data").with_hint(
            "write `redis-sentinel://HOST:PORT/NAME`: it then leads to the server that it watches",
        ));
        return Ok(());
    }
    let cluster = match cluster(session, server) {
        Ok(cluster) => cluster,
        Err(error) => {
            inspection.problems.push(problem(Problem::error, &error));
            return Ok(());
        }
    };
    if let Some(cluster) = &cluster {
        see_cluster(setup, cluster, inspection)?;
    }
    let login = login.as_deref();
    match &cluster {
        None => {
            let looking = Looking { setup, server, login, databases, cluster: None };
            inspection.problems.extend(looking.problems(session)?);
        }
        Some(cluster) => inspection.problems.extend(of_primaries(setup, cluster, login, databases)?),
    }
    Ok(())
}

/// What is in the way at each of them: whichever node was named, all take part.
fn of_primaries(
    setup: &Setup,
    cluster: &Cluster,
    login: Option<&str>,
    databases: Option<u64>,
) -> Result<Vec<Problem>> {
    let mut found: Vec<(Problem, Vec<String>)> = Vec::new();
    for primary in &cluster.primaries {
        let mut session = Session::open(&primary.target)?;
        let server = Server::of(&mut session)?;
        let looking = Looking { setup, server: &server, login, databases, cluster: Some(cluster) };
        for problem in looking.problems(&mut session)? {
            let place = primary.target.place.to_string();
            match found.iter_mut().find(|(known, _)| known.message == problem.message) {
                Some((_, places)) => places.push(place),
                None => found.push((problem, vec![place])),
            }
        }
    }
    let all = cluster.primaries.len();
    Ok(found
        .into_iter()
        .map(|(mut problem, places)| {
            if places.len() < all {
                problem.message = format!("{}: {}", places.join(", "), problem.message);
            }
            problem
        })
        .collect())
}

/// What is looked at.
struct Looking<'a> {
    setup: &'a Setup,
    server: &'a Server,
    /// The user, if the server has such.
    login: Option<&'a str>,
    /// How many databases there are, if that is to be known.
    databases: Option<u64>,
    /// The cluster that it is a node of.
    cluster: Option<&'a Cluster>,
}

/// Who shares the keys, if several may.
fn cluster(session: &mut Session, server: &Server) -> Result<Option<Cluster>> {
    if server.cluster { Cluster::agreed(session, &Cancel::default()).map(Some) } else { Ok(None) }
}

/// All primaries at once.
fn see_cluster(setup: &Setup, cluster: &Cluster, inspection: &mut Inspection) -> Result<()> {
    let (mut keys, mut bytes) = (0u64, 0u64);
    for primary in &cluster.primaries {
        let server = Server::of(&mut Session::open(&primary.target)?)?;
        keys += server.info.keyspace().iter().map(|(_, keys)| keys).sum::<u64>();
        bytes += size(setup, &server);
    }
    // Whichever node was named, it is the same cluster.
    inspection.claims = claims(setup, Some(&format!("cluster {}", cluster.name())), Some(1));
    inspection.facts.insert("keys".to_owned(), keys.to_string());
    inspection.facts.insert("primaries".to_owned(), cluster.primaries.len().to_string());
    inspection.size = Some(bytes);
    inspection.parts = Some(cluster.primaries.len() as u64);
    Ok(())
}

impl Looking<'_> {
    fn problems(&self, session: &mut Session) -> Result<Vec<Problem>> {
        let mut problems = self.in_the_way_of_both();
        problems.extend(dumping::problems(self, session)?);
        problems.extend(restoring::problems(self, session)?);
        Ok(problems)
    }

    fn in_the_way_of_both(&self) -> Vec<Problem> {
        let loading = (self.server.info.get("loading") == Some("1")).then(|| {
            Problem::error("the server still reads its data from disk").with_hint("wait until it has")
        });
        let missing = match (&self.setup.databases, self.databases) {
            (Meant::These(list), Some(count)) => list.iter().find(|index| **index >= count).map(|index| {
                Problem::error(format!("there is no database {index}: the server has {count}"))
                    .with_hint("they are numbered from 0: check `url` and `databases`")
            }),
            _ => None,
        };
        [loading, missing].into_iter().flatten().collect()
    }
}

/// Databases of a server, by the name that all ways to it share.
fn claims(setup: &Setup, run_id: Option<&str>, databases: Option<u64>) -> Vec<Claim> {
    let indexes: Vec<u64> = match &setup.databases {
        Meant::These(list) => list.clone(),
        Meant::All => (0..databases.unwrap_or(16).min(MOST_CLAIMS)).collect(),
    };
    indexes.into_iter().map(|index| Claim::Name(setup.target.claim(run_id, index))).collect()
}

fn facts(server: &Server, login: Option<&str>) -> Facts {
    let keys: u64 = server.info.keyspace().iter().map(|(_, keys)| keys).sum();
    let facts = [
        ("server", server.title()),
        ("rdb_version", server.rdb.number.to_string()),
        ("login", login.unwrap_or("default").to_owned()),
        (
            "role",
            match &server.role {
                Role::Primary => "primary".to_owned(),
                Role::Replica { of, .. } => format!("replica of {of}"),
            },
        ),
        ("cluster", server.cluster.to_string()),
        ("keys", keys.to_string()),
        ("maxmemory_policy", server.info.get("maxmemory_policy").unwrap_or("?").to_owned()),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What the keys that are meant take in memory, if all keys are alike.
fn size(setup: &Setup, server: &Server) -> u64 {
    let bytes = server.info.number("used_memory_dataset").or(server.info.number("used_memory")).unwrap_or(0);
    let keyspace = server.info.keyspace();
    let all: u64 = keyspace.iter().map(|(_, keys)| keys).sum();
    let meant: u64 =
        keyspace.iter().filter(|(index, _)| setup.databases.has(*index)).map(|(_, keys)| keys).sum();
    let share = u128::from(bytes) * u128::from(meant) / u128::from(all.max(1));
    u64::try_from(share).unwrap_or(bytes)
}

/// An error as a problem, with what to do about it if that is known.
fn problem(made: fn(String) -> Problem, error: &Error) -> Problem {
    let made = made(error.to_string());
    match error.hint() {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// What the login may not do.
fn not_permitted(made: fn(String) -> Problem, what: &str, said: &[String]) -> Option<Problem> {
    let first = said.first()?;
    Some(
        made(format!("{what}: {}", shown(first)))
            .with_hint("grant the login what is named there (`ACL SETUSER`), or use another"),
    )
}
