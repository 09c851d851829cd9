//! Dump and restore the whole state of an application, coherent, all or nothing.

mod assemble;
mod builder;
mod hook_settings;
mod links;
mod names;
mod order;
mod set;
mod settings;

pub use builder::{NodeBuilder, SetBuilder};
pub use hook_settings::{Hook, HookPoint, Hooks, OnError};
pub use links::{OrderEdge, OrderReason};
pub use set::{BackupSet, Node};
pub use settings::{Archive, Coherence, Compression, IfUncertified, Parallel};

pub use dumprestore_driver::{Driver, DriverConfig, Edge, Error, ErrorKind, NodePath, Result};
