//! Clusters: dumped primary by primary, and restored slot by slot.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod restore_support;

#[path = "restore/archive.rs"]
#[allow(dead_code, unreachable_pub, reason = "each program uses its share")]
mod archive;
#[path = "cluster/dumps.rs"]
mod dumps;
#[path = "cluster/failovers.rs"]
mod failovers;
#[path = "cluster/looks.rs"]
mod looks;
#[path = "cluster/restores.rs"]
mod restores;
#[path = "cluster/shop.rs"]
mod shop;
