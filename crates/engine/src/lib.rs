//! Dump and restore the whole state of an application, coherent, all or nothing.

mod archive_config;
mod archived;
mod assemble;
mod builder;
mod config;
mod config_schema;
mod dump;
mod edge_check;
mod event;
mod export;
mod hook;
mod hook_output;
mod hook_program;
mod hook_settings;
mod inspection;
mod journal;
mod lanes;
mod links;
mod lock;
mod meter;
mod names;
mod option_schema;
mod order;
mod plan;
mod reference_check;
mod registry;
mod restore;
mod run;
mod selection;
mod set;
mod settings;

pub use archive_config::{Archive, ArchiveConfig};
pub use builder::{NodeBuilder, SetBuilder};
pub use config::{ConfigOrigin, Environment, Overrides};
pub use dump::{
    ArchiveCopy, CopyOutcome, Destination, DumpOptions, DumpOutcome, DumpReport, DumpedNode, Elsewhere,
    Opened, dump,
};
pub use event::{Event, Observer};
pub use hook_program::HookProblem;
pub use hook_settings::{Hook, HookPoint, Hooks, OnError};
pub use links::{OrderEdge, OrderReason};
pub use plan::{OrderPlan, OrderedNode, PlannedReference};
pub use registry::{DriverInfo, Registry};
pub use restore::{
    MakeElsewhere, OpenArchive, PlannedNode, RecoverOutcome, Recovered, RestoreFrom, RestoreOptions,
    RestoreOutcome, RestorePlan, RestoreReport, RestoredNode, VerifyReport, discard_previous, is_interrupted,
    plan_restore, recover, rehearse, restore, verify,
};
pub use run::run_began;
pub use set::{BackupSet, Node};
pub use settings::{Coherence, Compression, IfUncertified, Parallel};

pub use dumprestore_archive as archive;
pub use dumprestore_driver as driver;
pub use dumprestore_driver::{
    Cancel, Content, Driver, DriverConfig, Edge, Error, ErrorKind, Extras, NodePath, Placement, Result,
    Selection, Severity,
};
