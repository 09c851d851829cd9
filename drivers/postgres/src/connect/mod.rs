//! Connections to a server: from what the configuration and libpq's surroundings say, to an open session.
//!
//! - [`Target`]: where, as whom, and how, as libpq would understand it: the string of the configuration
//!   (`string.rs`), then the service file (`service.rs`), the environment (`environment.rs`), and defaults
//!   (`target.rs`). Passwords of a `.pgpass` (`passfile.rs`) are looked up when a server asks.
//! - [`connect`] (`open.rs`, `route.rs`) tries its hosts, with TLS as asked (`tls.rs`, `trust.rs`), and gives a [`Connection`] with every
//!   setting that output depends on at a value of our own (`session.rs`). Between the socket (`socket.rs`) and the client
//!   lies a [`transport`], so that rows can be read without the client (`copying.rs`).
//! - [`refuse_pooler`] (`pooler.rs`) finds out whether a session is one.
//! - [`fault`](fault()) says what a server's error means, and what to do.

mod copying;
mod environment;
mod fault;
mod open;
mod passfile;
mod pooler;
mod route;
mod service;
mod session;
mod socket;
mod string;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod trust;
mod variables;

pub(crate) use environment::{Environment, VARIABLES};
pub(crate) use fault::sqlstate;
pub(crate) use open::connect;
pub(crate) use pooler::refuse_pooler;
pub(crate) use session::Connection;
pub(crate) use target::Target;
#[cfg(test)]
use target::{Endpoint, Place};
