//! Triggers put on tables of MariaDB before anybody writes to them, though it renames nothing in a session with locks.
//!
//! A session keeps a gate: a lock on the marker. The rename waits before it, and holds all live names by then, since it
//! takes locks in the order of names. Behind it, for each table that is to get triggers, a session waits for a lock on the
//! live name: such a lock goes before those of writers. Then the gate is opened.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dumprestore_driver::{Error, Result};

use super::apply::Turn;
use super::names::MARKER;
use super::server::Server;
use super::swap::tables;
use crate::catalog::processes;
use crate::connect::{Session, code};
use crate::quote;

/// As many tables with triggers have sessions of their own. More take their triggers right after the swap.
const MOST: usize = 24;
/// How long the rename is kept waiting at the most, which waits for two seconds.
const LONGEST: Duration = Duration::from_millis(1200);

/// A gate that is shut.
pub(crate) struct Gate<'a> {
    server: &'a Server,
    turn: Turn<'a>,
    keeper: Session,
    waiting: Vec<(String, Session)>,
}

impl<'a> Gate<'a> {
    /// Shuts it. `None`: it would be of no use here.
    pub(crate) async fn shut(
        server: &'a Server,
        turn: Turn<'a>,
        source: &str,
        moved: &[&str],
    ) -> Result<Option<Self>> {
        let mut to_have: Vec<String> = turn.to.triggers.iter().map(|trigger| trigger.table.clone()).collect();
        to_have.sort_unstable();
        to_have.dedup();
        // Nobody writes yet to what is not there yet.
        to_have.retain(|table| moved.contains(&table.as_str()));
        let is_behind = |database: &str| database.as_bytes() > turn.live.as_bytes();
        if to_have.is_empty() || to_have.len() > MOST || !is_behind(source) || !is_behind(turn.aside) {
            return Ok(None);
        }
        let mut keeper = server.holding().await?;
        keeper.run(format!("LOCK TABLES {} WRITE", quote::qualified(source, MARKER))).await?;
        let mut waiting = Vec::new();
        for table in to_have {
            waiting.push((table, server.holding().await?));
        }
        Ok(Some(Self { server, turn, keeper, waiting }))
    }

    /// Opens it once all wait, and has triggers made by those who waited behind the rename of the session `renaming`, which
    /// says when it is `over`.
    pub(crate) async fn pass(self, renaming: u64, over: &AtomicBool) -> Result<()> {
        let Self { server, turn, mut keeper, waiting } = self;
        let ids: Vec<u64> = waiting.iter().map(|(_, session)| session.id()).chain([renaming]).collect();
        let begun = Instant::now();
        let mut making = Vec::new();
        for (table, session) in waiting {
            making.push(make_behind(turn, table, session, over));
        }
        let open = async {
            let mut watcher = server.session().await?;
            while begun.elapsed() < LONGEST && waiting_of(&mut watcher, &ids).await? < ids.len() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            watcher.close().await;
            keeper.run("UNLOCK TABLES").await?;
            keeper.close().await;
            Ok(())
        };
        let (opened, made): (Result<()>, Vec<Result<()>>) =
            tokio::join!(open, futures_util::future::join_all(making));
        opened.and(made.into_iter().collect())
    }
}

/// How many of these sessions wait for a lock.
async fn waiting_of(session: &mut Session, ids: &[u64]) -> Result<usize> {
    let others = processes(session).await?;
    Ok(others.iter().filter(|other| ids.contains(&other.id) && other.waits()).count())
}

/// Waits for a table that is swapped in, and puts its triggers on it. What does not come out well here is done later: it is
/// looked at again after the swap.
async fn make_behind(turn: Turn<'_>, table: String, mut session: Session, over: &AtomicBool) -> Result<()> {
    let lock = format!("LOCK TABLES {} WRITE", quote::qualified(turn.live, &table));
    loop {
        match session.run(&lock).await {
            Ok(_) => {}
            // The rename did not get its locks, or came first.
            Err(error) if code(&error).is_some() => return Ok(()),
            Err(error) => return Err(error),
        }
        let is_over = over.load(Ordering::SeqCst);
        if is_swapped(&mut session, turn).await? {
            break;
        }
        // It was there before the rename: behind it is its place, unless that has failed.
        session.run("UNLOCK TABLES").await?;
        if is_over {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let made = turn.put_triggers_of(&mut session, &table).await;
    session.run("UNLOCK TABLES").await?;
    session.close().await;
    match made {
        Err(error) if code(&error).is_none() => Err(error),
        _ => Ok(()),
    }
}

async fn is_swapped(session: &mut Session, turn: Turn<'_>) -> Result<bool, Error> {
    Ok(tables(session, turn.aside).await?.contains(MARKER))
}
