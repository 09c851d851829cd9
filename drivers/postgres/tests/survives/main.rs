//! Everything that a database holds survives a dump and a restore, as `pg_dump` tells it of both.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "what a test can't go on without ends it"
)]

mod configuration;
mod encodings;
mod kinds;
mod left_out;
mod logins;
mod needs;
mod rich;
mod roles;
mod scripts;
mod support;
mod versions;
