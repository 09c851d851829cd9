//! `pg_dump`, as somebody installed it: found among all that are there, and run.
//!
//! It is only asked for definitions. A restore needs no client program.

mod installed;
mod running;

pub(crate) use installed::PgDump;
