//! `push`.

use std::path::PathBuf;

use clap::Args;
use dumprestore::{CopyOutcome, Error, Result};
use dumprestore_store::Cargo;
use serde_json::json;

use crate::archives;
use crate::console::{bytes, counted};
use crate::copying::Copying;
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore push latest                 to those places of the set that do not have it yet
  dumprestore push shop.zip --to s3://backups/shop
  dumprestore push latest --to /mnt/disk/

The archive is read once, checked on the way, and written to all places at once. It appears in a place when it is whole there, and is looked at then; none is overwritten. One that is encrypted is copied as it is; what it holds is checked only if an identity opens it, and the command says so if none does.";

/// Copy an archive to other places
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Push {
    /// The archive: a file, a URL, a name, `latest` or `SET@TIME`
    archive: PathBuf,
    /// A folder, or the URL of a store; may be given several times [default: the places of the set]
    #[arg(long, value_name = "FOLDER|URL")]
    to: Vec<String>,
}

impl Push {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        let cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Ends)?;
        let pushing = archives::pushing(session, &self.archive, &self.to, &cancel)?;
        if pushing.is_everywhere {
            session.console.note("every place has it already");
            return session.ended(Exit::Ok, &json!({ "copies": [], "bytes": 0 }));
        }
        tell_unchecked(session, &pushing.cargo);
        let progress = Copying::new(session.observer(), pushing.cargo.bytes());
        let work = tokio::task::spawn_blocking(move || {
            let copies = pushing.cargo.push(&pushing.destination, &cancel, &|done| progress.done(done))?;
            Ok::<_, Error>((copies, pushing.cargo.bytes()))
        });
        let (copies, size) =
            work.await.map_err(|error| Error::defect("copying panicked").with_source(error))??;
        let mut exit = Exit::Ok;
        for copy in &copies {
            match copy.outcome {
                CopyOutcome::Verified => session.console.print(&copy.place)?,
                _ => {
                    exit = Exit::Degraded;
                    let why = copy.why.as_deref().unwrap_or_default();
                    let state =
                        if copy.outcome == CopyOutcome::Failed { "no copy at" } else { "not checked:" };
                    session
                        .console
                        .warn(format_args!("{state} `{}`: {why}", copy.place), copy.hint.as_deref());
                }
            }
        }
        let whole = copies.iter().filter(|copy| copy.outcome != CopyOutcome::Failed).count();
        session.console.note(format_args!(
            "{} of {}",
            counted(whole as u64, "copy").replace("copys", "copies"),
            bytes(size)
        ));
        session.ended(exit, &json!({ "copies": copies, "bytes": size }))
    }
}

/// An archive that nothing here opens may be damaged, for all that its copies tell.
pub(crate) fn tell_unchecked(session: &Session, cargo: &Cargo) {
    if let Some(why) = cargo.unchecked() {
        session.console.warn(
            format_args!("it is copied as it is, and its content is not checked: {why}"),
            Some("`dumprestore verify` checks it where an identity is at hand"),
        );
    }
}
