//! `rewrap`.

use std::path::PathBuf;

use clap::Args;
use dumprestore::archive::{Existing, FileOutput, Output};
use dumprestore::{BackupSet, Cancel, CopyOutcome, Error, OpenArchive, Result};
use dumprestore_store::{
    ArchiveSettings, BucketOptions, Encryption, EncryptionOptions, Place, Rewrapped, Seen, Shelf,
    StoreDestination, StoredArchive, Target, WriteSettings, check_rewrapped, free_beside, limited, rewrap,
};
use serde_json::json;

use crate::archives;
use crate::console::bytes;
use crate::copying::Copying;
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore rewrap shop.zip --to age1...                  shop.zip.age beside it
  dumprestore rewrap latest --recipients-file team.txt      somebody has left the team
  dumprestore rewrap latest --remove-old                    to whom `archive.encryption` now says
  dumprestore rewrap shop.zip.age --decrypt -o shop.zip --identity key.txt

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
        let shelf = set.as_ref().map(|set| archives::shelf(session, set)).transpose()?;
        let new = self.target(shelf.as_ref(), &old, to.is_some())?;
        let cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Ends)?;
        let remove_old = self.remove_old;
        let told = to.as_ref().map_or_else(|| "decrypted".to_owned(), |to| format!("encrypted to {to}"));
        let mut writing = WriteSettings::default();
        writing.encryption = to;
        writing.bandwidth = shelf.as_ref().and_then(|shelf| shelf.settings().bandwidth);
        archive.archive().manifest().set.clone_into(&mut writing.set);
        let mut destination = StoreDestination::new(vec![new.clone()], writing.clone(), cancel.clone());
        if let (Some(set), Place::Object(_)) = (&set, &new.place) {
            destination = archives::noted(session, set, destination)?;
        }
        let progress = Copying::new(session.observer(), archive.archive().bytes());
        let work = tokio::task::spawn_blocking(move || {
            let new = new.place;
            let job = Job { archive: &archive, writing: &writing, cancel: &cancel, progress: &progress };
            let size = job.write(&new, &destination, remove_old)?;
            let stays = seen.stays_as_version(&old);
            if remove_old {
                seen.remove(&old)?;
            }
            Ok::<_, Error>((old, new, size, stays))
        });
        let (old, new, size, stays) =
            work.await.map_err(|error| Error::defect("rewrapping panicked").with_source(error))??;
        session.console.print(new.shown())?;
        let removed = match (remove_old, stays) {
            (false, _) => "",
            (true, false) => "; the old one is removed",
            (true, true) => "; the old one is removed, and stays in the bucket as an older version",
        };
        if remove_old {
            tell_others(session, shelf.as_ref(), &old);
        }
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

impl Rewrap {
    /// Where the new one goes.
    fn target(&self, shelf: Option<&Shelf>, old: &Place, encrypted: bool) -> Result<Target> {
        let Some(output) = &self.output else {
            let mut target = Target::new(free_beside(old, encrypted)?);
            // Beside the old one, as whatever goes there.
            let around = shelf.filter(|_| old.local().is_none()).and_then(|shelf| shelf.place_of(old));
            target.part_size = around.and_then(|place| place.part_size);
            return Ok(target);
        };
        let name = output.to_string_lossy();
        match (Place::is_url(&name), shelf) {
            (false, _) => Ok(Target::new(Place::File(output.clone()))),
            (true, Some(shelf)) => {
                let place = shelf.set_place_at(&name)?;
                let mut target = Target::new(place.place);
                target.part_size = place.part_size;
                Ok(target)
            }
            (true, None) => {
                let here = crate::env::current_folder()?;
                Place::from_url(&name, &BucketOptions::default(), &here).map(Target::new)
            }
        }
    }
}

/// Whoever could decrypt the old one can still decrypt these.
fn tell_others(session: &Session, shelf: Option<&Shelf>, old: &Place) {
    for other in shelf.into_iter().flat_map(|shelf| shelf.others_of(old)) {
        match other {
            Ok(other) => session.console.warn(
                format_args!(
                    "a copy of the old archive stays, for those who could decrypt it before: `{other}`"
                ),
                Some("rewrap it as well, or remove it and `push` the new one"),
            ),
            Err(error) => session.console.warn(
                format_args!("a copy of the old archive may be where it can't be looked for: {error}"),
                error.hint(),
            ),
        }
    }
}

/// An archive that is written anew.
struct Job<'a> {
    archive: &'a OpenArchive,
    writing: &'a WriteSettings,
    cancel: &'a Cancel,
    progress: &'a Copying,
}

impl Job<'_> {
    /// Writes it, and reads back what is there: of an object its end only, unless the old one is to go. Gives the bytes of
    /// content.
    fn write(&self, new: &Place, destination: &StoreDestination, read_back: bool) -> Result<u64> {
        match new {
            Place::File(path) => {
                let output = FileOutput::create(path, Existing::Keep).map_err(|error| {
                    let hint = error.hint_text().unwrap_or("name another file").to_owned();
                    Error::environment(error.to_string()).with_hint(hint)
                })?;
                let written = self.through(limited(Box::new(output), self.writing, self.cancel))?;
                let stored = std::fs::File::open(path)
                    .map_err(|error| Error::io("can't read back the new archive", error))?;
                check_rewrapped(&stored, &written, self.cancel)?;
                Ok(written.content)
            }
            Place::Object(object) => {
                // Encrypted here, so that what the store is given is what is counted and compared.
                let written = self.through(destination.raw(self.writing.encryption.is_some())?)?;
                match destination.finished().into_iter().find(|copy| copy.outcome != CopyOutcome::Verified) {
                    None => {
                        if read_back {
                            check_rewrapped(&StoredArchive::open(object)?, &written, self.cancel)?;
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

    fn through(&self, output: Box<dyn Output>) -> Result<Rewrapped> {
        let encryption = self.writing.encryption.as_ref();
        rewrap(self.archive.archive(), encryption, output, self.cancel, &|done, _| self.progress.done(done))
    }
}
