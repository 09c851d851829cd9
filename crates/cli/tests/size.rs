//! What little memory and disk a dump and a restore take, whatever the size: by the real binary, between real stores.
//!
//! At their full length by `just sizes`; here with a few thousand objects, and a hundred megabytes.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what a test can't go on without ends it"
)]

#[path = "size/content.rs"]
mod content;
#[path = "size/media.rs"]
mod media;
#[path = "size/site.rs"]
mod site;
#[path = "size/stack.rs"]
mod stack;
