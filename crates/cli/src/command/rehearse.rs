//! `rehearse`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use dumprestore::Result;

use super::restore::Choice;
use crate::archives;
use crate::console::{bytes, counted, seconds};
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore rehearse latest          prove that the newest archive can be restored here
  dumprestore rehearse shop.zip --only db

Stages, loads, prepares and checks as a restore does, and then always rolls back. It needs the room of a restore, and runs no hooks. What would be restored in place is refused, for it would lock the live data, and what can't be undone is left out.";

/// Restore beside the live data, check, and roll back: a real restore test
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rehearse {
    /// The archive: a file, a URL, a name, `latest` or `SET@TIME`
    archive: PathBuf,
    #[command(flatten)]
    choice: Choice,
}

impl Rehearse {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        let set = session.load_with(&self.choice.map)?;
        let archive = archives::open_for(session, &set, &self.archive)?;
        let label = archive.label().to_owned();
        let mut options = self.choice.options(session);
        options.cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Waits)?;
        let begun = Instant::now();
        let report = dumprestore::rehearse(&set, archive, &options).await?;
        let content: u64 = report.nodes.iter().map(|node| node.bytes).sum();
        let dangling = match report.dangling {
            0 => String::new(),
            dangling => format!("; {} dangling", counted(dangling, "reference")),
        };
        session.console.print(format_args!(
            "`{label}` can be restored: {} with {} loaded and checked, and rolled back, after {}{dangling}",
            counted(report.nodes.len() as u64, "node"),
            bytes(content),
            seconds(begun.elapsed()),
        ))?;
        session.ended(report.outcome, &report)
    }
}
