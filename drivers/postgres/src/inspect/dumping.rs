//! What would be in the way of a dump.

use std::collections::HashSet;

use dumprestore_driver::{Problem, Result};

use super::server::Server;
use super::{Declared, hinted, some_of};
use crate::catalog::{Relation, references, relations, schemas, sequence_names};
use crate::client::PgDump;
use crate::config::Setup;
use crate::connect::Connection;
use crate::dump::{Choice, Chosen, loose};

/// Sessions that a dump opens at the least: one that holds the view, one that checks it, `pg_dump`, and a lane.
const SESSIONS: i64 = 4;

pub(super) async fn problems(
    setup: &Setup,
    declared: &Declared,
    session: &Connection,
    server: &Server,
) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    if let Err(error) = PgDump::find(setup, session.version()).await {
        problems.push(hinted(Problem::no_dump(error.to_string()), error.hint()));
    }
    problems.extend(of_tables(setup, declared, session, server).await?);
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

/// What has to do with the tables that are to be dumped, and these only.
async fn of_tables(
    setup: &Setup,
    declared: &Declared,
    session: &Connection,
    server: &Server,
) -> Result<Vec<Problem>> {
    let all = relations(session).await?;
    let chosen = match Choice::of(setup).pick(&schemas(session).await?, &all) {
        Ok(chosen) => chosen,
        // A pattern that fits nothing.
        Err(error) => return Ok(vec![hinted(Problem::no_dump(error.to_string()), error.hint())]),
    };
    let wanted = |relation: &&Relation| relation.is_lockable() && !chosen.omits(relation.oid);
    let tables: Vec<&Relation> = all.iter().filter(wanted).collect();
    let mut problems = Vec::new();
    problems.extend(unreadable(session, &tables).await?);
    problems.extend(unreadable_sequences(session, &chosen).await?);
    problems.extend(hidden(session, &tables, &chosen).await?);
    problems.extend(server.standby.then(|| unlogged(&tables, &chosen)).flatten());
    problems.extend(loose_keys(session, &all, &chosen).await?);
    problems.extend(too_many(session, tables.len()).await?);
    problems.extend(declared.problems(session, &chosen).await);
    Ok(problems)
}

/// Those of the tables that a condition holds for, by name.
async fn those(session: &Connection, tables: &[&Relation], condition: &str) -> Result<Vec<String>> {
    let asked = format!("SELECT c.oid FROM pg_class c WHERE c.oid = ANY ($1) AND {condition}");
    let numbers: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let failed = |error| session.fault(error, "can't look at the tables of a database");
    let rows = session.query(&asked, &[&numbers]).await.map_err(failed)?;
    let found: HashSet<u32> = rows.iter().map(|row| row.get(0)).collect();
    let mut names: Vec<_> =
        tables.iter().filter(|table| found.contains(&table.oid)).map(|table| table.label()).collect();
    names.sort();
    Ok(names)
}

async fn unreadable(session: &Connection, tables: &[&Relation]) -> Result<Option<Problem>> {
    let condition =
        "NOT (has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))";
    let names = those(session, tables, condition).await?;
    Ok((!names.is_empty()).then(|| {
        Problem::no_dump(format!("this login may not read {}", some_of(&names))).with_hint(
            "grant it `pg_read_all_data`, use another login, or leave them out with `exclude_tables`",
        )
    }))
}

async fn unreadable_sequences(session: &Connection, chosen: &Chosen) -> Result<Option<Problem>> {
    let all = sequence_names(session).await?;
    let names: Vec<_> = all
        .iter()
        .filter(|name| !name.may_read && !chosen.omits_schema(&name.schema))
        .map(|name| format!("{}.{}", name.schema, name.name))
        .collect();
    Ok((!names.is_empty()).then(|| {
        Problem::warning(format!("this login may not read the sequences {}", some_of(&names)))
            .with_hint("a dump that needs them fails: grant it `SELECT` on them, or use another login")
    }))
}

async fn hidden(session: &Connection, tables: &[&Relation], chosen: &Chosen) -> Result<Option<Problem>> {
    let with_rows: Vec<_> = tables.iter().filter(|table| chosen.has_rows_of(table.oid)).copied().collect();
    let names = those(session, &with_rows, "c.relkind = 'r' AND row_security_active(c.oid)").await?;
    Ok((!names.is_empty()).then(|| {
        Problem::no_dump(format!("row-level security may hide rows of {} from this login", some_of(&names)))
            .with_hint("use a login with `BYPASSRLS`, or the owner of the tables")
    }))
}

/// A standby has the definitions of unlogged tables, and none of their rows.
fn unlogged(tables: &[&Relation], chosen: &Chosen) -> Option<Problem> {
    let names: Vec<_> = tables
        .iter()
        .filter(|table| table.persistence == 'u' && table.has_rows() && chosen.has_rows_of(table.oid))
        .map(|table| table.label())
        .collect();
    (!names.is_empty()).then(|| {
        Problem::warning(format!(
            "the server is a standby, and has no rows of what is unlogged: {}",
            some_of(&names)
        ))
        .with_hint("dump the primary, or name them in `exclude_data`")
    })
}

/// Foreign keys of rows that are dumped to rows that are left out.
async fn loose_keys(session: &Connection, all: &[Relation], chosen: &Chosen) -> Result<Option<Problem>> {
    let is_dumped = |relation: &Relation| relation.has_rows() && !chosen.omits(relation.oid);
    let with_rows = |relation: &Relation| is_dumped(relation) && chosen.has_rows_of(relation.oid);
    let without = |relation: &Relation| is_dumped(relation) && !chosen.has_rows_of(relation.oid);
    if !all.iter().any(without) {
        return Ok(None);
    }
    let references = references(session).await?;
    let names: Vec<String> =
        loose(&references, all, with_rows, without).into_iter().map(|one| one.label()).collect();
    Ok((!names.is_empty()).then(|| {
        Problem::warning(format!("rows that foreign keys lead to are left out: {}", some_of(&names))).with_hint(
            "a restore can't check these, and makes them `NOT VALID`, or not at all where the table is partitioned: take \
             what they lead to out of `exclude_data`, or validate them when its rows are there",
        )
    }))
}

async fn too_many(session: &Connection, tables: usize) -> Result<Option<Problem>> {
    let asked = "SELECT current_setting('max_locks_per_transaction')::bigint * \
        (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)";
    let failed = |error| session.fault(error, "can't ask a server for its locks");
    let room: i64 = session.query_one(asked, &[]).await.map_err(failed)?.get(0);
    Ok((i64::try_from(tables).unwrap_or(i64::MAX) > room).then(|| {
        Problem::warning(format!(
            "a dump locks {tables} tables, and the server has room for {room} locks or so"
        ))
        .with_hint("raise `max_locks_per_transaction`")
    }))
}
