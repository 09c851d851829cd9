//! Views, triggers, routines and events: made, compared, replaced and dropped, one after the other. They are in the
//! live database by themselves, and are not moved.

use dumprestore_driver::{Error, Result};

use super::head::{self, Changed, Kind};
use crate::archived::{Event, Made, Routine, Trigger, View};
use crate::connect::{Server, Session, code};
use crate::quote;

/// A definer that is not there is a warning when something is made. A definer that is somebody else needs a right.
const NOT_ALLOWED: [u16; 3] = [1227, 1044, 1142];

/// A stored statement of any kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) create: &'a [u8],
    pub(crate) made: &'a Made,
}

impl<'a> From<&'a View> for Program<'a> {
    fn from(view: &'a View) -> Self {
        Self { kind: Kind::View, name: &view.name, create: view.create.as_bytes(), made: &view.made }
    }
}

impl<'a> From<&'a Trigger> for Program<'a> {
    fn from(trigger: &'a Trigger) -> Self {
        Self {
            kind: Kind::Trigger,
            name: &trigger.name,
            create: trigger.create.as_bytes(),
            made: &trigger.made,
        }
    }
}

impl<'a> From<&'a Routine> for Program<'a> {
    fn from(routine: &'a Routine) -> Self {
        let kind = Kind::Routine(routine.kind);
        Self { kind, name: &routine.name, create: routine.create.as_bytes(), made: &routine.made }
    }
}

impl<'a> From<&'a Event> for Program<'a> {
    fn from(event: &'a Event) -> Self {
        Self { kind: Kind::Event, name: &event.name, create: event.create.as_bytes(), made: &event.made }
    }
}

impl Kind {
    /// As SQL says it.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::Sequence => "SEQUENCE",
            Self::View => "VIEW",
            Self::Trigger => "TRIGGER",
            Self::Routine(routine) => routine.keyword(),
            Self::Event => "EVENT",
        }
    }
}

impl Program<'_> {
    /// Whether both are the same thing, whatever it does: a name is that of one function and of one procedure.
    pub(crate) fn is_named_as(&self, other: &Program<'_>) -> bool {
        // Names of routines, events and columns are compared without regard to case.
        self.kind == other.kind
            && match self.kind {
                Kind::Routine(_) | Kind::Event => self.name.to_lowercase() == other.name.to_lowercase(),
                _ => self.name == other.name,
            }
    }

    /// Whether both do the same. The collation of the database at the time is passed over: it follows from where they are.
    pub(crate) fn is_same(&self, other: &Program<'_>) -> bool {
        let of = |made: &Made| Made { database_collation: String::new(), ..made.clone() };
        self.is_named_as(other) && self.says_the_same(other) && of(self.made) == of(other.made)
    }

    /// A server may show a thing as it was written, with `IF NOT EXISTS` and names of databases: it is not made with these.
    fn says_the_same(&self, other: &Program<'_>) -> bool {
        let said = |program: &Program<'_>| head::statement(program.kind, program.create, Changed::default());
        self.create == other.create
            || matches!((said(self), said(other)), (Ok(one), Ok(another)) if one == another)
    }

    /// Makes it in a database.
    ///
    /// # Errors
    /// If something of its name is there already.
    pub(crate) async fn make(
        &self,
        session: &mut Session,
        database: &str,
        changed: Changed<'_>,
    ) -> Result<()> {
        let statement = head::statement(self.kind, self.create, changed)?;
        session.run(format!("USE {}", quote::name(database))).await?;
        let surroundings = self.surroundings(session.server());
        session.run(surroundings).await?;
        let made = session.run_single(&statement).await.map_err(|error| self.explained(error));
        let reset = reset(session).await;
        made.map(drop).and(reset)
    }

    /// Takes the place of what is there under its name, or makes it.
    pub(crate) async fn replace(&self, session: &mut Session, database: &str) -> Result<()> {
        let keeps_grants = session.server().is_mariadb() && matches!(self.kind, Kind::Routine(_));
        if self.kind == Kind::View || keeps_grants {
            return self.make(session, database, Changed { or_replace: true, ..Changed::default() }).await;
        }
        self.drop(session, database).await?;
        self.make(session, database, Changed::default()).await
    }

    /// Drops it, if it is there.
    pub(crate) async fn drop(&self, session: &mut Session, database: &str) -> Result<()> {
        let name = quote::qualified(database, self.name);
        session.run(format!("DROP {} IF EXISTS {name}", self.kind.keyword())).await.map(drop)
    }

    /// What the session was like that it was made in.
    fn surroundings(&self, server: &Server) -> String {
        let made = self.made;
        let set = |variable: &str, value: &str| match value {
            "" => String::new(),
            value => format!(", {variable} = {}", quote::portable(value)),
        };
        let zone = match self.kind {
            Kind::Event => set("time_zone", &made.time_zone),
            _ => String::new(),
        };
        // A view has no modes of its own: its text is always in the same ones.
        let modes = match self.kind {
            Kind::View => String::new(),
            _ => known_modes(&made.sql_mode, server),
        };
        format!(
            "SET SESSION sql_mode = {}{}{}{zone}",
            quote::portable(&modes),
            set("character_set_client", &made.character_set_client),
            set("collation_connection", &made.collation_connection),
        )
    }

    fn explained(&self, error: Error) -> Error {
        let what =
            format!("can't make the {} `{}`", self.kind.keyword().to_lowercase(), self.name.escape_debug());
        let made = Error::new(error.kind(), what);
        let made = match code(&error) {
            Some(number) if NOT_ALLOWED.contains(&number) => made.with_hint(
                "the login may not make it, or not for its definer: grant it the right, or set `definers: strip`",
            ),
            _ => match error.hint() {
                Some(hint) => made.with_hint(hint.to_owned()),
                None => made,
            },
        };
        let made = match code(&error) {
            // So that who looks for the cause finds it.
            Some(number) => made.with_context("code", number),
            None => made,
        };
        made.with_source(error)
    }
}

/// The modes that a server knows, of those that mean nothing any more where they are gone.
fn known_modes(modes: &str, server: &Server) -> String {
    const GONE: [&str; 4] = ["NO_AUTO_CREATE_USER", "NO_FIELD_OPTIONS", "NO_KEY_OPTIONS", "NO_TABLE_OPTIONS"];
    match server.is_mysql_since(8, 0, 0) {
        true => modes.split(',').filter(|mode| !GONE.contains(mode)).collect::<Vec<_>>().join(","),
        false => modes.to_owned(),
    }
}

/// The session as it was.
async fn reset(session: &mut Session) -> Result<()> {
    session.run("SET SESSION character_set_client = utf8mb4, collation_connection = utf8mb4_general_ci, time_zone = '+00:00'").await?;
    session.own_sql_mode().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_that_are_gone_and_meant_nothing_are_left_out_where_they_are_unknown() {
        let modes = "STRICT_TRANS_TABLES,NO_AUTO_CREATE_USER,ANSI_QUOTES";
        assert_eq!(known_modes(modes, &Server::new("8.4.2")), "STRICT_TRANS_TABLES,ANSI_QUOTES");
        assert_eq!(known_modes(modes, &Server::new("5.7.44")), modes);
        assert_eq!(known_modes(modes, &Server::new("10.11.6-MariaDB")), modes);
        assert_eq!(known_modes("", &Server::new("8.4.2")), "");
    }
}
