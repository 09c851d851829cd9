//! One dump of a database.
//!
//! - [`Choice`] (`choice.rs`): which schemas and tables.
//! - `pin.rs`: locks, and then the snapshot, on one session; `barrier.rs` keeps writers out of a locked cut; `lanes.rs`
//!   has the sessions that share the snapshot.
//! - `listing.rs`: what is in the dump. `definitions.rs` has `pg_dump` write the definitions, on the pinned
//!   session by way of `relay.rs`; `unseen.rs` tells what it may not see, `omit.rs` leaves some out, `loose.rs`
//!   makes foreign keys such that they can be restored, `piece.rs` cuts
//!   tables into parts.
//!   `configuration.rs` orders tables of extensions.
//! - `rows.rs` and `blobs.rs` write parts.
//! - [`Snapshot`] (`snapshot.rs`) puts it together.

mod barrier;
mod blobs;
mod choice;
mod configuration;
mod definitions;
mod lanes;
mod listing;
mod loose;
mod omit;
mod piece;
mod pin;
mod public;
mod relay;
mod rows;
mod snapshot;
mod unseen;

pub(crate) use choice::{Choice, Chosen};
pub(crate) use loose::loose;
pub(crate) use snapshot::Snapshot;
