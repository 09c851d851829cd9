//! Looking at a server and a database: what would be in the way of a dump, and of a restore.
//!
//! `inspect/` has a module for each of them, one for the server that both need, and one for declared references.

mod declared;
mod dumping;
mod restoring;
mod server;

use dumprestore_driver::{Claim, Error, Facts, Inspection, Problem, Result};

use crate::config::Setup;
use crate::connect::{Connection, connect, refuse_pooler, sqlstate};
pub(crate) use declared::Declared;
use server::Server;

/// `invalid_catalog_name`: there is no such database.
const NO_DATABASE: &str = "3D000";
/// The oldest server that every query of ours is made for.
const OLDEST: u32 = 100_000;

/// Everything that the engine wants to know before a run.
pub(crate) async fn inspect(setup: &Setup, declared: &Declared) -> Result<Inspection> {
    let mut inspection = Inspection::default();
    inspection.claims = vec![Claim::Name(setup.target.claim())];
    match connect(&setup.target, "inspect").await {
        Ok(session) => {
            see(setup, declared, &session, &mut inspection).await?;
            session.close().await;
        }
        Err(error) if sqlstate(&error) == Some(NO_DATABASE) => absent(setup, &mut inspection).await?,
        Err(error) => inspection.problems.push(hinted(Problem::error(error.to_string()), error.hint())),
    }
    Ok(inspection)
}

/// The database is there.
async fn see(
    setup: &Setup,
    declared: &Declared,
    session: &Connection,
    inspection: &mut Inspection,
) -> Result<()> {
    if let Err(error) = refuse_pooler(session).await {
        inspection.problems.push(hinted(Problem::error(error.to_string()), error.hint()));
        return Ok(());
    }
    let server = Server::ask(session).await?;
    take_in(setup, &server, inspection);
    if session.version() < OLDEST {
        inspection.problems.push(too_old(&server));
        return Ok(());
    }
    inspection.size = Some(server::size(session).await?);
    inspection.problems.extend(dumping::problems(setup, declared, session, &server).await?);
    inspection.problems.extend(restoring::problems(setup, session, &server).await?);
    Ok(())
}

/// There is no such database: nothing to dump, but a restore makes it.
async fn absent(setup: &Setup, inspection: &mut Inspection) -> Result<()> {
    inspection.absent = true;
    inspection.problems.push(
        Problem::no_dump(format!("there is no database `{}`", setup.target.database))
            .with_hint("check its name in `url`; a restore creates it"),
    );
    match other_database(setup).await {
        Ok(session) => {
            let server = Server::ask(&session).await?;
            take_in(setup, &server, inspection);
            if session.version() < OLDEST {
                inspection.problems.push(too_old(&server));
            }
            inspection.problems.extend(restoring::problems_of_server(&server));
            session.close().await;
        }
        Err(error) => {
            let made = Problem::no_restore(error.to_string());
            inspection
                .problems
                .push(hinted(made, Some("name with `maintenance_db` a database to connect to")));
        }
    }
    Ok(())
}

/// A session of another database of the server.
async fn other_database(setup: &Setup) -> Result<Connection> {
    let candidates = match &setup.maintenance_db {
        Some(name) => vec![name.as_str()],
        None => vec!["postgres", "template1"],
    };
    let mut failed = Error::config("there is no database to connect to");
    for name in candidates {
        match connect(&setup.target.with_database(name), "inspect").await {
            Ok(session) => return Ok(session),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn take_in(setup: &Setup, server: &Server, inspection: &mut Inspection) {
    if let Some(identity) = &server.identity {
        inspection.claims = vec![Claim::Name(setup.target.claim_on(identity))];
    }
    inspection.facts = facts(server);
}

fn facts(server: &Server) -> Facts {
    let facts = [
        ("server_version", server.version.clone()),
        ("login", server.login.clone()),
        ("standby", server.standby.to_string()),
        ("encrypted", server.encrypted.to_string()),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn too_old(server: &Server) -> Problem {
    Problem::error(format!(
        "the server is PostgreSQL {}, and 10 is the oldest that is supported",
        server.version
    ))
}

/// A problem, with what to do about it if that is known.
fn hinted(made: Problem, hint: Option<&str>) -> Problem {
    match hint {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// Some names, and how many more there are.
fn some_of(names: &[String]) -> String {
    const MOST: usize = 5;
    let mut text = names.iter().take(MOST).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        text.push_str(&format!(" and {} more", names.len() - MOST));
    }
    text
}
