//! The database beside the live one, and its definitions.

use std::time::Duration;

use dumprestore_driver::{Error, Result};

use super::databases::Database;
use super::items::{self, Policies};
use super::names::Names;
use crate::archived::{self, Contents, Item, Section};
use crate::config::Policy;
use crate::connect::{Connection, sqlstate};
use crate::quote;

/// Another `CREATE DATABASE`, or a worker in the template, is soon over.
const TRIES: usize = 10;
const BETWEEN: Duration = Duration::from_millis(500);

/// Makes the staged database, which lets in its owner and superusers alone, and gives its OID.
pub(crate) async fn create(
    session: &Connection,
    names: &Names,
    database: &archived::Database,
    owner: Option<&str>,
    policies: Policies,
) -> Result<u32> {
    let statement = statement(names, database, owner, policies, session.version())?;
    let mut tries = 1;
    while let Err(error) = session.batch_execute(&statement).await {
        let error = session.fault(error, "can't make a database beside the live one");
        if sqlstate(&error) != Some("55006") || tries == TRIES {
            return Err(explained(error).with_context("database", &names.staged));
        }
        tries += 1;
        tokio::time::sleep(BETWEEN).await;
    }
    let made = Database::named(session, &names.staged).await?.filter(|made| made.is_staged_by(names));
    let made = made.ok_or_else(|| {
        Error::environment("the database that was just made is not there")
            .with_context("database", &names.staged)
    })?;
    keep_others_out(session, &made).await?;
    Ok(made.oid)
}

/// A new database is open to every role of the server: who may not enter the live one could change what will be live.
async fn keep_others_out(session: &Connection, made: &Database) -> Result<()> {
    let statement = format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", quote::name(&made.name));
    session.batch_execute(&statement).await.map_err(|error| {
        session
            .fault(error, "can't keep others out of the database beside the live one")
            .with_context("database", &made.name)
    })?;
    made.let_in(session, true).await
}

fn explained(error: Error) -> Error {
    match sqlstate(&error) {
        Some("42501") => error.with_hint("give the login the right `CREATEDB`, or restore as a superuser"),
        Some("42P04") => {
            error.with_hint("somebody else made a database of that name: drop it, or run it again")
        }
        _ => error,
    }
}

fn statement(
    names: &Names,
    database: &archived::Database,
    owner: Option<&str>,
    policies: Policies,
    version: u32,
) -> Result<String> {
    let tablespace = database.tablespace.as_deref().filter(|_| policies.tablespaces == Policy::Keep);
    Ok(format!(
        "CREATE DATABASE {} WITH ALLOW_CONNECTIONS = false CONNECTION LIMIT = {}{}",
        quote::name(&names.staged),
        names.mark,
        options(database, owner, tablespace, version)?
    ))
}

/// What makes a database like this one, after `CREATE DATABASE … WITH`, on a server of that version.
pub(crate) fn options(
    database: &archived::Database,
    owner: Option<&str>,
    tablespace: Option<&str>,
    version: u32,
) -> Result<String> {
    let mut options = String::new();
    let mut option = |name: &str, value: String| options.push_str(&format!(" {name} = {value}"));
    option("TEMPLATE", "template0".to_owned());
    option("ENCODING", quote::literal(&database.encoding));
    if let Some(owner) = owner {
        option("OWNER", quote::name(owner));
    }
    option("LC_COLLATE", quote::literal(&database.collate));
    option("LC_CTYPE", quote::literal(&database.ctype));
    let locale = database.locale.as_deref().map(quote::literal);
    match (database.locale_provider.as_str(), version) {
        ("libc", ..150_000) => {}
        ("libc", _) => option("LOCALE_PROVIDER", "libc".to_owned()),
        ("icu", 150_000..) => {
            option("LOCALE_PROVIDER", "icu".to_owned());
            locale.into_iter().for_each(|locale| option("ICU_LOCALE", locale));
            if let Some(rules) = database.icu_rules.as_deref().filter(|_| version >= 160_000) {
                option("ICU_RULES", quote::literal(rules));
            }
        }
        ("builtin", 170_000..) => {
            option("LOCALE_PROVIDER", "builtin".to_owned());
            locale.into_iter().for_each(|locale| option("BUILTIN_LOCALE", locale));
        }
        (provider, _) => {
            return Err(Error::unsupported(format!("the server has no locale provider `{provider}`"))
                .with_hint("restore into a server of the version that was dumped, or a newer one"));
        }
    }
    if let Some(tablespace) = tablespace.filter(|name| *name != "pg_default") {
        option("TABLESPACE", quote::name(tablespace));
    }
    Ok(options)
}

/// Makes the schema that the rows go into.
pub(crate) async fn define(session: &Connection, contents: &Contents, policies: Policies) -> Result<()> {
    if contents.whole && !contents.schemas.iter().any(|schema| schema == "public") {
        let statement = "DROP SCHEMA IF EXISTS public";
        session.batch_execute(statement).await.map_err(|error| {
            session.fault(error, "can't drop the schema `public`, which the dump does not have")
        })?;
    }
    let before: Vec<&Item> = contents.items.iter().filter(|item| item.section == Section::PreData).collect();
    items::make(session, &before, policies).await
}
