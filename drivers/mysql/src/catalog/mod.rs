//! What a database holds, asked of the server: used to dump it, to plan a restore, and to keep what a restore replaces.
//!
//! Every query names the database, and none leaves a thing out because this login may not see all of it: where that
//! could be, [`Rights`] tells.
//!
//! - [`database`](database()): its character set; [`relations`]: tables, views and sequences in one list.
//! - [`columns`], [`leading_columns`], [`foreign_keys`], [`create_table`]: of tables.
//! - [`sequence`](sequence()), [`view`](view()): one of them, whole.
//! - [`triggers`], [`routines`], [`events`]: all that there are, whole. They, and views, are read on a session that has the
//!   database for its default one, so that its name does not stand in them (of views, `own_names.rs` sees to that), and
//!   which was told [`as_stored`], since a text is in the character set of who once sent it.

mod column;
mod database;
mod definition;
mod foreign_key;
mod key;
mod own_names;
mod process;
mod program;
mod program_names;
mod relation;
mod rights;
mod sequence;
mod view;

use dumprestore_driver::Result;

use crate::connect::{Charset, Row, Session};
use crate::quote;

pub(crate) use column::{Column, columns};
pub(crate) use database::{database, name_of};
pub(crate) use definition::create_table;
pub(crate) use foreign_key::foreign_keys;
pub(crate) use key::leading_columns;
pub(crate) use process::{Process, processes};
pub(crate) use program::{events, routines, triggers, triggers_of};
pub(crate) use program_names::{event_names, library_names, routine_names};
pub(crate) use relation::{Kind, Relation, names, relations};
pub(crate) use rights::Rights;
pub(crate) use sequence::sequence;
pub(crate) use view::{is_broken, view, why_broken};

/// Has a session answer with bytes as the server keeps them, in whatever character set.
pub(crate) async fn as_stored(session: &mut Session) -> Result<()> {
    session.results_in(Charset::AsStored).await
}

/// A condition: the column has that very name. Names in the views of the server are compared without regard to case.
fn is(column: &str, name: &str) -> String {
    let name = quote::literal(name);
    format!("{column} = {name} AND CAST({column} AS BINARY) = CAST({name} AS BINARY)")
}

/// The names that one of the server's views lists in its first column, and what it says of each.
async fn grouped<T>(
    session: &mut Session,
    sql: &str,
    read: impl Fn(&Row) -> Result<T>,
) -> Result<std::collections::HashMap<String, Vec<T>>> {
    let mut groups = std::collections::HashMap::<String, Vec<T>>::new();
    for row in session.rows(sql).await? {
        groups.entry(row.text(0)?.to_owned()).or_default().push(read(&row)?);
    }
    Ok(groups)
}
