//! What would be in the way of a restore.

use dumprestore_driver::{Problem, Result};

use super::server::Server;
use super::some_of;
use crate::config::Setup;
use crate::connect::Connection;

pub(super) async fn problems(setup: &Setup, session: &Connection, server: &Server) -> Result<Vec<Problem>> {
    let mut problems = of_server(server);
    if server.standby {
        return Ok(problems);
    }
    problems.extend(may_not_create(server));
    problems.extend(not_owned(setup, session).await?);
    problems.extend(prepared(session).await?);
    problems.extend(replicated(session).await?);
    problems.extend(subscribed(session).await?);
    if !server.is_superuser {
        problems.extend(others(session, server).await?);
    }
    Ok(problems)
}

/// Of the server alone, for a database that is not there yet.
pub(super) fn problems_of_server(server: &Server) -> Vec<Problem> {
    let mut problems = of_server(server);
    problems.extend((!server.standby && !server.may_create_databases).then(|| {
        Problem::no_restore(format!("`{}` may not create databases", server.login))
            .with_hint("`ALTER ROLE … CREATEDB`; or make the database, empty, and restore with `--in-place`")
    }));
    problems
}

fn of_server(server: &Server) -> Vec<Problem> {
    let standby = Problem::no_restore("the server is a standby, which only reads")
        .with_hint("restore into the primary");
    server.standby.then_some(standby).into_iter().collect()
}

/// Only a restore in place works without that right. Which kind is wanted the plan knows, and refuses the other.
fn may_not_create(server: &Server) -> Option<Problem> {
    (!server.may_create_databases).then(|| {
        Problem::warning(format!(
            "a restore makes a database beside the live one, and `{}` may not create databases",
            server.login
        ))
        .with_hint("`ALTER ROLE … CREATEDB`, or restore with `--in-place`")
    })
}

/// The first column of a query, as text.
async fn texts(session: &Connection, asked: &str) -> Result<Vec<String>> {
    let failed = |error| session.fault(error, "can't look at what holds a database");
    let rows = session.query(asked, &[]).await.map_err(failed)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn not_owned(setup: &Setup, session: &Connection) -> Result<Option<Problem>> {
    let asked = "SELECT pg_get_userbyid(datdba)::text FROM pg_database \
        WHERE datname = current_database() AND NOT pg_has_role(datdba, 'USAGE')";
    let owner = texts(session, asked).await?.pop();
    Ok(owner.map(|owner| {
        Problem::warning(format!(
            "the database `{}` belongs to `{owner}`, and only its owner may rename it",
            setup.target.database
        ))
        .with_hint("use the owner's login, or a superuser's, or restore with `--in-place`")
    }))
}

async fn prepared(session: &Connection) -> Result<Option<Problem>> {
    let asked = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY 1";
    let names = texts(session, asked).await?;
    Ok((!names.is_empty()).then(|| {
        Problem::no_restore(format!("prepared transactions hold the database: {}", some_of(&names)))
            .with_hint("end them with `COMMIT PREPARED` or `ROLLBACK PREPARED`")
    }))
}

async fn replicated(session: &Connection) -> Result<Vec<Problem>> {
    let of = |condition: &str| {
        format!(
            "SELECT slot_name::text FROM pg_replication_slots \
            WHERE database = current_database() AND {condition} ORDER BY 1"
        )
    };
    let active = texts(session, &of("active")).await?;
    let idle = texts(session, &of("NOT active")).await?;
    let mut problems = Vec::new();
    if !active.is_empty() {
        problems.push(
            Problem::warning(format!("logical replication reads the database: slots {}", some_of(&active)))
                .with_hint("stop its readers and drop the slots, or restore with `--in-place`"),
        );
    }
    if !idle.is_empty() {
        problems.push(
            Problem::warning(format!("replication slots will go with the old database: {}", some_of(&idle)))
                .with_hint("make them again after a restore, and let their readers begin anew"),
        );
    }
    Ok(problems)
}

async fn subscribed(session: &Connection) -> Result<Option<Problem>> {
    let asked = "SELECT s.subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid \
        WHERE d.datname = current_database() ORDER BY 1";
    let names = texts(session, asked).await?;
    Ok((!names.is_empty()).then(|| {
        Problem::warning(format!(
            "the database has subscriptions, and could not be swapped by a restore: {}",
            some_of(&names)
        ))
        .with_hint("drop them before, and make them again afterwards; or restore with `--in-place`")
    }))
}

/// Sessions that have to end for the swap, and that this login can't end.
async fn others(session: &Connection, server: &Server) -> Result<Option<Problem>> {
    let (beyond, hint) = match server.may_end_sessions {
        true => (
            "r.rolsuper",
            "a restore is rolled back unless they end by themselves; or restore as a superuser",
        ),
        false => (
            "(r.rolsuper OR NOT pg_has_role(r.oid, 'USAGE'))",
            "a restore is rolled back unless they end by themselves: grant `pg_signal_backend`, which does for all but \
             superusers' sessions, or restore as a superuser",
        ),
    };
    let asked = format!(
        "SELECT DISTINCT r.rolname::text FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid \
        WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND {beyond} ORDER BY 1"
    );
    let names = texts(session, &asked).await?;
    Ok((!names.is_empty()).then(|| {
        Problem::warning(format!("`{}` may not end the sessions of {}", server.login, some_of(&names)))
            .with_hint(hint)
    }))
}
