//! Looking at a server and a database: what would be in the way of a dump, and of a restore.
//!
//! `inspect/` has a module for each of them, one for the server that both need, and one for declared references.

mod declared;
mod dumping;
mod restoring;
mod server;

use dumprestore_driver::{Claim, Error, Facts, Inspection, Problem, Result};

use crate::catalog;
use crate::config::Setup;
use crate::connect::{Session, code};
pub(crate) use declared::Declared;
use server::Server;

/// There is no such database.
const NO_DATABASE: u16 = 1049;
/// The oldest servers that every query of ours is made for.
const OLDEST_MARIADB: (u16, u16, u16) = (10, 3, 0);
const OLDEST_MYSQL: (u16, u16, u16) = (5, 7, 0);

/// Everything that the engine wants to know before a run.
pub(crate) async fn inspect(setup: &Setup, declared: &Declared) -> Result<Inspection> {
    let mut inspection = Inspection::default();
    inspection.claims = vec![Claim::Name(setup.target.claim())];
    match Session::open(setup, "inspect").await {
        Ok(mut session) => {
            see(setup, declared, &mut session, &mut inspection).await?;
            session.close().await;
        }
        Err(error) if code(&error) == Some(NO_DATABASE) => absent(setup, &mut inspection).await?,
        Err(error) => inspection.problems.push(problem(Problem::error, &error)),
    }
    Ok(inspection)
}

/// The database is there.
async fn see(
    setup: &Setup,
    declared: &Declared,
    session: &mut Session,
    inspection: &mut Inspection,
) -> Result<()> {
    let server = Server::ask(session).await?;
    let database = catalog::name_of(session).await?;
    take_in(setup, &server, inspection);
    if is_too_old(&server) {
        inspection.problems.push(too_old(&server));
        return Ok(());
    }
    let relations = catalog::relations(session, &database).await?;
    inspection.size = Some(relations.iter().map(|relation| relation.bytes).sum());
    let dumping = dumping::Looking { setup, server: &server, database: &database, relations: &relations };
    inspection.problems.extend(dumping.problems(session, declared).await?);
    inspection.problems.extend(restoring::problems(setup, session, &server).await?);
    Ok(())
}

/// There is no such database: nothing to dump, but a restore makes it.
async fn absent(setup: &Setup, inspection: &mut Inspection) -> Result<()> {
    inspection.absent = true;
    inspection.problems.push(
        Problem::no_dump(format!("there is no database `{}`", setup.target.database.escape_debug()))
            .with_hint("check its name in `url`; a restore creates it"),
    );
    match Session::open_in(setup, None, "inspect").await {
        Ok(mut session) => {
            let server = Server::ask(&mut session).await?;
            take_in(setup, &server, inspection);
            if is_too_old(&server) {
                inspection.problems.push(too_old(&server));
            }
            inspection.problems.extend(restoring::problems(setup, &mut session, &server).await?);
            session.close().await;
        }
        Err(error) => inspection.problems.push(problem(Problem::no_restore, &error)),
    }
    Ok(())
}

fn take_in(setup: &Setup, server: &Server, inspection: &mut Inspection) {
    if let Some(identity) = &server.identity {
        inspection.claims = vec![Claim::Name(setup.target.claim_on(identity))];
    }
    inspection.facts = facts(server);
}

fn facts(server: &Server) -> Facts {
    let facts = [
        ("server_version", server.version.text.clone()),
        ("login", server.login.clone()),
        ("read_only", server.read_only.to_string()),
        ("replica", server.replica.to_string()),
        ("local_infile", server.local_infile.to_string()),
        ("binary_log", server.binary_log.to_string()),
        ("encrypted", server.encrypted.to_string()),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn is_too_old(server: &Server) -> bool {
    let oldest = if server.version.is_mariadb() { OLDEST_MARIADB } else { OLDEST_MYSQL };
    server.version.version < oldest
}

fn too_old(server: &Server) -> Problem {
    Problem::error(format!(
        "the server is {}, and MariaDB 10.3 and MySQL 5.7 are the oldest that are supported",
        server.version
    ))
}

/// An error as a problem, with what to do about it if that is known.
fn problem(made: fn(String) -> Problem, error: &Error) -> Problem {
    let made = made(error.to_string());
    match error.hint() {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// Some names, and how many more there are.
fn some_of(names: &[String]) -> String {
    const MOST: usize = 5;
    let some: Vec<_> = names.iter().take(MOST).map(|name| format!("`{}`", name.escape_debug())).collect();
    let mut text = some.join(", ");
    if names.len() > MOST {
        text.push_str(&format!(" and {} more", names.len() - MOST));
    }
    text
}
