//! The dumprestore driver for media in object stores.
//!
//! # From the top
//!
//! [`MediaConfig`] is what stands under `driver: media`. Building it gives a driver that
//!
//! - **dumps** a live bucket: a pass lists what changed since the last one, and each object is read by its ETag, so that
//!   no reading is a mix of two; at the cut, references are resolved against what was captured and against what the
//!   store holds then. In a versioned bucket, what was overwritten or deleted since is read from its versions, as of the
//!   cut (`resolve.rs` has the argument why no link dangles and no object is torn);
//! - **restores** into a bucket: what differs is staged below `.dumprestore/` beside the live objects, and copied over
//!   them by the store itself, with the old ones kept until the end.
//!
//! # What is in the archive
//!
//! `objects/<key>` holds the bytes of each object, and `objects.jsonl` one line for every object, in the order of the
//! keys, with what belongs to it: content type, cache control, content encoding and disposition, user metadata. With
//! `mode: versions` there are no bytes, only the lines.
//!
//! # What it does not do
//!
//! - Tags, ACLs, `Expires`, `Content-Language`, redirects, locks and older versions of an object are not kept.
//! - Keys with `.` or `..` between slashes, and `/`, which no request can name, are left out, with a line in the ledger.
//! - Headers and metadata that are no ASCII are left out of an archive that has the object itself; the line names them, and the dump is degraded.

mod ahead;
mod asof;
mod body;
mod clock;
mod config;
mod driver;
mod filter;
mod inflight;
mod inspect;
mod key;
mod line;
mod listed;
mod listing;
mod looks;
mod memory;
mod ours;
mod reading;
mod resolve;
mod restore;
mod shared;
mod site;
mod snapshot;
mod state;
mod underway;

pub use config::{MediaConfig, Mode};
