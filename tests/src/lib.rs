//! What the workspace-level tests share: an application to dump, and ways to disturb a run.
//!
//! # From the top
//!
//! - [`Shop`] is an application: two databases and two folders that refer to each other. [`Market`] is another, with two
//!   PostgreSQL databases. What tests need of either is [`Application`].
//! - [`watch`] puts a driver under the eyes of a [`Faulty`](dumprestore_testkit::Faulty), which counts every call and
//!   lets something happen at one of them.
//! - A [`Scene`] disturbs restores of an application, [`Dumps`] its dumps, at one moment after another. A [`Blackout`]
//!   kills its server, and a [`Crowd`] comes back at once whenever it is thrown out.
//! - [`Traffic`] works on a shop while it is dumped, [`Trade`] on a market, and both keep their own record of what must
//!   hold.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this library is tests: what it can't go on without ends the test, and it tells what was tried"
)]

mod crowd;
mod market;
mod outage;
mod scene;
mod shop;
mod stock;
mod trade;
mod traffic;
mod wares;
mod watched;

pub use crowd::Crowd;
pub use market::Market;
pub use outage::{Blackout, Outage};
pub use scene::{Application, Dumps, Scene, at_once, later};
pub use shop::{Shop, State};
pub use trade::Trade;
pub use traffic::{Traffic, TrafficReport};
pub use watched::{degrade, watch};
