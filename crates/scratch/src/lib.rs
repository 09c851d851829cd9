//! What a driver has to remember of each of millions of things, in a bounded amount of memory.
//!
//! # From the top
//!
//! A [`Table`] is a sorted map of what was used last, and under it, once that is too much, a table in one database in a
//! file without a name: a [`Scratch`]. Small sources never make that file, and a kill leaves nothing of it.
//!
//! # Limits
//!
//! A table keeps 8,000 entries in memory, and the database 12 MiB of itself. On disk an entry takes about twice its size.

mod table;

pub use table::{Scratch, Table};
