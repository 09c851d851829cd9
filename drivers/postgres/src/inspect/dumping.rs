//! What would be in the way of a dump.

use dumprestore_driver::{Problem, Result};

use super::server::Server;
use super::{hinted, some_of};
use crate::client::PgDump;
use crate::config::Setup;
use crate::connect::Connection;

/// Sessions that a dump opens at the least: one that holds the view, one that checks it, `pg_dump`, and a lane.
const SESSIONS: i64 = 4;

/// A table or sequence of the application, as a query's `FROM` and `WHERE`. What an extension has is made by the
/// extension.
const OURS: &str = "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid \
        AND d.objsubid = 0 AND d.deptype = 'e')";

pub(super) async fn problems(setup: &Setup, session: &Connection, server: &Server) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    if let Err(error) = PgDump::find(setup, session.version()).await {
        problems.push(hinted(Problem::no_dump(error.to_string()), error.hint()));
    }
    problems.extend(unreadable(session).await?);
    problems.extend(hidden(session).await?);
    if server.standby {
        problems.extend(unlogged(session).await?);
    }
    problems.extend(too_many_locks(session).await?);
    if server.free_connections < SESSIONS {
        problems.push(
            Problem::warning(format!(
                "the server has only {} connections left",
                server.free_connections.max(0)
            ))
            .with_hint("end sessions, or raise `max_connections`: a dump needs some at once"),
        );
    }
    Ok(problems)
}

/// Names of relations, by a condition on them.
async fn names(session: &Connection, condition: &str) -> Result<Vec<String>> {
    let asked = format!("SELECT n.nspname || '.' || c.relname {OURS} AND {condition} ORDER BY 1");
    let failed = |error| session.fault(error, "can't look at the tables of a database");
    let rows = session.query(&asked, &[]).await.map_err(failed)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn unreadable(session: &Connection) -> Result<Option<Problem>> {
    let condition = "NOT (has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind \
        WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END)";
    let names = names(session, condition).await?;
    Ok((!names.is_empty()).then(|| {
        Problem::warning(format!("this login may not read {}", some_of(&names))).with_hint(
            "a dump fails unless they are left out with `exclude_tables` or `exclude_schemas`: grant it \
            `pg_read_all_data`, or use another login",
        )
    }))
}

async fn hidden(session: &Connection) -> Result<Option<Problem>> {
    let names = names(session, "c.relkind IN ('r', 'p') AND row_security_active(c.oid)").await?;
    Ok((!names.is_empty()).then(|| {
        Problem::warning(format!("row-level security may hide rows of {} from this login", some_of(&names)))
            .with_hint(
                "a dump fails unless they are left out: use a login with `BYPASSRLS`, or the owner of the tables",
            )
    }))
}

/// A standby has the definitions of unlogged tables, and cannot read them.
async fn unlogged(session: &Connection) -> Result<Option<Problem>> {
    let names = names(session, "c.relkind IN ('r', 'S') AND c.relpersistence = 'u'").await?;
    Ok((!names.is_empty()).then(|| {
        Problem::warning(format!(
            "the server is a standby, and can't read what is unlogged: {}",
            some_of(&names)
        ))
        .with_hint("a dump fails unless they are in `exclude_tables` or `exclude_data`; or dump the primary")
    }))
}

async fn too_many_locks(session: &Connection) -> Result<Option<Problem>> {
    let asked = format!(
        "SELECT (SELECT count(*) {OURS}), current_setting('max_locks_per_transaction')::bigint * \
        (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)"
    );
    let failed = |error| session.fault(error, "can't count the tables of a database");
    let row = session.query_one(&asked, &[]).await.map_err(failed)?;
    let (tables, room): (i64, i64) = (row.get(0), row.get(1));
    Ok((tables > room).then(|| {
        Problem::warning(format!(
            "a dump locks {tables} tables, and the server has room for {room} locks or so"
        ))
        .with_hint("raise `max_locks_per_transaction`")
    }))
}
