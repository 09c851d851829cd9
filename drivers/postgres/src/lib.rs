//! The driver for PostgreSQL: one pinned snapshot for all lanes, data by `COPY`, and a restore that is swapped in as
//! a whole database.
//!
//! # From the top
//!
//! - [`PostgresConfig`]: the options of a node. `connect/` turns them, with libpq's environment and files, into
//!   connections.
//! - A dump: `pin` opens and exports one snapshot, and locks what it will read; `parts` has `pg_dump` write the
//!   definitions as of that snapshot, whose table of contents `contents/` reads; each part of `data/` is one `COPY`.
//! - `archived/`: what stands in the archive. It depends on neither `psql` nor `pg_restore`.
//! - A restore: `begin` makes a database beside the live one and its definitions, `load` copies in, `prepare` builds
//!   indexes and constraints and checks, `commit` swaps by two renames.

mod archived;
mod catalog;
mod client;
mod config;
mod connect;
mod contents;
mod driver;
mod dump;
mod export;
mod holders;
mod inspect;
mod links;
mod pattern;
mod quote;
mod restore;

pub use config::{Policy, PostgresConfig};
