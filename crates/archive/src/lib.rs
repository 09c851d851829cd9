//! The archive of dumprestore: a zip that any tool can open, with a manifest that says what is in it, how it
//! was made and how to replay it. `docs/format.md` is normative for the bytes.
//!
//! # From the top
//!
//! An [`ArchiveWriter`] appends to an [`Output`]: a [`FileOutput`], which shows nothing under its final name
//! before it is complete, or a [`StreamOutput`]. Lanes open [`PartWriter`]s and write to them, several at once;
//! content is hashed, and compressed as the part's [`Compression`] says. [`ArchiveWriter::seal`] puts the
//! [`Manifest`] last and publishes.
//!
//! An [`Archive`] reads from anything with random access, a [`RangeRead`]. Opening checks the manifest, the
//! central directory and every name; a [`PartReader`] checks content against its digest before it hands out the
//! last byte; [`Archive::verify`] finds a flipped byte anywhere.
//!
//! All of it is synchronous and uses threads of its own only to compress, append and verify. Memory is bounded
//! by the number of lanes and workers times the block size, whatever the number and size of parts: what grows with
//! their number goes to files without a name, if there is a folder for them, beyond some megabytes.
//!
//! ```
//! use dumprestore_archive::*;
//! use std::io::{Read, Write};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("shop.zip");
//! let output = FileOutput::create(&path, Existing::Keep)?;
//! let writer = ArchiveWriter::create(Box::new(output), WriterOptions::default())?;
//!
//! let mut part = writer.part(&EntryName::new("shop.db", "tables/orders")?, Compression::Deflate)?;
//! part.write_all(b"1\tapples\n")?;
//! let receipt = part.finish()?;
//!
//! let tool = Tool { name: "example".into(), version: "1.0".into() };
//! let mut manifest = Manifest::new(tool, "shop", "run-1", time::OffsetDateTime::now_utc());
//! manifest.nodes.push(Node::new("shop.db", "sqlite", 1));
//! writer.list("shop.db", receipt.id, 0, &Listed::default())?;
//! writer.seal(manifest)?;
//!
//! let archive = Archive::open(Arc::new(std::fs::File::open(&path)?))?;
//! let mut content = String::new();
//! archive.part("shop.db", "tables/orders")?.read_to_string(&mut content)?;
//! assert_eq!(content, "1\tapples\n");
//! # Ok(())
//! # }
//! ```

mod clash;
mod digest;
mod entry_time;
mod error;
mod layout;
mod limits;
mod manifest;
mod method;
mod name;
mod output;
mod reader;
mod scratch;
mod tail;
mod writer;

pub use digest::Digest;
pub use entry_time::EntryTime;
pub use error::{Error, ErrorKind, Result};
pub use limits::Limits;
pub use manifest::{
    Content, Cut, Dangling, Edge, Format, LedgerEntry, Manifest, Node, Part, Preceding, Status, Tool, Window,
};
pub use method::{Compression, Method};
pub use name::EntryName;
pub use output::{Existing, FileOutput, Output, StreamOutput};
pub use reader::{Archive, PartReader, Parts, Progress, RangeRead, Totals, Verified, VerifyOptions};
pub use writer::{ArchiveWriter, EntryId, Listed, PartWriter, Receipt, Sealed, WriterOptions};
