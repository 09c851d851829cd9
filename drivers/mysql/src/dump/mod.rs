//! One dump of a database.
//!
//! - [`Choice`] (`choice.rs`): which tables and views.
//! - `pin.rs`: the cut. `gate.rs` keeps everybody out for its moment, by the best means that server and rights allow
//!   ([`Cut`]); `lanes.rs` has the sessions that share what is seen then; `hold.rs` keeps tables without transactions as
//!   they were until they are dumped (`kept.rs` sees to it that neither lock outlives us); `touch.rs` keeps definitions as
//!   they are; `identity.rs` tells whether all of them are of one server; `position.rs` tells where in the binary log that was.
//! - `listing.rs`: what is in the dump. `programs.rs` has views, triggers, routines and events, `view_tables.rs` tells what
//!   a view reads, `defaults.rs` which defaults a server does not tell, `reading.rs` how the rows of a table are asked
//!   for, and `piece.rs` cuts tables into parts.
//! - `rows.rs` writes parts.
//! - [`Snapshot`] (`snapshot.rs`) puts it together.

mod choice;
mod defaults;
mod gate;
mod hold;
mod identity;
mod kept;
mod lanes;
mod listing;
mod piece;
mod pin;
mod position;
mod programs;
mod reading;
mod rows;
mod snapshot;
mod touch;
mod view_tables;

pub(crate) use choice::{Choice, Chosen};
pub(crate) use programs::may_list_routines;
pub(crate) use snapshot::Snapshot;
