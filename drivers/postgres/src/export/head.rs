//! What comes first: what the script is, how the session has to be, and what belongs to the server.

use dumprestore_driver::{Content, Result};

use super::meant::Meant;
use super::script::Script;
use crate::archived::{Contents, Role};
use crate::quote;
use crate::restore::database_options;

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

pub(super) fn write(script: &mut Script<'_>, contents: &Contents, meant: &Meant<'_>) -> Result<()> {
    say_what_it_is(script, contents, meant)?;
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
    let (database, version) = (&contents.database, contents.origin.server_version);
    script.remark(&format!(
        "{}PostgreSQL database \"{}\", dumped from a server of version {}.{}",
        match meant.content {
            Content::SchemaOnly => "Definitions of the ",
            Content::DataOnly => "Data of the ",
            _ => "",
        },
        database.name,
        version / 10_000,
        version % 10_000
    ))?;
    if meant.database {
        let tablespace = database.tablespace.as_deref();
        let options = database_options(database, Some(&database.owner), tablespace, version)?;
        script.remark(
            "Run it with `psql -v ON_ERROR_STOP=1 -f FILE DATABASE`, in an empty database made by:",
        )?;
        script.remark(&format!("CREATE DATABASE {} WITH{options};", quote::name(&database.name)))?;
        return Ok(());
    }
    script.remark("Run it with `psql -v ON_ERROR_STOP=1 -1 -f FILE DATABASE`: all of it, or nothing.")?;
    if meant.content == Content::DataOnly {
        script.remark(
            "Rows are added to those that are there. Triggers fire, and foreign keys are checked, unless the",
        )?;
        script.remark(
            "environment has PGOPTIONS='-c session_replication_role=replica', which a superuser may set.",
        )?;
        if !meant.in_rings.is_empty() {
            let tables = meant.in_rings.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            script.remark(&format!(
                "Without that, these are in the way, which refer in a ring to themselves: {tables}"
            ))?;
        }
    }
    Ok(())
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
