//! Connections to a server: from what the configuration and the surroundings of the client programs say, to an open
//! session.
//!
//! - [`Target`]: where, as whom, and how, as those programs would understand it: the URL of the configuration (`url.rs`),
//!   then option files (`option_file.rs`), the environment (`environment.rs`), and defaults (`target.rs`).
//! - `open.rs` gets there, with TLS as asked (`tls.rs`, `trust.rs`), and logs in (`greeting.rs`, `login.rs`,
//!   `public_key.rs`).
//! - [`Session`] (`session/`) has every setting that output depends on at a value of our own (`settings.rs`). Statements
//!   go over a `wire.rs` in the text protocol; what comes back is `said.rs` and [`RawRow`]s (`row.rs`), which are read
//!   where they lie in the buffer: a dump reads millions of them.
//! - [`fault`](fault()) says what a server's error means, and what to do.

mod environment;
mod fault;
mod greeting;
mod login;
mod open;
mod option_file;
mod parameters;
mod password;
mod public_key;
mod row;
mod said;
mod server;
mod session;
mod settings;
mod source;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod trust;
mod url;
mod wire;

pub(crate) use environment::Environment;
pub(crate) use fault::code;
pub(crate) use password::Password;
pub(crate) use row::{RawRow, Row};
pub(crate) use said::Done;
pub(crate) use server::Server;
pub(crate) use session::{Charset, Session};
pub(crate) use source::Source;
pub(crate) use target::Target;
