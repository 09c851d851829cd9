//! What the live database has now.

use dumprestore_driver::Result;

use super::state::{Grant, State, Whole};
use super::{apply, keys};
use crate::archived::{Routine, RoutineKind};
use crate::catalog::{self, Kind, Relation};
use crate::connect::Session;
use crate::quote;

/// Tables and sequences.
pub(crate) fn is_moved(relation: &Relation) -> bool {
    relation.kind != Kind::View
}

/// All of a live database that is swapped out where that comes in.
pub(crate) async fn outgoing(
    session: &mut Session,
    live: &str,
    run: &str,
    incoming: &State,
) -> Result<State> {
    let mut state =
        State { complete: true, live: live.to_owned(), covers: incoming.covers, ..State::of_run(run) };
    let Some(database) = catalog::database(session, live).await? else {
        state.database = Whole::Absent;
        return Ok(state);
    };
    if !matches!(incoming.database, Whole::Untouched) {
        state.database = Whole::Is(database);
    }
    session.run(format!("USE {}", quote::name(live))).await?;
    let relations = catalog::relations(session, live).await?;
    // A state that was kept knows what it had not.
    let (covers, added) = (incoming.covers, &incoming.added);
    let goes = |name: &str| {
        covers.tables || incoming.has_table(name) || added.relations.iter().any(|added| added == name)
    };
    let moved = relations.iter().filter(|relation| is_moved(relation));
    state.tables = moved.map(|relation| relation.name.clone()).filter(|name| goes(name)).collect();
    for relation in relations.iter().filter(|relation| relation.kind == Kind::View) {
        let name = &relation.name;
        if incoming.left.contains(name) && !incoming.has_table(name) {
            continue;
        }
        if goes(name) || incoming.views.iter().any(|view| view.name == *name) {
            state.views.push(catalog::view(session, name).await?);
        }
    }
    let triggers = catalog::triggers(session, live).await?;
    state.triggers = triggers.into_iter().filter(|trigger| state.has_table(&trigger.table)).collect();
    if covers.routines || !incoming.routines.is_empty() || !added.routines.is_empty() {
        let mut routines = catalog::routines(session, live).await?;
        routines.retain(|routine| {
            let is = |kind: RoutineKind, name: &str| {
                kind == routine.kind && name.to_lowercase() == routine.name.to_lowercase()
            };
            covers.routines
                || incoming.routines.iter().any(|other| is(other.kind, &other.name))
                || added.routines.iter().any(|(kind, name)| is(*kind, name))
        });
        state.routines = routines;
        let grants = apply::grants(session, live).await?;
        state.grants_unknown = grants.is_none();
        state.grants = grants.unwrap_or_default();
        state.grants.retain(|grant| state.routines.iter().any(|routine| is_of(grant, routine)));
    }
    if covers.events || !incoming.events.is_empty() || !added.events.is_empty() {
        let mut events = catalog::events(session, live).await?;
        events.retain(|event| {
            let is = |name: &str| name.to_lowercase() == event.name.to_lowercase();
            covers.events
                || incoming.events.iter().any(|other| is(&other.name))
                || added.events.iter().any(|name| is(name))
        });
        state.events = events;
    }
    state.keys = keys::crossing(session, live, &state.tables).await?;
    session.run("USE information_schema").await?;
    Ok(state)
}

/// Rights on routines that are replaced are those that are live.
pub(crate) fn keep_grants(incoming: &mut State, outgoing: &State) {
    for grant in &outgoing.grants {
        if incoming.routines.iter().any(|routine| is_of(grant, routine)) && !incoming.grants.contains(grant) {
            incoming.grants.push(grant.clone());
        }
    }
}

/// MySQL notes rights under names in lower case.
fn is_of(grant: &Grant, routine: &Routine) -> bool {
    grant.kind == routine.kind && grant.routine.to_lowercase() == routine.name.to_lowercase()
}
