//! The contract between dumprestore and its drivers.
//!
//! # From the top
//!
//! A *driver* knows one kind of source: a database engine, a folder, a store. It dumps such a source into
//! the archive and restores it from there. Everything else (order, names, hashes, compression, the zip,
//! parallelism, progress, the journal) is the engine's.
//!
//! Read [`driver.rs`](crate::Driver) first. Its four traits follow the life of a run:
//!
//! - [`DriverConfig`]: the options of a node, as a serde struct; [`build`](DriverConfig::build) makes a driver of them.
//! - [`Driver`]: looks at the source ([`inspect`](Driver::inspect)), opens it for a dump ([`open`](Driver::open)),
//!   stages a restore beside the live data ([`stage`](Driver::stage)), and picks up after a crash
//!   ([`resume`](Driver::resume)).
//! - [`Source`]: one dump. Live sources are *captured* in passes; then the source is *pinned*, its
//!   [references](Links) are certified, and its parts are dumped.
//! - [`Staging`]: one restore. Load, prepare (all that can fail, fails here), commit (a quick swap), and then
//!   finish, or roll back.
//!
//! A source that is one stream out and one stream in needs none of this: see [`OneStream`].
//!
//! # Threads
//!
//! [`Source::dump`], [`Links::references`], [`Links::resolve`] and [`Staging::load`] are each called on a thread
//! that may block: plain [`std::io`] in them is fine. All other methods are called on the async runtime, and must
//! hand blocking work to `tokio::task::spawn_blocking`.

mod blotter;
mod capabilities;
mod closest;
mod context;
mod driver;
mod error;
mod globs;
mod ground;
mod inspection;
mod ledger;
mod link;
mod name;
mod one_stream;
mod part;
mod pattern;
mod secret;
mod secret_ranges;
mod selection;
mod token;

pub use blotter::Blotter;
pub use capabilities::{Capabilities, Formats, InPlace, Lanes, Linked, Partial, Terms, Undo, View};
pub use closest::closest;
pub use context::{BuildContext, Cancel, CutContext, CutMode, Extras, OpenContext, StageContext};
pub use driver::{Driver, DriverConfig, OldState, Source, Staging, Token};
pub use error::{Error, ErrorKind, Result};
pub use globs::Globs;
pub use ground::Ground;
pub use inspection::{Changes, Claim, Inspection, LedgerEntry, Problem, Severity};
pub use ledger::{Held, Ledger, Weight};
pub use link::{Edge, Key, KeySink, Links, Reference, Unresolved, Why};
pub use name::{NodePath, PartName};
pub use one_stream::{OneStream, OneStreamDriver};
pub use part::{
    ArchivedNode, ArchivedPart, CaptureId, Digest, Dumped, Facts, Part, PartReader, PartSink, PartStream,
    PartWriter, Receipt, part_stream,
};
pub use pattern::Pattern;
pub use secret::{Revealed, Secret};
pub use secret_ranges::{looks_secret, secret_ranges};
pub use selection::{Content, Placement, Selection};
pub use token::{parse_entry, parse_kept};

pub use async_trait::async_trait;
