//! The dumprestore driver for SQLite databases: `driver: sqlite`.
//!
//! # From the top
//!
//! [`SqliteConfig`] is all there is to see from outside: the options of a node. Behind it, in the order of a run:
//!
//! - *Dump.* A pin (`pin.rs`) holds a read transaction on a database in WAL mode, and nobody waits; a database with
//!   a rollback journal is copied at once instead, and the wait of its writers is measured. `snapshot.rs` then
//!   certifies references (`keys.rs` as referrer, `lookup.rs` as referent) and streams the image of the database,
//!   page by page (`image.rs`), without the tables that are left out (`selection.rs`, `reduction.rs`). What is damaged
//!   (`checks.rs`) is dumped as it is, and said.
//! - *Restore.* The image is written to a file beside the live one, checked (`checks.rs`), and then copied into the
//!   live file in one transaction of SQLite (`swap.rs`), under connections that stay open. Before that the old state
//!   is copied aside (`old.rs`). Where there is no live database, files are moved instead (`relocate.rs`).
//! - *Crash.* A mark beside the database (`mark.rs`) says how far the swap got; where it can't say, the content does
//!   (`standing.rs`).
//!
//! The archive of a node has one part, `database.sqlite`: a database file that any SQLite opens.

mod changes;
mod checks;
mod config;
mod driver;
mod entry;
mod fault;
mod header;
mod image;
mod inspect;
mod keys;
mod lookup;
mod mark;
mod old;
mod open;
mod pin;
mod place;
mod prepare;
mod profile;
mod reduction;
mod relocate;
mod restore;
mod selection;
mod snapshot;
mod staging;
mod standing;
mod swap;

pub use config::SqliteConfig;

/// The one part of a dump.
const PART: &str = "database.sqlite";

fn part_name() -> dumprestore_driver::Result<dumprestore_driver::PartName> {
    dumprestore_driver::PartName::new(PART)
}
