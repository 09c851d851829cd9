//! Reads the table of contents that `pg_dump --format=custom` writes, and makes the archive's definitions of it.
//!
//! - `stream.rs`: numbers and texts of the format.
//! - [`read`] (`entry.rs`): the head and the entries, of format versions 1.12 (`pg_dump` 9.3) to 1.16 (18).
//! - [`definitions`] (`definition.rs`): which entries are definitions, when each is made, and whose it is.
//!
//! The rest of such a file, which holds rows, is not looked at: it is made with `--schema-only`.

mod definition;
mod entry;
mod stream;

pub(crate) use definition::{Definition, definitions};
pub(crate) use entry::{Entry, read};
