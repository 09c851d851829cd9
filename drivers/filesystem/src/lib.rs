//! The dumprestore driver for folders.
//!
//! # From the top
//!
//! [`FilesystemConfig`] is what stands under `driver: filesystem`. Building it gives a driver that
//!
//! - **dumps** a live folder: a pass lists what changed since the last one, and each file is read with its state
//!   checked before and after; at the cut, references are resolved against what was captured and against what the
//!   folder looks like then (`resolve.rs` has the argument why no link dangles and no file is torn);
//! - **restores** into a folder staged beside the live one, then swaps the two by one `renameat2(RENAME_EXCHANGE)`;
//!   where the folder is a mount point, by a written-down exchange of its children (`plan.rs`, `swap.rs`).
//!
//! # What is in the archive
//!
//! `files/<path>` holds the bytes of each regular file, and `tree.jsonl` one line for every file, folder, symbolic
//! link and hard link, with mode, owner, times and extended attributes. Whoever unzips it finds the files by name.
//!
//! # What it does not do
//!
//! - It follows no symbolic link below the folder, on no side: links are dumped and restored as links.
//! - Sockets, fifos and devices are left out, with a line in the ledger.
//! - File flags (`chattr`), birth times, access times and attributes of symbolic links are not kept.

mod beneath;
mod captures;
mod census;
mod changes;
mod config;
mod container;
mod content;
mod driver;
mod entry;
mod filter;
mod held;
mod inspect;
mod late;
mod listed;
mod listing;
mod load;
mod path;
mod plan;
mod pour;
mod recall;
mod remove;
mod rename;
mod resolve;
mod root;
mod snapshot;
mod staged;
mod staging;
mod stamp;
mod state;
mod swap;
mod sweep;
mod tally;
mod tree;
mod walk;
mod writers;
mod xattr;

pub use config::{FilesystemConfig, Swap};
