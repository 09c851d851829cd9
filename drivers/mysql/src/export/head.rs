//! What comes first: what the script is, and how the session has to be. And what comes last.

use dumprestore_driver::{Content, Result};

use super::meant::Meant;
use super::script::{STRICT, Script};
use crate::archived::{Contents, Family};
use crate::quote;

/// What our own settings replace is there again for who goes on in the same session.
const SAVED: [(&str, &str); 6] = [
    ("sql_mode", "sql_mode"),
    ("time_zone", "time_zone"),
    ("character_set_client", "character_set_client"),
    ("character_set_results", "character_set_results"),
    ("collation_connection", "collation_connection"),
    ("foreign_key_checks", "foreign_key_checks"),
];

pub(super) fn write(script: &mut Script<'_>, contents: &Contents, meant: &Meant<'_>) -> Result<()> {
    say_what_it_is(script, contents, meant)?;
    script.remark(
        "Run it with `mariadb` or `mysql`, which keep comments and line ends only if they are told to:",
    )?;
    script.line("mariadb --default-character-set=utf8mb4 --binary-mode --comments DATABASE < FILE")?;
    match meant.is_whole() {
        true => {
            let database = &contents.database;
            script.line("in an empty database made by:")?;
            script.line(&format!(
                "CREATE DATABASE {} CHARACTER SET {} COLLATE {};",
                quote::name(&database.name),
                database.charset,
                database.collation
            ))?;
        }
        false if meant.defined() => {
            script.line("The database must have all that the tables need, and none of them.")?;
        }
        false => {
            script.line(
                "Rows are added to those that are there. Triggers fire; foreign keys are not checked.",
            )?;
        }
    }
    say_who_defined(script, meant)?;
    script.remark("The session")?;
    for (variable, saved) in SAVED {
        script.bytes(format!("SET @dumprestore_{saved} = @@SESSION.{variable};\n").as_bytes())?;
    }
    script.as_ours(STRICT)?;
    script.bytes(b"SET foreign_key_checks = 0;\n")
}

/// Puts the session back to how it was.
pub(super) fn end(script: &mut Script<'_>) -> Result<()> {
    script.remark("The session, as it was")?;
    for (variable, saved) in SAVED {
        script.bytes(format!("SET {variable} = @dumprestore_{saved};\n").as_bytes())?;
    }
    script.remark("That is all.")
}

fn say_what_it_is(script: &mut Script<'_>, contents: &Contents, meant: &Meant<'_>) -> Result<()> {
    let family = match contents.origin.family {
        Family::MariaDb => "MariaDB",
        Family::MySql => "MySQL",
    };
    let some = match (meant.content, meant.things.is_empty()) {
        (Content::SchemaOnly, _) => "Definitions of the ",
        (Content::DataOnly, _) => "Data of the ",
        (_, false) => "Tables of the ",
        _ => "",
    };
    let things =
        if meant.things.is_empty() { String::new() } else { format!(": {}", meant.things.join(", ")) };
    script.line(&format!(
        "{some}{family} database {}{things}, dumped from a server of version {}",
        quote::name(&contents.database.name),
        contents.origin.version
    ))
}

/// Only who may name others as definers can run the script.
fn say_who_defined(script: &mut Script<'_>, meant: &Meant<'_>) -> Result<()> {
    let views = meant.views.iter().map(|view| &view.made);
    let triggers = meant.triggers.iter().map(|trigger| &trigger.made);
    let routines = meant.routines.iter().map(|routine| &routine.made);
    let events = meant.events.iter().map(|event| &event.made);
    let all = views.chain(triggers).chain(routines).chain(events);
    let mut definers: Vec<&str> =
        all.map(|made| made.definer.as_str()).filter(|name| !name.is_empty()).collect();
    definers.sort_unstable();
    definers.dedup();
    match definers.is_empty() {
        true => Ok(()),
        false => script.remark(&format!("Definers that the server should know: {}", definers.join(", "))),
    }
}
