//! What the workspace-level tests share: an application to dump, and ways to disturb a run.
//!
//! # From the top
//!
//! - [`Shop`] is an application: two databases and two folders that refer to each other. [`Market`] is another, with two
//!   PostgreSQL databases, [`Bazaar`] one with two of MariaDB, [`Kiosk`] one with two of Redis, and [`Gallery`] one with
//!   objects in a bucket. What tests need of any is [`Application`]; one that is [`Placed`] is found again by a process of
//!   its own.
//! - [`watch`] puts a driver under the eyes of a [`Faulty`](dumprestore_testkit::Faulty), which counts every call and
//!   lets something happen at one of them.
//! - A [`Scene`] disturbs restores of an application, [`Dumps`] its dumps, at one moment after another. A [`Blackout`]
//!   kills its server, a [`Crowd`] comes back at once whenever it
//!   is thrown out, and [`Readers`] are there all the time.
//! - [`fault_matrix!`] puts an application that is [`Served`] through all of that, [`failures_and_interrupts!`] any through
//!   what no server is needed for.
//! - [`Traffic`] works on a shop while it is dumped, [`Trade`] on a market or a bazaar, [`Visits`] on a kiosk; each knows
//!   what must hold.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this library is tests: what it can't go on without ends the test, and it tells what was tried"
)]

mod bazaar;
mod blackouts;
mod client;
mod coherent;
mod crowd;
mod disturbed;
mod gallery;
mod goods;
mod kiosk;
mod market;
mod outage;
mod placed;
mod readers;
mod scene;
mod served;
mod shop;
mod stock;
mod trade;
mod traffic;
mod visits;
mod wares;
mod watched;

pub use bazaar::Bazaar;
pub use blackouts::{black_out_dumps, black_out_restores};
pub use client::{Client, Value};
pub use coherent::{Lively, prove_coherent, show_incoherent};
pub use crowd::Crowd;
pub use gallery::Gallery;
pub use kiosk::Kiosk;
pub use market::Market;
pub use outage::{Blackout, Mortal, Outage};
pub use placed::Placed;
pub use readers::Readers;
pub use scene::{Application, Dumps, Scene, at_once, later};
pub use served::{
    Served, served_dumps, served_dumps_black_out, served_restores_black_out, served_scene, sooner,
};
pub use shop::{Shop, State};
pub use trade::{Trade, Traded, faults};
pub use traffic::{Traffic, TrafficReport};
pub use visits::Visits;
pub use watched::{degrade, watch};
