//! Definitions, each as it was made.

use dumprestore_driver::Result;

use super::meant::Meant;
use super::script::{STRICT, Script, word};
use super::views;
use crate::archived::{Contents, Made, Sequence, Table, View};
use crate::quote;
use crate::scan::Scan;

/// Sequences, which defaults of tables may name, and where they stand.
pub(super) fn sequences(script: &mut Script<'_>, contents: &Contents, meant: &Meant<'_>) -> Result<()> {
    for sequence in &meant.sequences {
        script.remark(&format!("Sequence `{}`", sequence.name))?;
        if meant.defined() {
            script.definition(&local(sequence.create.as_bytes(), contents))?;
        }
        if meant.filled() {
            script.bytes(position(sequence, meant.defined())?.as_bytes())?;
        }
    }
    Ok(())
}

/// `SETVAL` goes on only. `made`: the sequence stands at its start, and there is nobody who has had its numbers.
fn position(sequence: &Sequence, made: bool) -> Result<String> {
    let (next, cycles) = (word(&sequence.next_value, "-")?, word(&sequence.cycles, "-")?);
    let name = quote::name(&sequence.name);
    let back = match made && is_behind_its_start(sequence) {
        true => format!("ALTER SEQUENCE {name} RESTART {next};\n"),
        false => String::new(),
    };
    Ok(format!("{back}DO SETVAL({name}, {next}, 0, {cycles});\n"))
}

fn is_behind_its_start(sequence: &Sequence) -> bool {
    // All that is left of the definition are words and numbers.
    let text = String::from_utf8_lossy(sequence.create.as_bytes()).to_lowercase();
    let number = |behind: &str| -> Option<i128> {
        text.rsplit_once(behind)?.1.split_whitespace().next()?.parse().ok()
    };
    let next = sequence.next_value.parse::<i128>().ok();
    match (next, number(" start with "), number(" increment by ")) {
        (Some(next), Some(start), Some(step)) if step < 0 => next > start,
        (Some(next), Some(start), _) => next < start,
        _ => false,
    }
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
    let is_unsure = |view: &View| view.broken && !view.of_nothing;
    let (unsure, others) = views::with_all_upon(views::by_references(&meant.views), is_unsure);
    others.into_iter().try_for_each(|view| write_view(script, contents, view))?;
    for trigger in &meant.triggers {
        script.remark(&format!("Trigger `{}` of `{}`", trigger.name, trigger.table))?;
        programs.write(script, &trigger.made, trigger.create.as_bytes())?;
    }
    for event in &meant.events {
        script.remark(&format!("Event `{}`", event.name))?;
        programs.write(script, &event.made, event.create.as_bytes())?;
    }
    if !unsure.is_empty() {
        script.remark(
            "The login of the dump could not read these views, or what they read. If no other can, the script ends here:",
        )?;
    }
    unsure.into_iter().try_for_each(|view| write_view(script, contents, view))?;
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
    if !view.of_nothing {
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
    use crate::archived::{Database, Family, Held, Origin, Sql};

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
    fn a_sequence_is_set_back_where_it_stood_behind_its_start() {
        let at = |next: &str, create: &str, made: bool| {
            let create = Sql::new(create.as_bytes());
            let (name, next_value, cycles) = ("s".to_owned(), next.to_owned(), "0".to_owned());
            position(&Sequence { name, create, next_value, cycles }, made).unwrap()
        };
        let up = "CREATE SEQUENCE `s` start with 100 minvalue 1 maxvalue 200 increment by 1 cache 10 nocycle ENGINE=InnoDB";
        let down = "CREATE SEQUENCE `s` start with -1 minvalue -9 maxvalue 9 increment by -2 cache 10 nocycle ENGINE=InnoDB";
        assert_eq!(at("5", up, true), "ALTER SEQUENCE `s` RESTART 5;\nDO SETVAL(`s`, 5, 0, 0);\n");
        assert_eq!(at("3", down, true), "ALTER SEQUENCE `s` RESTART 3;\nDO SETVAL(`s`, 3, 0, 0);\n");
        for (next, create, made) in [("201", up, true), ("-11", down, true), ("5", up, false)] {
            assert_eq!(at(next, create, made), format!("DO SETVAL(`s`, {next}, 0, 0);\n"));
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
