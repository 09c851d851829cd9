//! Roles that the archive has and the server does not.
//!
//! A role belongs to the server, so one that a restore makes is marked, by its comment, until the restore is finished:
//! rolled back, also after a crash, the restore takes it away again.

use dumprestore_driver::{Error, Result};

use crate::archived::Role;
use crate::connect::{Connection, sqlstate};
use crate::quote;

/// Which of these roles are not there.
pub(crate) async fn missing<'a>(session: &Connection, names: &[&'a str]) -> Result<Vec<&'a str>> {
    let asked = "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname = ANY ($1)";
    let found = session
        .query(asked, &[&names])
        .await
        .map_err(|error| session.fault(error, "can't read which roles there are"))?;
    let there: Vec<&str> = found.iter().map(|row| row.get(0)).collect();
    Ok(names.iter().copied().filter(|name| !there.contains(name)).collect())
}

/// Makes those that are missing, each marked from the instant at which it exists.
pub(crate) async fn make(session: &Connection, roles: &[Role], mark: &str) -> Result<()> {
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    let missing = missing(session, &names).await?;
    for role in roles.iter().filter(|role| missing.contains(&role.name.as_str())) {
        let name = quote::literal(&role.name);
        let marked = format!(
            "DO {};",
            quote::literal(&format!(
                "BEGIN EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', {name}, {} || coalesce(\
                 (SELECT pg_catalog.shobj_description(oid, 'pg_authid') FROM pg_catalog.pg_roles \
                 WHERE rolname = {name}), '')); END",
                quote::literal(&prefix(mark))
            ))
        );
        // Sent as one, it is one transaction.
        let statements = format!("{} {marked}", role.sql.join(" "));
        session.batch_execute(&statements).await.map_err(|error| failed(session, error, &role.name))?;
    }
    for role in roles.iter().filter(|role| !missing.contains(&role.name.as_str())) {
        for statement in role.sql.iter().filter(|statement| is_grant_of(statement, &missing)) {
            session.batch_execute(statement).await.map_err(|error| failed(session, error, &role.name))?;
        }
    }
    Ok(())
}

/// Whether it makes somebody a member of one of these roles.
fn is_grant_of(statement: &str, roles: &[&str]) -> bool {
    let of = |role: &&str| statement.strip_prefix(&format!("GRANT {} TO ", quote::name(role))).is_some();
    roles.iter().any(of)
}

/// Lets what was made be as the archive has it.
pub(crate) async fn keep(session: &Connection, mark: &str) -> Result<()> {
    for (name, comment) in marked(session, mark).await? {
        unmark(session, &name, &comment).await?;
    }
    Ok(())
}

/// Takes away what was made. What somebody uses by now stays.
pub(crate) async fn remove(session: &Connection, mark: &str) -> Result<()> {
    for (name, comment) in marked(session, mark).await? {
        let dropped = session.batch_execute(&format!("DROP ROLE {}", quote::name(&name))).await;
        match dropped.map_err(|error| failed(session, error, &name)) {
            Err(error) if sqlstate(&error) == Some("2BP01") => unmark(session, &name, &comment).await?,
            done => done?,
        }
    }
    Ok(())
}

fn prefix(mark: &str) -> String {
    format!("{mark}: ")
}

/// Names and own comments of the roles that bear the mark, those last that others are members of.
async fn marked(session: &Connection, mark: &str) -> Result<Vec<(String, String)>> {
    let prefix = prefix(mark);
    let asked = "SELECT r.rolname::text, pg_catalog.substr(d.description, pg_catalog.length($1::text) + 1) \
        FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_shdescription d ON d.objoid = r.oid \
        WHERE d.classoid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND pg_catalog.strpos(d.description, $1) = 1 \
        ORDER BY r.oid DESC";
    let found = session
        .query(asked, &[&prefix])
        .await
        .map_err(|error| session.fault(error, "can't read which roles there are"))?;
    Ok(found.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn unmark(session: &Connection, name: &str, comment: &str) -> Result<()> {
    let comment = if comment.is_empty() { "NULL".to_owned() } else { quote::literal(comment) };
    let statement = format!("COMMENT ON ROLE {} IS {comment}", quote::name(name));
    session.batch_execute(&statement).await.map_err(|error| failed(session, error, name))
}

fn failed(session: &Connection, error: tokio_postgres::Error, name: &str) -> Error {
    let error = session.fault(error, "can't make a role, or take it away").with_context("role", name);
    match sqlstate(&error) {
        Some("42501") => error.with_hint("restore as a superuser, or make the role before"),
        _ => error,
    }
}
