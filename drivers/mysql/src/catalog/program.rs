//! Triggers, routines and events.

use dumprestore_driver::Result;

use super::definition::{Shown, shown};
use super::is;
use crate::archived::{Event, Routine, RoutineKind, Trigger};
use crate::connect::Session;

/// As it is of routines and triggers.
const PROGRAM: Shown =
    Shown { create: 2, sql_mode: Some(1), time_zone: None, charset: 3, collation: 4, of_database: Some(5) };
const EVENT: Shown = Shown {
    create: 3,
    sql_mode: Some(1),
    time_zone: Some(2),
    charset: 4,
    collation: 5,
    of_database: Some(6),
};

/// Those of the session's database, in the order in which those of one table fire. Without the right `TRIGGER` a server
/// tells of none.
pub(crate) async fn triggers(session: &mut Session, database: &str) -> Result<Vec<Trigger>> {
    triggers_of(session, database, |_| true).await
}

/// The same of those tables that are meant: of others the server is not asked, and need not let us know.
pub(crate) async fn triggers_of(
    session: &mut Session,
    database: &str,
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<Trigger>> {
    let sql = format!(
        "SELECT trigger_name, event_object_table FROM information_schema.triggers WHERE {} \
         ORDER BY event_object_table, action_timing, event_manipulation, action_order, trigger_name",
        is("trigger_schema", database)
    );
    let mut triggers = Vec::<Trigger>::new();
    for row in session.rows(&sql).await? {
        let (name, table) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
        // One that fires for several kinds of changes is listed for each.
        if !is_meant(&table) || triggers.iter().any(|known| known.table == table && known.name == name) {
            continue;
        }
        let (create, made) = shown(session, "TRIGGER", &name, &PROGRAM).await?;
        triggers.push(Trigger { name, table, create, made });
    }
    Ok(triggers)
}

/// Those of the session's database, in the order in which they are made.
///
/// # Errors
/// If the text of one may not be read.
pub(crate) async fn routines(session: &mut Session, database: &str) -> Result<Vec<Routine>> {
    let sql = format!(
        "SELECT routine_name, routine_type FROM information_schema.routines WHERE {} ORDER BY routine_name",
        is("routine_schema", database)
    );
    let mut routines = Vec::new();
    for row in session.rows(&sql).await? {
        let kind = match row.text(1)? {
            "FUNCTION" => RoutineKind::Function,
            "PROCEDURE" => RoutineKind::Procedure,
            "PACKAGE" => RoutineKind::Package,
            "PACKAGE BODY" => RoutineKind::PackageBody,
            other => {
                return Err(dumprestore_driver::Error::unsupported(format!(
                    "a `{}` can't be dumped",
                    other.escape_debug()
                ))
                .with_context("name", row.text(0)?.escape_debug())
                .with_hint("set `routines: false` to leave all routines out"));
            }
        };
        let name = row.text(0)?.to_owned();
        let (create, made) = shown(session, kind.keyword(), &name, &PROGRAM).await?;
        routines.push(Routine { kind, name, create, made });
    }
    routines.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    Ok(routines)
}

/// Those of the session's database. Without the right `EVENT` a server tells of none.
pub(crate) async fn events(session: &mut Session, database: &str) -> Result<Vec<Event>> {
    let sql = format!(
        "SELECT event_name FROM information_schema.events WHERE {} ORDER BY event_name",
        is("event_schema", database)
    );
    let mut events = Vec::new();
    for row in session.rows(&sql).await? {
        let name = row.text(0)?.to_owned();
        let (create, made) = shown(session, "EVENT", &name, &EVENT).await?;
        events.push(Event { name, create, made });
    }
    Ok(events)
}
