//! `demo`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use dumprestore::{
    BackupSet, Cancel, ConfigOrigin, Destination, DumpOptions, DumpReport, Error, ErrorKind, OpenArchive,
    Overrides, RestoreFrom, RestoreOptions, Result,
};
use serde::Serialize;

use crate::console::{bytes, count, counted, seconds};
use crate::demo::{CONFIG, Count, Shop, Writers, Written};
use crate::exit::Exit;
use crate::session::{CONFIG as CONFIG_FILE, Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore demo            in a temporary folder, which is removed
  dumprestore demo /tmp/shop  in this folder, which is left to look around in";

const PRODUCTS: u32 = 800;
/// How long writers go on before the dump, so that it begins in the middle of things.
const WARM_UP: Duration = Duration::from_millis(700);

/// Make a small shop, dump it under live writes, break it, and restore it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Demo {
    /// A folder that is not there yet, or empty
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// What was seen.
#[derive(Serialize)]
struct Seen {
    folder: PathBuf,
    made: Count,
    dump: DumpReport,
    broken: Count,
    restored: Count,
}

impl Demo {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        match &self.folder {
            Some(folder) => {
                refuse_full(folder)?;
                let folder = crate::env::current_folder()?.join(folder);
                let ended = Story { session, folder: &folder }.tell().await?;
                session
                    .console
                    .print(format_args!("\nlook around: cd {} && dumprestore plan", folder.display()))?;
                Ok(ended)
            }
            None => {
                let folder = tempfile::Builder::new().prefix("dumprestore-demo-").tempdir();
                let folder = folder.map_err(|error| Error::io("can't make a temporary folder", error))?;
                let ended = Story { session, folder: folder.path() }.tell().await;
                folder.close().map_err(|error| Error::io("can't remove the temporary folder", error))?;
                ended
            }
        }
    }
}

fn refuse_full(folder: &Path) -> Result<()> {
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
        Ok(false) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(true) => {
            Err(Error::environment("the folder is not empty").with_context("folder", folder.display()))
        }
        Err(error) => Err(Error::io("can't use the folder", error).with_context("folder", folder.display())),
    }
}

struct Story<'a> {
    session: &'a Session,
    folder: &'a Path,
}

impl Story<'_> {
    async fn tell(&self) -> Result<Ended> {
        let cancel = crate::interrupt::watch(&self.session.console, crate::interrupt::Second::Waits)?;
        let mut shop = Shop::create(self.folder, PRODUCTS)?;
        let made = shop.count()?;
        self.say(format_args!("a small shop in {}: {}", self.folder.display(), words(&made)))?;
        let set = self.set()?;
        let archive = self.folder.join("before-the-release.zip");
        let dump = self.dump(&set, &archive, &cancel).await?;
        let before = shop.count()?;
        shop.break_it()?;
        let broken = shop.count()?;
        self.say("\na bad release: a table is dropped, all prices are lost, every third picture is deleted")?;
        self.say(format_args!("   before: {}\n   after:  {}", words(&before), words(&broken)))?;
        self.restore(&set, &archive, cancel).await?;
        let restored = shop.count()?;
        self.say(format_args!("   {}", words(&restored)))?;
        let exit = self.verdict(&restored)?;
        let folder = self.folder.to_owned();
        self.session.ended(exit, &Seen { folder, made, dump, broken, restored })
    }

    fn say(&self, text: impl std::fmt::Display) -> Result<()> {
        self.session.console.print(text)
    }

    fn set(&self) -> Result<BackupSet> {
        let origin = ConfigOrigin::new(CONFIG_FILE, self.folder);
        let registry = crate::stock::stock_drivers();
        BackupSet::from_yaml(CONFIG, &origin, &registry, &self.session.environment, &Overrides::none())
    }

    async fn dump(&self, set: &BackupSet, archive: &Path, cancel: &Cancel) -> Result<DumpReport> {
        self.say(
            "two writers insert, delete, replace and overwrite products and their pictures, all the time",
        )?;
        let writers = Writers::start(self.folder)?;
        tokio::time::sleep(WARM_UP).await;
        let rate = writers.since_last();
        let rate = rate.writes as f64 / WARM_UP.as_secs_f64();
        self.say(format_args!(
            "\n$ dumprestore dump -o before-the-release.zip     (under {rate:.0} writes a second)"
        ))?;
        let mut options = DumpOptions::default();
        options.observer = self.session.observer();
        options.cancel = cancel.clone();
        let begun = Instant::now();
        let dumped = dumprestore::dump(set, Destination::new_file(archive), options).await;
        let took = begun.elapsed();
        let written = writers.since_last();
        writers.stop()?;
        let report = dumped?;
        self.say(summary(&report, took, written))?;
        Ok(report)
    }

    async fn restore(&self, set: &BackupSet, archive: &Path, cancel: Cancel) -> Result<()> {
        self.say("\n$ dumprestore restore before-the-release.zip --yes")?;
        let from = RestoreFrom::Archive(OpenArchive::open(archive)?);
        let mut options = RestoreOptions::default();
        options.observer = self.session.observer();
        options.cancel = cancel;
        let begun = Instant::now();
        dumprestore::restore(set, &from, &options).await?;
        self.say(format_args!("   restored in {}, all of it at once", seconds(begun.elapsed())))
    }

    fn verdict(&self, restored: &Count) -> Result<Exit> {
        if restored.dangling + restored.torn > 0 || restored.purchases.is_none() {
            return Err(Error::new(
                ErrorKind::Dangling,
                "the restored shop is not coherent: this must never happen",
            )
            .with_hint("please report it, with the output of this command"));
        }
        self.say("   nothing dangles, nothing is torn: everything is as it was at one moment of the dump")?;
        Ok(Exit::Ok)
    }
}

fn summary(report: &DumpReport, took: Duration, written: Written) -> String {
    let certified: u64 = report.edges.iter().filter(|edge| edge.certified).map(|edge| edge.checked).sum();
    format!(
        "   dumped in {}, during which {} went on, the slowest in {}\n   {} certified in {}; the archive has {}",
        seconds(took),
        counted(written.writes, "write"),
        seconds(written.longest),
        counted(certified, "reference"),
        counted(report.cuts as u64, "cut"),
        bytes(report.bytes),
    )
}

fn words(shop: &Count) -> String {
    let purchases = match shop.purchases {
        Some(purchases) => counted(purchases, "purchase"),
        None => "no table of purchases".to_owned(),
    };
    format!(
        "{}, {purchases}, {} of {}; {} dangling, {} torn",
        counted(shop.products, "product"),
        counted(shop.pictures, "picture"),
        bytes(shop.picture_bytes),
        count(shop.dangling),
        count(shop.torn),
    )
}
