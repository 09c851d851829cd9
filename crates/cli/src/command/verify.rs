//! `verify`.

use std::path::PathBuf;

use clap::Args;
use dumprestore::Result;

use crate::archives;
use crate::console::{bytes, counted};
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore verify shop.zip
  dumprestore verify latest && echo fine

Needs no configuration, except for `latest`. Exit code 4 says that the archive is damaged; the entry is named.";

/// Compare every byte of an archive with its manifest
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    /// The archive: a file, a URL, a name, `latest` or `SET@TIME`
    archive: PathBuf,
}

impl Verify {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        let archive = archives::open(session, &self.archive)?;
        let cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Ends)?;
        let report = dumprestore::verify(&archive, session.observer(), cancel).await?;
        session.console.print(format_args!(
            "`{}` is whole: {}, {} in {} with {} of content",
            archive.label(),
            bytes(report.bytes),
            counted(report.parts, "part"),
            counted(archive.archive().manifest().nodes.len() as u64, "node"),
            bytes(report.content),
        ))?;
        session.ended(Exit::Ok, &report)
    }
}
