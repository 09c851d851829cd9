//! `rewrap`.

use std::path::PathBuf;

use clap::Args;
use dumprestore::archive::{Existing, FileOutput};
use dumprestore::{BackupSet, Cancel, CopyOutcome, Error, OpenArchive, Result};
use dumprestore_store::{
    ArchiveSettings, BucketOptions, Encryption, EncryptionOptions, Place, Seen, StoreDestination,
    StoredArchive, Target, WriteSettings, check_rewrapped, free_beside, rewrap,
};
use serde_json::json;

use crate::archives;
use crate::console::bytes;
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore rewrap shop.zip --to age1...                  shop.zip.age beside it
  dumprestore rewrap latest --recipients-file team.txt      somebody has left the team
  dumprestore rewrap latest --remove-old                    to whom `archive.encryption` now says
  dumprestore rewrap shop.zip.age --decrypt -o shop.zip -i key.txt

The archive is decrypted, compared with its manifest, and written anew under another name: it is never changed in place. Only when what was stored has been read back and compared does `--remove-old` remove the old one. Whoever could read the old one may have a copy of it.";

/// Write an archive anew, encrypted to others
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rewrap {
    /// The archive: a file, a URL, a name, `latest` or `SET@TIME`
    archive: PathBuf,
    /// The new one: a file or a URL; by default beside the old one, under a name that is free
    #[arg(short, long, value_name = "FILE|URL")]
    output: Option<PathBuf>,
    /// Who can decrypt it: `age1...`, or a public SSH key; may be given several times; by default as `archive.encryption` says
    #[arg(long, value_name = "RECIPIENT")]
    to: Vec<String>,
    /// A file with such recipients, one a line
    #[arg(long, value_name = "FILE")]
    recipients_file: Vec<PathBuf>,
    /// Write it decrypted, for everybody to read
    #[arg(long, conflicts_with_all = ["to", "recipients_file"])]
    decrypt: bool,
    /// Remove the old one, once the new one has been read back and compared
    #[arg(long)]
    remove_old: bool,
}

impl Rewrap {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        // Where it was read is where it may be removed: its name alone does not tell two endpoints apart.
        let (archive, old) = archives::open_located(session, &self.archive)?;
        let seen = Seen::of(&old)?;
        let set = session.load().ok();
        let to = self.recipients(set.as_ref())?;
        let new = match &self.output {
            None => free_beside(&old, to.is_some())?,
            Some(path) => place_of(session, set.as_ref(), &path.to_string_lossy())?,
        };
        let cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Ends)?;
        let remove_old = self.remove_old;
        let told = to.as_ref().map_or_else(|| "decrypted".to_owned(), |to| format!("encrypted to {to}"));
        let work = tokio::task::spawn_blocking(move || {
            let size = write(&archive, to.as_ref(), &new, remove_old, &cancel)?;
            if remove_old {
                seen.remove(&old)?;
            }
            Ok::<_, Error>((old, new, size))
        });
        let (old, new, size) =
            work.await.map_err(|error| Error::defect("rewrapping panicked").with_source(error))??;
        session.console.print(new.shown())?;
        let removed = if remove_old { "; the old one is removed" } else { "" };
        session.console.note(format_args!("ok: {told}, {} of content{removed}", bytes(size)));
        let report = json!({ "archive": new.shown(), "from": old.shown(), "content": size, "removed_old": remove_old });
        session.ended(Exit::Ok, &report)
    }

    fn recipients(&self, set: Option<&BackupSet>) -> Result<Option<Encryption>> {
        if self.decrypt {
            return Ok(None);
        }
        if self.to.is_empty() && self.recipients_file.is_empty() {
            let settings =
                set.and_then(|set| set.archive()).and_then(|archive| archive.settings::<ArchiveSettings>());
            return settings.and_then(|settings| settings.encryption.clone()).map(Some).ok_or_else(|| {
                Error::config("it has to be said who can decrypt the new archive")
                    .with_hint("name recipients with `--to`, write `archive.encryption`, or say `--decrypt`")
            });
        }
        EncryptionOptions::of_recipients(&self.to, &self.recipients_file).map(Some)
    }
}

/// What a name on the command line means.
fn place_of(session: &Session, set: Option<&BackupSet>, name: &str) -> Result<Place> {
    match (Place::is_url(name), set) {
        (false, _) => Ok(Place::File(PathBuf::from(name))),
        (true, Some(set)) => archives::shelf(session, set)?.place_at(name),
        (true, None) => Place::from_url(name, &BucketOptions::default(), &crate::env::current_folder()?),
    }
}

/// Writes it, and reads back what is there: of an object its end only, unless the old one is to go. Gives the bytes of
/// content.
fn write(
    archive: &OpenArchive,
    to: Option<&Encryption>,
    new: &Place,
    read_back: bool,
    cancel: &Cancel,
) -> Result<u64> {
    match new {
        Place::File(path) => {
            let output = FileOutput::create(path, Existing::Keep).map_err(|error| {
                let hint = error.hint_text().unwrap_or("name another file").to_owned();
                Error::environment(error.to_string()).with_hint(hint)
            })?;
            let written = rewrap(archive.archive(), to, Box::new(output), cancel, &|_, _| ())?;
            let stored = std::fs::File::open(path)
                .map_err(|error| Error::io("can't read back the new archive", error))?;
            check_rewrapped(&stored, &written, cancel)?;
            Ok(written.content)
        }
        Place::Object(object) => {
            let mut settings = WriteSettings::default();
            settings.encryption = to.cloned();
            archive.archive().manifest().set.clone_into(&mut settings.set);
            let destination = StoreDestination::new(vec![Target::new(new.clone())], settings, cancel.clone());
            // Encrypted here, so that what the store is given is what is counted and compared.
            let output = destination.raw(to.is_some())?;
            let written = rewrap(archive.archive(), to, output, cancel, &|_, _| ())?;
            match destination.outcomes().into_iter().find(|copy| copy.outcome != CopyOutcome::Verified) {
                None => {
                    if read_back {
                        check_rewrapped(&StoredArchive::open(object)?, &written, cancel)?;
                    }
                    Ok(written.content)
                }
                Some(copy) => Err(Error::environment(
                    "the new archive could not be read back, so that the old one stays",
                )
                .with_context("archive", copy.place)
                .with_context("why", copy.why.unwrap_or_default())),
            }
        }
        _ => Err(Error::config("the new archive needs a name that ends in `.zip` or `.zip.age`")),
    }
}
