//! What is to go must be there again after a rollback: so it is tried beforehand whether this login can make it.

use std::collections::BTreeSet;

use dumprestore_driver::{Error, LedgerEntry, Result};

use super::Restore;
use super::changes::listed;
use super::head::Changed;
use super::programs::Program;
use super::state::State;
use super::swap::is_busy;
use crate::archived::{Made, Routine, View};
use crate::catalog;
use crate::connect::{Session, code};
use crate::quote;

const NO_SUCH_TABLE: u16 = 1146;
/// In the database that the old tables go to, so that nobody sees it.
const TRIED: &str = "dumprestore_tried";

impl Restore {
    /// Refuses to take away what could not be made again.
    pub(super) async fn refuse_unmakeable(
        &self,
        session: &mut Session,
        incoming: &State,
        outgoing: &State,
    ) -> Result<()> {
        let tried = self.try_going(session, incoming, outgoing).await;
        tried.map_err(|error| {
            error.with_context("needed", "to put back what is there, if the restore is undone")
        })
    }

    async fn try_going(&self, session: &mut Session, incoming: &State, outgoing: &State) -> Result<()> {
        let stays =
            |program: Program<'_>, others: &[Program<'_>]| others.iter().any(|other| other.is_same(&program));
        let coming: Vec<Program<'_>> = incoming.views.iter().map(Program::from).collect();
        for view in outgoing.views.iter().filter(|view| !view.broken && !stays(Program::from(*view), &coming))
        {
            self.try_view(session, view).await?;
        }
        let coming: Vec<Program<'_>> = incoming.routines.iter().map(Program::from).collect();
        let going: Vec<&Routine> =
            outgoing.routines.iter().filter(|one| !stays(Program::from(*one), &coming)).collect();
        self.try_routines(session, &going).await?;
        let triggers = outgoing.triggers.iter().map(|trigger| &trigger.made);
        let all = triggers.chain(outgoing.events.iter().map(|event| &event.made));
        self.try_definers(session, &self.names.old, all).await?;
        session.run("USE information_schema").await.map(drop)
    }

    /// Refuses to swap in data that were loaded for tables which somebody has migrated meanwhile: that would be undone.
    pub(super) async fn refuse_migrated(&self, session: &mut Session, incoming: &State) -> Result<()> {
        if incoming.loaded_for.is_empty() {
            return Ok(());
        }
        session.run(format!("USE {}", quote::name(&self.names.live))).await?;
        for (table, create) in &incoming.loaded_for {
            let now = match catalog::create_table(session, table).await {
                Ok(now) => Some(now),
                Err(error) if code(&error) == Some(NO_SUCH_TABLE) => None,
                Err(error) => return Err(error),
            };
            if now.is_none_or(|now| without_position(now.as_bytes()) != without_position(create.as_bytes())) {
                return Err(Error::environment("a table was migrated while its data were loaded")
                    .with_context("table", table.escape_debug())
                    .with_hint("restore the data again: they are loaded into tables as they are by then"));
            }
        }
        session.run("USE information_schema").await.map(drop)
    }

    /// Rights on a routine go with it when it is dropped, and who may not read them can't grant them again.
    pub(super) fn tell_of_grants(&self, session: &Session, incoming: &State, outgoing: &State) {
        let lost = match outgoing.grants_unknown {
            true => remade(session, &outgoing.routines, &incoming.routines),
            false => Vec::new(),
        };
        if !lost.is_empty() {
            self.tell(LedgerEntry::degrading(
                format!("rights on procedures and functions {}", listed(&lost)),
                "they are replaced, and what was granted on each by itself is lost: the login may not read it; grant it \
                 `SELECT` on `mysql.procs_priv`",
            ));
        }
    }

    /// What it reads may be out of this login's reach.
    async fn try_view(&self, session: &mut Session, view: &View) -> Result<()> {
        let name = quote::qualified(&self.names.old, TRIED);
        let changed = Changed { name: Some(name.as_bytes()), or_replace: true, ..Changed::default() };
        let tried = Program::from(view).make(session, &self.names.live, changed).await;
        session.run(format!("DROP VIEW IF EXISTS {name}")).await?;
        tried.map_err(|error| unmakeable("view", &view.name, error))
    }

    /// A server with a binary log, for one, does not let everybody make a function.
    async fn try_routines(&self, session: &mut Session, routines: &[&Routine]) -> Result<()> {
        let old = &self.names.old;
        let mut tried = Ok(());
        for routine in routines {
            let program = Program::from(*routine);
            // One may be left of an earlier trial.
            program.drop(session, old).await?;
            tried = program
                .make(session, old, Changed::default())
                .await
                .map_err(|error| unmakeable(&routine.kind.keyword().to_lowercase(), &routine.name, error));
            if tried.is_err() {
                break;
            }
        }
        // Bodies of packages need their heads until then.
        for routine in routines.iter().rev() {
            Program::from(*routine).drop(session, old).await?;
        }
        tried
    }

    /// Whether the login may make things of these definers, in a database of ours.
    pub(super) async fn try_definers(
        &self,
        session: &mut Session,
        database: &str,
        made: impl Iterator<Item = &Made>,
    ) -> Result<()> {
        let definers: BTreeSet<&str> =
            made.map(|made| made.definer.as_str()).filter(|definer| !definer.is_empty()).collect();
        for definer in definers {
            let name = quote::qualified(database, TRIED);
            let tried = session
                .run(format!(
                    "CREATE OR REPLACE DEFINER={definer} SQL SECURITY INVOKER VIEW {name} AS SELECT 1"
                ))
                .await;
            session.run(format!("DROP VIEW IF EXISTS {name}")).await?;
            tried.map_err(|error| unmakeable("things of definer", definer, error))?;
        }
        Ok(())
    }
}

/// Names of routines that are dropped while they take the place of others.
pub(super) fn remade(session: &Session, there: &[Routine], wanted: &[Routine]) -> Vec<String> {
    let is_remade = |one: &&Routine| {
        let one = Program::from(*one);
        let other = wanted.iter().map(Program::from).find(|other| other.is_named_as(&one));
        other.is_some_and(|other| !other.is_same(&one))
    };
    // MariaDB replaces them as they are.
    let there = there.iter().filter(|_| !session.server().is_mariadb());
    there.filter(is_remade).map(|routine| routine.name.clone()).collect()
}

/// How a table is made, without how far its numbers have come.
fn without_position(create: &[u8]) -> Vec<u8> {
    const POSITION: &[u8] = b" AUTO_INCREMENT=";
    let mut plain = Vec::with_capacity(create.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(create, POSITION) {
        plain.extend_from_slice(create.get(from..at).unwrap_or_default());
        let digits = create.iter().skip(at + POSITION.len()).take_while(|byte| byte.is_ascii_digit()).count();
        from = at + POSITION.len() + digits;
    }
    plain.extend_from_slice(create.get(from..).unwrap_or_default());
    plain
}

fn unmakeable(what: &str, name: &str, error: Error) -> Error {
    if code(&error).is_none() || is_busy(&error) {
        return error;
    }
    let may = "see what the login lacks, and grant it";
    let hint = match what {
        "view" => format!(
            "{may}; or drop the view, or restore with `--extras keep` if the archive does not have it"
        ),
        _ => format!("{may}, or restore as somebody who may make it"),
    };
    Error::environment(format!("the login may not make the {what} `{}`", name.escape_debug()))
        .with_hint(hint)
        .with_source(error)
}
