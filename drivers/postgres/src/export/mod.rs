//! An archived database as one SQL script for `psql`: statements, and rows between `COPY` and `\.`; and at its
//! beginning `\set ON_ERROR_STOP on`.
//!
//! - [`export`] (here) is the order of the script. It is that of a restore, but for one thing: everything happens on one
//!   session, in the database in which the script is run.
//! - `meant.rs` picks what of the archive is written, `order.rs` the order of rows where foreign keys hold;
//!   `head.rs` says how the session has to be.
//! - `definitions.rs`, `rows.rs`, `large_objects.rs`, `matviews.rs` and `database.rs` write what a restore makes of the same.
//! - `script.rs` is where all of it goes through; `psql.rs` keeps anything else out that `psql` would act on.

mod database;
mod defaults;
mod definitions;
mod head;
mod large_objects;
mod matviews;
mod meant;
mod order;
mod psql;
mod rows;
mod script;

use std::collections::BTreeSet;
use std::io::Write;

use dumprestore_driver::{ArchivedNode, Content, Result, Selection};

use crate::restore::{Chosen, of_sequence, parse_contents};

use meant::Meant;
use script::Script;

/// Writes what is meant of an archived database. Blocks.
///
/// # Errors
/// If something is selected that the archive does not have, or the archive is not well formed; those of `out`.
pub(crate) fn export(
    archived: &dyn ArchivedNode,
    selection: &Selection,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let mut contents = parse_contents(archived)?;
    // The foreign keys of what is there already hold meanwhile.
    let in_rings = match selection.content {
        Content::DataOnly => order::by_references(&mut contents),
        _ => BTreeSet::new(),
    };
    let Chosen { contents, large_objects, .. } = Chosen::of(contents, selection, archived)?;
    let meant = Meant::of(&contents, selection);
    let mut script = Script::new(out);
    head::write(&mut script, &contents, &meant, &in_rings)?;
    let mut definitions = definitions::Writer::new(contents.origin.server_version);
    definitions.write(&mut script, &meant.before)?;
    for table in &meant.tables {
        rows::write(&mut script, archived, table)?;
    }
    if large_objects {
        large_objects::write(&mut script, archived)?;
    }
    definitions.write(&mut script, &meant.after)?;
    for sequence in &meant.sequences {
        script.statement(&of_sequence(sequence))?;
    }
    defaults::forget(&mut script, &meant)?;
    definitions.write(&mut script, &meant.privileges)?;
    matviews::write(&mut script, &meant, &contents.database)?;
    definitions.write(&mut script, &meant.last)?;
    if meant.database {
        database::write(&mut script, &contents.database)?;
    }
    script.remark("That is all. The server gathers statistics by and by; `ANALYZE` does it at once.")
}
