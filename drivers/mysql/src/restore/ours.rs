//! Databases beside the live one: whether they are ours, and how they are dropped. One that holds anything that is not known
//! is never dropped.

use dumprestore_driver::{Error, Result};

use super::entry::Kept;
use super::names::{MARKER, Names};
use super::server::{Server, identity};
use super::state::State;
use super::swap::{Patience, strangers, tables};
use crate::catalog;
use crate::config::Setup;
use crate::connect::Session;
use crate::quote;

/// Whether a database has neither tables nor views nor programs.
pub(super) async fn is_empty(session: &mut Session, database: &str) -> Result<bool> {
    let name = quote::literal(database);
    let asked = format!(
        "SELECT (SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = {name}) \
         + (SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = {name}) \
         + (SELECT COUNT(*) FROM information_schema.events WHERE event_schema = {name})"
    );
    let rows = session.rows(asked).await?;
    Ok(rows.first().and_then(|row| row.bytes(0)) == Some(b"0"))
}

/// Refuses a database of one of our names that somebody else has made.
pub(super) async fn refuse_foreign(session: &mut Session, database: &str, run: &str) -> Result<()> {
    let is_ours = match State::load(session, database).await? {
        Some(state) => state.run == run,
        None => {
            strangers(&tables(session, database).await?, &[]).is_empty()
                && is_nearly_empty(session, database).await?
        }
    };
    match is_ours {
        true => Ok(()),
        false => Err(Error::environment("a database has the name of one of ours, and is not ours")
            .with_context("database", database)
            .with_hint("see what it is for, and drop or move it; then run it again")),
    }
}

/// Whether it holds nothing, or nothing but what a crash leaves of a database that was being made.
async fn is_nearly_empty(session: &mut Session, database: &str) -> Result<bool> {
    match tables(session, database).await?.is_empty() {
        true => is_empty(session, database).await,
        false => Ok(true),
    }
}

/// Drops a database of ours that holds nothing but what is `known`. One that is not there is dropped.
pub(super) async fn drop_ours(
    session: &mut Session,
    server: &Server,
    database: &str,
    run: &str,
    known: &[String],
) -> Result<()> {
    if catalog::database(session, database).await?.is_none() {
        return Ok(());
    }
    refuse_foreign(session, database, run).await?;
    refuse_strangers(session, database, known).await?;
    // What leads in from elsewhere must not be cut off unseen.
    session.run("SET SESSION foreign_key_checks = 1").await?;
    // Somebody may just read it: a dump of all databases, say.
    let patience = Patience::new(server, None);
    let dropped = loop {
        match session.run(format!("DROP DATABASE IF EXISTS {}", quote::name(database))).await {
            Ok(_) => break Ok(()),
            Err(error) => match patience.wait(error).await {
                Ok(()) => {}
                Err(error) => break Err(error),
            },
        }
    };
    if !session.is_gone() {
        session.run("SET SESSION foreign_key_checks = 0").await?;
    }
    dropped
}

/// Refuses to go on with a database of ours that holds anything but what is `known`.
pub(super) async fn refuse_strangers(session: &mut Session, database: &str, known: &[String]) -> Result<()> {
    let strangers = strangers(&tables(session, database).await?, known);
    if !strangers.is_empty() {
        return Err(Error::stuck("a database is not dropped, for it holds tables that should not be there")
            .with_context("database", database)
            .with_context("tables", strangers.iter().take(5).cloned().collect::<Vec<_>>().join(", "))
            .with_hint(
                "see whether they are needed, and move or drop them; then run `dumprestore recover`",
            ));
    }
    Ok(())
}

/// Drops a database with the tables of an old state.
pub(super) async fn drop_kept(
    session: &mut Session,
    server: &Server,
    database: &str,
    run: &str,
) -> Result<()> {
    let state = State::load(session, database).await?.filter(|state| state.run == run);
    let known = state.map(|state| state.tables).unwrap_or_default();
    drop_ours(session, server, database, run, &known).await
}

/// Drops what an earlier restore has kept, if it is still what was kept.
pub(super) async fn discard(setup: &Setup, kept: &Kept) -> Result<()> {
    let server = Server { setup: setup.clone(), names: Names::new(&kept.live, &kept.run) };
    let mut session = server.session().await?;
    kept.check_server(identity(&mut session).await.as_deref())?;
    let is_kept = State::load(&mut session, &kept.database).await?.is_some_and(|state| state.run == kept.run);
    // Where the marker is not, neither are the tables: it was put back.
    if is_kept && tables(&mut session, &kept.database).await?.contains(MARKER) {
        drop_kept(&mut session, &server, &kept.database, &kept.run).await?;
    }
    session.close().await;
    Ok(())
}
