//! What the workspace-level tests share: an application to dump, and ways to disturb a run.
//!
//! # From the top
//!
//! - [`Shop`] is the application: two databases and two folders that refer to each other.
//! - [`watch`] puts a driver under the eyes of a [`Faulty`](dumprestore_testkit::Faulty), which counts every call and
//!   lets something happen at one of them.
//! - [`Traffic`] works on a shop while it is dumped, and keeps its own record of what must hold.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this library is tests: what it can't go on without ends the test"
)]

mod shop;
mod traffic;
mod watched;

pub use shop::{Shop, State};
pub use traffic::{Traffic, TrafficReport};
pub use watched::{degrade, watch};
