//! Definitions, each as it was made.

use dumprestore_driver::Result;

use super::client::Scan;
use super::meant::Meant;
use super::script::{STRICT, Script, word};
use super::views;
use crate::archived::{Contents, Made, Sequence, Table, View};
use crate::quote;

/// Sequences, which defaults of tables may name, and where they stand.
pub(super) fn sequences(script: &mut Script<'_>, contents: &Contents, meant: &Meant<'_>) -> Result<()> {
    for sequence in &meant.sequences {
        script.remark(&format!("Sequence `{}`", sequence.name))?;
        if meant.defined() {
            script.definition(&local(sequence.create.as_bytes(), contents))?;
        }
        if meant.filled() {
            script.bytes(position(sequence)?.as_bytes())?;
        }
    }
    Ok(())
}

fn position(sequence: &Sequence) -> Result<String> {
    let (next, cycles) = (word(&sequence.next_value, "-")?, word(&sequence.cycles, "-")?);
    Ok(format!("DO SETVAL({}, {next}, 0, {cycles});\n", quote::name(&sequence.name)))
}

/// A table, without its triggers.
pub(super) fn table(
    script: &mut Script<'_>,
    contents: &Contents,
    meant: &Meant<'_>,
    table: &Table,
) -> Result<()> {
    if !meant.defined() {
        return Ok(());
    }
    script.remark(&format!("Table `{}`", table.name))?;
    script.as_ours(STRICT)?;
    script.definition(&local(table.create.as_bytes(), contents))
}

/// What runs, or is computed: when rows are there, so that no trigger acts on them.
pub(super) fn programs(script: &mut Script<'_>, contents: &Contents, meant: &Meant<'_>) -> Result<()> {
    let mut programs = Programs { collation: &contents.database.collation, meant };
    for routine in &meant.routines {
        script.remark(&format!("{} `{}`", routine.kind.keyword(), routine.name))?;
        programs.write(script, &routine.made, routine.create.as_bytes())?;
    }
    for view in views::by_references(&meant.views) {
        write_view(script, contents, view)?;
    }
    for trigger in &meant.triggers {
        script.remark(&format!("Trigger `{}` of `{}`", trigger.name, trigger.table))?;
        programs.write(script, &trigger.made, trigger.create.as_bytes())?;
    }
    for event in &meant.events {
        script.remark(&format!("Event `{}`", event.name))?;
        programs.write(script, &event.made, event.create.as_bytes())?;
    }
    programs.of_database(script, &contents.database.collation)?;
    script.as_ours(STRICT)
}

struct Programs<'a> {
    /// That of the database at this point of the script, which programs remember.
    collation: &'a str,
    meant: &'a Meant<'a>,
}

impl<'a> Programs<'a> {
    fn write(&mut self, script: &mut Script<'_>, made: &'a Made, sql: &[u8]) -> Result<()> {
        if !made.database_collation.is_empty() {
            self.of_database(script, &made.database_collation)?;
        }
        script.as_made(made)?;
        script.definition(sql)
    }

    /// Changes what belongs to the database only where the whole of it is written.
    fn of_database(&mut self, script: &mut Script<'_>, collation: &'a str) -> Result<()> {
        if self.collation != collation && self.meant.is_whole() {
            script.bytes(format!("ALTER DATABASE COLLATE = {};\n", word(collation, "")?).as_bytes())?;
            self.collation = collation;
        }
        Ok(())
    }
}

fn write_view(script: &mut Script<'_>, contents: &Contents, view: &View) -> Result<()> {
    if !view.broken {
        script.remark(&format!("View `{}`", view.name))?;
        script.as_made(&view.made)?;
        return script.definition(&local(view.create.as_bytes(), contents));
    }
    // No server makes it.
    script.remark(&format!("View `{}` did not work when it was dumped. It was:", view.name))?;
    let sql = String::from_utf8_lossy(view.create.as_bytes());
    sql.lines().try_for_each(|line| script.line(line))
}

/// The same, for whatever database the script is run in: a server names its own before a sequence.
fn local(sql: &[u8], contents: &Contents) -> Vec<u8> {
    let own = format!("{}.", quote::name(&contents.database.name));
    let calls = ["nextval", "lastval", "setval"].map(|function| format!("{function}({own}"));
    let mut scan = Scan::plain(sql);
    let mut out = Vec::with_capacity(sql.len());
    while let Some(piece) = scan.piece() {
        out.extend_from_slice(piece);
        // A point that stands by itself: so nothing before it is a text.
        if piece == b"." && calls.iter().any(|call| out.ends_with(call.as_bytes())) {
            out.truncate(out.len() - own.len());
        }
    }
    // Of what can't be read to its end, nothing is changed: it is refused elsewhere.
    if scan.is_at_end() { out } else { sql.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archived::{Database, Family, Held, Origin};

    fn contents() -> Contents {
        Contents {
            origin: Origin { family: Family::MariaDb, version: "10.11.6".to_owned() },
            database: Database {
                name: "a`b".to_owned(),
                charset: "utf8mb4".to_owned(),
                collation: "utf8mb4_bin".to_owned(),
                comment: String::new(),
            },
            tables: Vec::new(),
            sequences: Vec::new(),
            views: Vec::new(),
            triggers: Vec::new(),
            routines: Vec::new(),
            events: Vec::new(),
            held: Held { all_tables: true, triggers: true, routines: true, events: true },
        }
    }

    #[test]
    fn sequences_are_those_of_the_database_that_the_script_is_run_in() {
        for (sql, written) in [
            (
                "CREATE TABLE `t` (`a` int DEFAULT nextval(`a``b`.`s`))",
                "CREATE TABLE `t` (`a` int DEFAULT nextval(`s`))",
            ),
            (
                "CREATE VIEW v AS select 'nextval(`a``b`.`s`)'",
                "CREATE VIEW v AS select 'nextval(`a``b`.`s`)'",
            ),
            ("CREATE VIEW v AS select nextval(`other`.`s`)", "CREATE VIEW v AS select nextval(`other`.`s`)"),
            ("CREATE VIEW v AS select 'nextval(`a``b`.`s`)", "CREATE VIEW v AS select 'nextval(`a``b`.`s`)"),
        ] {
            assert_eq!(String::from_utf8(local(sql.as_bytes(), &contents())).unwrap(), written);
        }
    }
}
