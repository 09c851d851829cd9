//! What would be in the way of a restore.

use dumprestore_driver::{Problem, Result};

use super::server::Server;
use super::some_of;
use crate::config::Setup;
use crate::connect::Session;
use crate::restore::{Names, is_of_a_restore};

pub(super) async fn problems(setup: &Setup, session: &mut Session, server: &Server) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    problems.extend(only_reads(server));
    problems.extend(may_not_create(setup, server));
    problems.extend(slow(server));
    problems.extend(distrusts(server));
    problems.extend(left(setup, session).await?);
    Ok(problems)
}

fn only_reads(server: &Server) -> Option<Problem> {
    if server.replica {
        let problem =
            Problem::no_restore("the server is a replica: what is restored here its source does not have");
        return Some(problem.with_hint("restore into the source"));
    }
    let may_write = ["SUPER", "READ ONLY ADMIN", "READ_ONLY ADMIN", "CONNECTION_ADMIN"];
    let may_write = may_write.iter().any(|right| server.rights.everywhere(right));
    (server.read_only && !may_write).then(|| {
        Problem::no_restore("the server only reads")
            .with_hint("`SET GLOBAL read_only = OFF`, or restore into another")
    })
}

/// A restore loads into a database beside the live one.
fn may_not_create(setup: &Setup, server: &Server) -> Option<Problem> {
    let live = &setup.target.database;
    // Which run it is makes no difference to what a login may.
    let may = server.rights.on_database(&Names::new(live, "").staging, "CREATE");
    (!may).then(|| {
        Problem::no_restore("a restore makes databases beside the live one, and this login may not")
            .with_hint(format!("`GRANT ALL ON {} TO` it", Names::grantable(live)))
    })
}

fn slow(server: &Server) -> Option<Problem> {
    (!server.local_infile).then(|| {
        Problem::warning("the server does not take `LOAD DATA LOCAL`, which a restore is slower without")
            .with_hint("`SET GLOBAL local_infile = ON`")
    })
}

/// With a binary log, a server takes functions and triggers only from those whom it trusts.
fn distrusts(server: &Server) -> Option<Problem> {
    let trusted = server.trusts_functions || server.rights.everywhere("SUPER");
    (server.binary_log && !trusted).then(|| {
        Problem::warning(
            "the server writes a binary log, and takes no functions and triggers from this login",
        )
        .with_hint("`SET GLOBAL log_bin_trust_function_creators = ON`, or use a login with `SUPER`")
    })
}

/// Databases that a restore made which was killed, or whose old state was kept.
async fn left(setup: &Setup, session: &mut Session) -> Result<Option<Problem>> {
    let live = setup.target.database.as_str();
    let sql = "SELECT schema_name FROM information_schema.schemata ORDER BY schema_name";
    let mut names = Vec::new();
    for row in session.rows(sql).await? {
        let name = row.text(0)?;
        if is_of_a_restore(name, live) {
            names.push(name.to_owned());
        }
    }
    Ok((!names.is_empty()).then(|| {
        Problem::warning(format!("earlier restores have left databases: {}", some_of(&names))).with_hint(
            "they are the previous state, if that was kept; if a restore was killed, `dumprestore recover` ends it",
        )
    }))
}
