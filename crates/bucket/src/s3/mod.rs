//! What only S3 has, and OpenDAL does not ask for: requests of our own, signed with the same credentials.
//!
//! - [`Calls`] sends them (`call.rs`), and [`Refusal`] is what the server says against one (`refusal.rs`).
//! - `versioning.rs`, `lifecycle.rs`, `uploads.rs` and `lock.rs` each ask one thing; `listing.rs` lists what is there.
//! - `xml.rs` reads what the answers have in common.

mod call;
mod lifecycle;
mod listing;
mod lock;
mod refusal;
mod uploads;
mod versioning;
mod xml;

pub(crate) use call::Calls;
pub use lifecycle::{Expiration, LifecycleRule, Transition};
pub use listing::{Listed, Marker, Page};
pub use lock::{Lock, LockMode, Locking};
pub(crate) use refusal::Refusal;
pub use uploads::UnfinishedUpload;
pub use versioning::Versioning;
