//! Connections to a server: from what the configuration says, to one that is logged in.
//!
//! - [`Target`]: where, as whom, and how: the URL of the configuration (`url.rs`, `parameters.rs`) and its options.
//! - `open.rs` gets there over TCP or a socket (`stream.rs`), asks sentinels for the way (`sentinel.rs`), speaks TLS as asked
//!   (`tls.rs`), and logs in (`login.rs`).
//! - [`Wire`] is such a connection as it is: commands out, [`Reply`]s and raw bytes in. [`Session`] asks one thing after the
//!   other over it, and [`Server`] is what it learns of the other end.
//! - [`Cluster`] (`cluster.rs`, `slots.rs`) is who shares the keys where several servers do.
//! - `fault.rs` says what a server's error means, and what to do.

mod cluster;
mod fault;
mod info;
mod login;
mod open;
mod parameters;
mod place;
mod reply;
mod sentinel;
mod server;
mod session;
mod slots;
mod stream;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod url;
mod wire;

pub(crate) use cluster::{Cluster, Primary};
pub(crate) use fault::{code, is_refusal, is_refusal_text, shown};
pub(crate) use info::Info;
pub(crate) use reply::Reply;
pub(crate) use server::{Role, Server};
pub(crate) use session::Session;
pub(crate) use slots::{TAG, slot, tag};
pub(crate) use target::{Logins, Target};
pub(crate) use wire::Wire;
