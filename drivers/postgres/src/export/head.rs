//! What comes first: what the script is, how the session has to be, and what belongs to the server.

use std::collections::BTreeSet;

use dumprestore_driver::{Content, Result};

use super::meant::Meant;
use super::script::Script;
use crate::archived::{Contents, Role};
use crate::quote;
use crate::restore::database_options;

/// A `COPY` that fails would have `psql` read its rows as statements, and as commands of its own.
const STOP: &[u8] = b"\\set ON_ERROR_STOP on\n";

/// As our own sessions have it: what statements and rows mean depends on nothing that a server or a login may have set.
const SETTINGS: [&str; 15] = [
    "SET client_encoding = 'UTF8'",
    "SET standard_conforming_strings = on",
    "SET escape_string_warning = off",
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "SET DateStyle = 'ISO, YMD'",
    "SET IntervalStyle = 'postgres'",
    "SET lc_monetary = 'C'",
    "SET xmloption = content",
    "SET check_function_bodies = false",
    "SET row_security = off",
    "SET client_min_messages = 'warning'",
    "SET default_transaction_read_only = off",
    "SET default_transaction_deferrable = off",
    "SET default_tablespace = ''",
    // Not every server has all of them.
    "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN ('statement_timeout', \
     'lock_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout')",
];

pub(super) fn write(
    script: &mut Script<'_>,
    contents: &Contents,
    meant: &Meant<'_>,
    in_rings: &BTreeSet<String>,
) -> Result<()> {
    script.bytes(STOP)?;
    say_what_it_is(script, contents, meant)?;
    if meant.database {
        say_where(script, contents)?;
    } else {
        script.remark("Run it with `psql -v ON_ERROR_STOP=1 -1 -f FILE DATABASE`: all of it, or nothing.")?;
    }
    if meant.content == Content::DataOnly {
        say_what_acts_on_rows(script, contents, in_rings)?;
    } else if !meant.things.is_empty() {
        script.remark("The database must have all that the tables need: their schemas, types, functions.")?;
    }
    script.remark("The session")?;
    SETTINGS.iter().try_for_each(|setting| script.statement(setting))?;
    if !meant.roles.is_empty() {
        script.remark("Roles that are not there yet")?;
    }
    meant.roles.iter().try_for_each(|role| make_role(script, role))?;
    if meant.without_public {
        script.remark("The database had no schema `public`")?;
        script.statement("DROP SCHEMA IF EXISTS public")?;
    }
    Ok(())
}

fn say_what_it_is(script: &mut Script<'_>, contents: &Contents, meant: &Meant<'_>) -> Result<()> {
    let version = contents.origin.server_version;
    let some = match (meant.content, meant.things.is_empty()) {
        (Content::SchemaOnly, _) => "Definitions of the ",
        (Content::DataOnly, _) => "Data of the ",
        (_, false) => "Tables of the ",
        _ => "",
    };
    let things =
        if meant.things.is_empty() { String::new() } else { format!(": {}", meant.things.join(", ")) };
    script.remark(&format!(
        "{some}PostgreSQL database \"{}\"{things}, dumped from a server of version {}.{}",
        contents.database.name,
        version / 10_000,
        version % 10_000
    ))
}

/// An empty database like the one that was dumped.
fn say_where(script: &mut Script<'_>, contents: &Contents) -> Result<()> {
    let database = &contents.database;
    let tablespace = database.tablespace.as_deref();
    let version = contents.origin.server_version;
    let options = database_options(database, Some(&database.owner), tablespace, version)?;
    script.remark("Run it with `psql -v ON_ERROR_STOP=1 -f FILE DATABASE`, in an empty database made by:")?;
    script.remark(&format!("CREATE DATABASE {} WITH{options};", quote::name(&database.name)))
}

fn say_what_acts_on_rows(
    script: &mut Script<'_>,
    contents: &Contents,
    in_rings: &BTreeSet<String>,
) -> Result<()> {
    script.remark(
        "Rows are added to those that are there. Triggers fire, and foreign keys are checked, unless the",
    )?;
    script.remark(
        "environment has PGOPTIONS='-c session_replication_role=replica', which a superuser may set.",
    )?;
    let tables = contents.tables.iter().map(|table| format!("{}.{}", table.schema, table.name));
    let in_the_way: Vec<String> = tables.filter(|table| in_rings.contains(table)).collect();
    match in_the_way.is_empty() {
        true => Ok(()),
        false => script.remark(&format!(
            "Without that, foreign keys are in the way, which lead in a ring back to {}",
            in_the_way.join(", ")
        )),
    }
}

/// Makes a role, unless the server has one of that name.
fn make_role(script: &mut Script<'_>, role: &Role) -> Result<()> {
    let made: String = role.sql.iter().map(|sql| format!("    EXECUTE {};\n", quote::literal(sql))).collect();
    let name = quote::literal(&role.name);
    let body = format!(
        "\nBEGIN\n  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name}) THEN\n{made}  END IF;\nEND\n"
    );
    script.statement(&format!("DO {}", quote::in_dollars(&body)))
}
