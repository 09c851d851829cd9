//! Databases beside the live one: whether they are ours, and how they are dropped. One that holds anything that is not known
//! is never dropped.

use dumprestore_driver::{Error, ErrorKind, Result};

use super::entry::Kept;
use super::names::{MARKER, Names, is_old};
use super::server::{Server, identity};
use super::state::State;
use super::swap::{Patience, strangers, tables};
use crate::catalog;
use crate::config::Setup;
use crate::connect::{Session, code};
use crate::quote;

/// Foreign keys lead to a table.
const IS_REFERRED_TO: [u16; 3] = [1217, 1451, 3730];

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
    let dropped = async {
        if session.server().is_mariadb() {
            drop_content(session, server, database).await?;
        }
        let drop = format!("DROP DATABASE IF EXISTS {}", quote::name(database));
        run_patiently(session, server, &drop).await
    };
    let dropped = dropped.await;
    if !session.is_gone() {
        session.run("SET SESSION foreign_key_checks = 0").await?;
    }
    match dropped {
        Err(error) if code(&error).is_some_and(|code| IS_REFERRED_TO.contains(&code)) => {
            Err(referred_to(session, database).await?.with_source(error))
        }
        other => other,
    }
}

/// Drops all of a database but our own tables: MariaDB does not drop a database all or nothing, and what is left of it
/// must be known as ours.
async fn drop_content(session: &mut Session, server: &Server, database: &str) -> Result<()> {
    let mut left: Vec<String> = strangers(&tables(session, database).await?, &[]);
    let mut have_keys = true;
    while !left.is_empty() {
        let (mut kept, mut refused) = (Vec::new(), None);
        for table in &left {
            let drop = format!("DROP TABLE IF EXISTS {}", quote::qualified(database, table));
            match run_patiently(session, server, &drop).await {
                Err(error) if code(&error).is_some_and(|code| IS_REFERRED_TO.contains(&code)) => {
                    kept.push(table.clone());
                    refused = Some(error);
                }
                other => other?,
            }
        }
        if let Some(refused) = refused {
            // They lead to each other, or are led to from elsewhere.
            if !have_keys {
                return Err(refused);
            }
            drop_keys(session, server, database).await?;
            have_keys = false;
        }
        left = kept;
    }
    for (kind, name) in catalog::routine_names(session, database).await? {
        session.run(format!("DROP {kind} IF EXISTS {}", quote::qualified(database, &name))).await?;
    }
    for name in catalog::event_names(session, database).await? {
        session.run(format!("DROP EVENT IF EXISTS {}", quote::qualified(database, &name))).await?;
    }
    Ok(())
}

/// Drops all foreign keys of the tables in a database.
async fn drop_keys(session: &mut Session, server: &Server, database: &str) -> Result<()> {
    let asked = format!(
        "SELECT table_name, constraint_name FROM information_schema.table_constraints \
         WHERE CAST(table_schema AS BINARY) = CAST({} AS BINARY) AND constraint_type = 'FOREIGN KEY'",
        quote::literal(database)
    );
    for row in session.rows(asked).await? {
        let (table, key) = (quote::qualified(database, row.text(0)?), quote::name(row.text(1)?));
        run_patiently(session, server, &format!("ALTER TABLE {table} DROP FOREIGN KEY {key}")).await?;
    }
    Ok(())
}

/// Somebody may just read a table: a dump of all databases, say.
async fn run_patiently(session: &mut Session, server: &Server, statement: &str) -> Result<()> {
    let patience = Patience::new(server, None);
    while let Err(error) = session.run(statement).await {
        patience.wait(error).await?;
    }
    Ok(())
}

async fn referred_to(session: &mut Session, database: &str) -> Result<Error> {
    let asked = format!(
        "SELECT DISTINCT CONCAT(constraint_name, ' of ', table_schema, '.', table_name) \
         FROM information_schema.key_column_usage \
         WHERE referenced_table_schema = {name} AND table_schema <> {name} LIMIT 5",
        name = quote::literal(database)
    );
    let rows = session.rows(asked).await?;
    let keys: Vec<&str> = rows.iter().filter_map(|row| row.text(0).ok()).collect();
    let error =
        Error::environment("foreign keys of tables elsewhere lead to old tables, which can't be dropped")
            .with_context("database", database);
    let error = match keys.is_empty() {
        true => error,
        false => error.with_context("keys", keys.join(", ")),
    };
    Ok(error.with_hint(
        "drop each such foreign key (an administrator sees all of them in `information_schema.referential_constraints`), \
         then run `dumprestore recover`",
    ))
}

/// Refuses to swap while an earlier restore of the same database has neither been finished nor undone: it would put its
/// own old tables in the place of what is swapped in now.
pub(super) async fn refuse_unfinished(session: &mut Session, names: &Names) -> Result<()> {
    let listed = session.rows("SELECT schema_name FROM information_schema.schemata").await?;
    for row in listed {
        let database = row.text(0)?;
        if database == names.old || !is_old(database, &names.live) {
            continue;
        }
        let Some(state) = State::load(session, database).await? else { continue };
        let is_open = state.live == names.live && !state.kept;
        if is_open && tables(session, database).await?.contains(MARKER) {
            return Err(Error::new(ErrorKind::Locked, "an earlier restore of the same database was cut off")
                .with_context("run", &state.run)
                .with_context("its old tables", database)
                .with_hint("`dumprestore recover` where it was begun, then run it again"));
        }
    }
    Ok(())
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
