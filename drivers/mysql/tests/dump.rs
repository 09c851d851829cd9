//! Dumps of real databases, seen from outside.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod dump_support;

#[path = "dump/balancers.rs"]
mod balancers;
#[path = "dump/choice.rs"]
mod choice;
#[path = "dump/content.rs"]
mod content;
#[path = "dump/definitions.rs"]
mod definitions;
#[path = "dump/links.rs"]
mod links;
#[path = "dump/locks.rs"]
mod locks;
#[path = "dump/many.rs"]
mod many;
#[path = "dump/odd.rs"]
mod odd;
#[path = "dump/racing.rs"]
mod racing;
#[path = "dump/rights.rs"]
mod rights;
#[path = "dump/versions.rs"]
mod versions;
#[path = "dump/waits.rs"]
mod waits;
