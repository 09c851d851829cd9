//! Dumps of real servers, seen from outside.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

mod dump_support;

#[path = "dump/choice.rs"]
mod choice;
#[path = "dump/content.rs"]
mod content;
#[path = "dump/links.rs"]
mod links;
#[path = "dump/racing.rs"]
mod racing;
#[path = "dump/trouble.rs"]
mod trouble;
#[path = "dump/ways.rs"]
mod ways;
