//! One dump of a server's databases: one part, an RDB file that any server of its version loads. Of a cluster, one for each
//! primary (`shard.rs`), all pinned at once and read one after the other (`reading.rs`).
//!
//! - As a replica, of one instant (for which `hold.rs` can keep writers waiting): `pin.rs` has the server begin a save and proves when it did ([`Moment`], `moment.rs`),
//!   by the way that [`Transfer`] (`transfer.rs`) chooses; `arrival.rs` takes what it sends, and `copy.rs` copies of it what
//!   is meant, with the references that are looked for on the way ([`Collecting`], `collect.rs`).
//! - Key by key (`scan.rs`): for servers that take no replicas. `names.rs` has the keys, each once.
//! - `spare.rs` finds databases that no application knows of. `told.rs` has what is told of it; [`Snapshot`] (`snapshot.rs`) puts it together.

mod arrival;
mod choice;
mod collect;
mod copy;
mod hold;
mod moment;
mod names;
mod neighbours;
mod pin;
mod reading;
mod scan;
mod shard;
mod snapshot;
mod spare;
mod told;
mod transfer;

pub(crate) use snapshot::Snapshot;
pub(crate) use told::CUT_AT;
