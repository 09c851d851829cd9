//! The command line of dumprestore, for its own binary and for yours.
//!
//! # From the top
//!
//! [`Cli`] is the whole of it. The stock binary is one line; one that knows a driver of yours is as short:
//!
//! ```no_run
//! # use dumprestore_sqlite::SqliteConfig as LedgerConfig;
//! use dumprestore_cli::Cli;
//!
//! fn main() -> std::process::ExitCode {
//!     Cli::new().driver::<LedgerConfig>().run()
//! }
//! ```
//!
//! Each command is a file in `command/`: its arguments, with the help that people read, and what it does. Only this
//! crate prints (`console/`) and reads the environment (`env.rs`). What an exit code means stands in [`Exit`].

mod archives;
mod cli;
mod command;
mod console;
mod copying;
mod demo;
mod discovery;
mod env;
mod exit;
mod extraction;
mod interrupt;
mod memory;
#[cfg(test)]
mod reference;
mod session;
mod stock;

pub use cli::Cli;
pub use exit::Exit;

/// The samples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
