//! `pull`.

use std::path::PathBuf;

use clap::Args;
use dumprestore::{Error, Result};
use serde_json::json;

use crate::archives;
use crate::console::bytes;
use crate::copying::Copying;
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore pull latest                 into the current folder
  dumprestore pull shop-2026 -o /mnt/disk/
  dumprestore pull s3://backups/shop/a.zip -o a.zip

The file appears when it is whole and checked; what an encrypted one holds is checked if an identity opens it, and the command says so if none does. A pull that was stopped goes on where it was, if the archive is still the same. To restore, `pull` is not needed: `restore` reads an archive where it is.";

/// Copy an archive into a local file
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Pull {
    /// The archive: a URL, a name, `latest` or `SET@TIME`
    archive: PathBuf,
    /// The file, or the folder
    #[arg(short, long, value_name = "FILE|FOLDER", default_value = ".")]
    output: PathBuf,
}

impl Pull {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        let cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Ends)?;
        let (cargo, name) = archives::cargo(session, &self.archive)?;
        let to = if self.output.is_dir() { self.output.join(name) } else { self.output };
        super::push::tell_unchecked(session, &cargo);
        let (size, shown) = (cargo.bytes(), to.clone());
        let progress = Copying::new(session.observer(), size);
        let work = tokio::task::spawn_blocking(move || cargo.pull(&to, &cancel, &|done| progress.done(done)));
        let from = work.await.map_err(|error| Error::defect("copying panicked").with_source(error))??;
        session.console.print(shown.display())?;
        let resumed = if from > 0 {
            format!(", of which {} were there from before", bytes(from))
        } else {
            String::new()
        };
        session.console.note(format_args!("ok: {}{resumed}", bytes(size)));
        session.ended(Exit::Ok, &json!({ "archive": shown, "bytes": size, "resumed_from": from }))
    }
}
