//! Dumping and restoring from within a program, with an observer that shows how far it is.
//!
//! ```text
//! embed dump FOLDER ARCHIVE       dumps FOLDER/shop.db and FOLDER/uploads
//! embed restore FOLDER ARCHIVE    restores them
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program may print; the library never does")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use dumprestore::{
    BackupSet, Destination, DumpOptions, Event, NodeBuilder, Observer, OpenArchive, RestoreFrom,
    RestoreOptions, Result,
};
use dumprestore_filesystem::FilesystemConfig;
use dumprestore_sqlite::SqliteConfig;

// ANCHOR: set
/// The application's state: a database whose rows name files, and the folder of these files.
fn set(folder: &Path) -> Result<BackupSet> {
    BackupSet::builder("shop")
        .base(folder)
        .node(NodeBuilder::new("db").config(SqliteConfig::new("shop.db")).refers_to(
            "uploads",
            "SELECT image FROM product",
            None,
        ))
        .node(NodeBuilder::new("uploads").config(FilesystemConfig::new("uploads")))
        .build()
}
// ANCHOR_END: set

// ANCHOR: observer
/// Shows how far a run is. Events come from several threads.
struct Meter;

impl Observer for Meter {
    fn event(&self, event: &Event) {
        match event {
            Event::Phase { phase } => println!("{phase}"),
            Event::Progress { node, bytes, parts } => println!("  {node}: {bytes} bytes, {parts} parts"),
            Event::NodeFinished { node, phase, bytes, .. } => {
                println!("  {node}: {phase} of {bytes} bytes done")
            }
            Event::Notice { message, .. } => println!("  note: {message}"),
            _ => {}
        }
    }
}
// ANCHOR_END: observer

// ANCHOR: run
async fn dump(folder: &Path, archive: &Path) -> Result<()> {
    let mut options = DumpOptions::default();
    options.observer = Arc::new(Meter);
    let report = dumprestore::dump(&set(folder)?, Destination::new_file(archive), options).await?;
    println!("dumped {} nodes into {} bytes: {:?}", report.nodes.len(), report.bytes, report.outcome);
    Ok(())
}

async fn restore(folder: &Path, archive: &Path) -> Result<()> {
    let mut options = RestoreOptions::default();
    options.observer = Arc::new(Meter);
    let from = RestoreFrom::Archive(OpenArchive::open(archive)?);
    let report = dumprestore::restore(&set(folder)?, &from, &options).await?;
    println!("restored {} nodes: {:?}", report.nodes.len(), report.outcome);
    Ok(())
}
// ANCHOR_END: run

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["dump", folder, archive] => dump(Path::new(folder), Path::new(archive)).await,
        ["restore", folder, archive] => restore(Path::new(folder), Path::new(archive)).await,
        _ => {
            eprintln!("usage: embed dump|restore FOLDER ARCHIVE");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            error.hint().into_iter().for_each(|hint| eprintln!("hint: {hint}"));
            ExitCode::FAILURE
        }
    }
}
