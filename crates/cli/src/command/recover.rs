//! `recover`.

use clap::Args;
use dumprestore::{RecoverOutcome, Result};
use serde_json::json;

use super::Target;
use crate::console::counted;
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore recover
  dumprestore recover --discard-previous    drop what `restore --reversible` has kept

Every other command that changes something does the same first. If it exits with 5, read what it says is in the way, clear that, and run it again.";

/// End what an interrupted restore has left, back or forward
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Recover {
    /// The other targets that the interrupted restore was given
    #[arg(long, value_name = "NODE=TARGET")]
    map: Vec<Target>,
    /// Drop what reversible restores have kept as `:previous`, to free its room
    #[arg(long)]
    discard_previous: bool,
}

impl Recover {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        let set = session.load_with(&self.map)?;
        // Heard, and not heeded: stopping halfway is what this command is there to mend.
        let _ = crate::interrupt::watch(&session.console, crate::interrupt::Second::Waits)?;
        let recovered = dumprestore::recover(&set, session.observer()).await?;
        match &recovered {
            None => session.console.print("nothing to recover: no restore of this set was interrupted")?,
            Some(recovered) => {
                let now = match recovered.outcome {
                    RecoverOutcome::RolledBack => "rolled back: everything is as it was before it",
                    RecoverOutcome::Finished => "finished: everything is as in the archive",
                };
                session.console.print(format_args!("the restore of {} is {now}", recovered.archive))?;
            }
        }
        let mut discarded = 0;
        if self.discard_previous {
            discarded = dumprestore::discard_previous(&set).await?;
            session
                .console
                .print(format_args!("dropped the previous state of {}", counted(discarded as u64, "node")))?;
        }
        session.ended(Exit::Ok, &json!({ "recovered": recovered, "discarded": discarded }))
    }
}
