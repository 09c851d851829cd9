//! Sequences of MariaDB.

use dumprestore_driver::{Error, Result};

use crate::archived::{Sequence, Sql};
use crate::connect::Session;
use crate::quote;

/// One sequence of the session's database.
pub(crate) async fn sequence(session: &mut Session, name: &str) -> Result<Sequence> {
    let gone = || Error::environment("a sequence has vanished").with_context("sequence", name.escape_debug());
    let quoted = quote::name(name);
    let told = session.rows(&format!("SHOW CREATE SEQUENCE {quoted}")).await?;
    let create = told.first().and_then(|row| row.bytes(1)).ok_or_else(gone)?;
    let state = format!("SELECT next_not_cached_value, cycle_count FROM {quoted}");
    let state = session.rows(&state).await?;
    let state = state.first().ok_or_else(gone)?;
    Ok(Sequence {
        name: name.to_owned(),
        create: Sql::new(create),
        next_value: state.text(0)?.to_owned(),
        cycles: state.text(1)?.to_owned(),
    })
}
