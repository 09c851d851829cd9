//! An archived database as one SQL script for `mariadb` or `mysql`: definitions, and rows as `INSERT`s of many.
//!
//! - [`export`] (here) is the order of the script.
//! - `meant.rs` picks what of the archive is written, `views.rs` the order of views that read each other; `head.rs` says
//!   what the script is, and how the session has to be.
//! - `definitions.rs` writes definitions, `rows.rs` and `value.rs` what tables hold.
//! - `script.rs` is where all of it goes through; `client.rs` keeps out what the client itself would act on.

mod client;
mod definitions;
mod head;
mod meant;
mod rows;
mod script;
mod value;
mod views;

use std::io::Write;

use dumprestore_driver::{ArchivedNode, Result, Selection};

use crate::archived::parse_contents;

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
    let contents = parse_contents(archived)?;
    let meant = Meant::of(&contents, selection)?;
    let mut script = Script::new(out);
    head::write(&mut script, &contents, &meant)?;
    definitions::sequences(&mut script, &contents, &meant)?;
    for table in &meant.tables {
        definitions::table(&mut script, &contents, &meant, table)?;
        rows::write(&mut script, archived, &meant, table)?;
    }
    definitions::programs(&mut script, &contents, &meant)?;
    head::end(&mut script)
}
