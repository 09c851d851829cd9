//! Restores into buckets, seen from the server: what is there before, meanwhile and after.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod restore_support;

#[path = "restore/headers.rs"]
mod headers;
#[path = "restore/keys.rs"]
mod keys;
#[path = "restore/others.rs"]
mod others;
#[path = "restore/previous.rs"]
mod previous;
#[path = "restore/troubles.rs"]
mod troubles;
#[path = "restore/versions.rs"]
mod versions;
#[path = "restore/whole.rs"]
mod whole;
