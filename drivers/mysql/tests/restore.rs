//! Restores, seen from the server: what is there before, meanwhile and after.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod dump_support;
mod restore_support;

#[path = "restore_support/archive.rs"]
#[allow(unreachable_pub, reason = "of all files of this program")]
mod archive;
#[path = "restore/around.rs"]
mod around;
#[path = "restore/back.rs"]
mod back;
#[path = "restore/crashes.rs"]
mod crashes;
#[path = "restore/definers.rs"]
mod definers;
#[path = "restore/hostile.rs"]
mod hostile;
#[path = "restore/loading.rs"]
mod loading;
#[path = "restore/outside.rs"]
mod outside;
#[path = "restore/partial.rs"]
mod partial;
#[path = "restore/rights.rs"]
mod rights;
#[path = "restore/servers.rs"]
mod servers;
#[path = "restore/tampered.rs"]
mod tampered;
#[path = "restore/views.rs"]
mod views;
