//! Throw-away real servers: on free ports, in temporary folders, as an ordinary user, many at once.
//!
//! Each lives in the hands of a [`Keeper`], a process of a few lines of shell, which ends the server and removes its
//! folder when whoever started it is gone, even by a `kill -9`.

mod account;
mod keeper;
#[cfg(feature = "postgres")]
mod postgres;
mod programs;

pub use account::Account;
pub use keeper::Keeper;
#[cfg(feature = "postgres")]
pub use postgres::{Authority, PostgresOptions, PostgresServer, PostgresVersion};
pub use programs::Programs;
