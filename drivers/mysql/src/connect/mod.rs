//! Connections to a server: from what the configuration and the surroundings of the client programs say, to an open
//! session.
//!
//! - [`Target`]: where, as whom, and how, as those programs would understand it: the URL of the configuration (`url.rs`),
//!   then option files (`option_file.rs`), the environment (`environment.rs`), and defaults (`target.rs`).
//! - `open.rs` gets there, with TLS as asked (`tls.rs`), and logs in; `identity.rs` is what tells one server from another.
//! - [`Session`] (`session/`) has every setting that output depends on at a value of our own (`settings.rs`). What comes
//!   back is `said.rs` and [`RawRow`]s (`row.rs`). `offer.rs` is all that a server can have of us when it asks for a file.
//! - [`fault`](fault()) says what a server's error means, and what to do.

mod environment;
mod fault;
mod identity;
mod offer;
mod open;
mod option_file;
mod parameters;
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
mod url;

pub(crate) use environment::Environment;
pub(crate) use fault::code;
pub(crate) use row::{RawRow, Row};
pub(crate) use said::{Done, without_values};
pub(crate) use server::Server;
pub(crate) use session::{Charset, Session};
pub(crate) use source::Source;
pub(crate) use target::Target;
