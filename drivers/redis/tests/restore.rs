//! Restores, seen from the server: what is there before, meanwhile and after.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod restore_support;

#[path = "restore/archive.rs"]
#[allow(dead_code, unreachable_pub, reason = "each file of this program uses its share")]
mod archive;
#[path = "restore/crashes.rs"]
mod crashes;
#[path = "restore/keys.rs"]
mod keys;
#[path = "restore/lasting.rs"]
mod lasting;
#[path = "restore/others.rs"]
mod others;
#[path = "restore/patterns.rs"]
mod patterns;
#[path = "restore/refusals.rs"]
mod refusals;
#[path = "restore/whole.rs"]
mod whole;
