//! `dump`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use dumprestore::archive::{Existing, StreamOutput};
use dumprestore::{Cancel, CopyOutcome, Destination, DumpOptions, DumpOutcome, DumpReport, Error, Result};
use dumprestore_store::{Place, Shelf, StoreDestination, Target};

use crate::archives::{self, Output};
use crate::console::{bytes, counted, seconds};
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore dump                    to `archive.to`, as <set>-<time>.zip
  dumprestore dump -o before-2.0.zip  into this file
  dumprestore dump -o /backups/       into this folder, as <set>-<time>.zip
  dumprestore dump -o s3://backups/shop  into this bucket, below that prefix, without a local copy
  dumprestore dump -o - | ssh host 'cat > shop.zip'
  dumprestore dump --only db          one node, and all below it

Everything is dumped as of one moment, while the application goes on, and every declared reference is checked on it. The archive appears under its name only once it is complete; its path is printed on standard output. Without `-o` and `archive.to`, it goes into the folder of the configuration file.";

/// Dump the set into one archive
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Dump {
    /// The archive: a file, a folder, the URL of a store, or `-` for standard output
    #[arg(short, long, value_name = "FILE|FOLDER|URL|-")]
    output: Option<PathBuf>,
    /// Only this node, and all below it; may be given several times
    #[arg(long, value_name = "NODE")]
    only: Vec<String>,
    /// Replace the archive if there is one of that name
    #[arg(long)]
    force: bool,
    /// What `{profile}` stands for in names of archives [default: `full`, or `part` with `--only`]
    #[arg(long, value_name = "NAME", value_parser = profile)]
    profile: Option<String>,
}

impl Dump {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        let console = &session.console;
        let set = session.load()?;
        let begun = Instant::now();
        let cancel = crate::interrupt::watch(console, crate::interrupt::Second::Ends)?;
        let shelf = archives::shelf(session, &set)?;
        let profile = self.profile.as_deref().unwrap_or(if self.only.is_empty() { "full" } else { "part" });
        let output = archives::output(&shelf, self.output.as_deref(), profile)?;
        let destination = self.destination(session, &shelf, output, &cancel)?;
        let mut options = DumpOptions::default();
        options.only = self.only;
        options.observer = session.observer();
        options.cancel = cancel;
        let report = dumprestore::dump(&set, destination, options).await?;
        match &report.copies[..] {
            [] => report.archive.iter().try_for_each(|path| console.print(path))?,
            copies => {
                let there = copies.iter().filter(|copy| copy.outcome != CopyOutcome::Failed);
                there.into_iter().try_for_each(|copy| console.print(&copy.place))?;
            }
        }
        console.note(summary(&report, begun));
        tell_dangling(session, &report);
        session.ended(report.outcome, &report)
    }
}

impl Dump {
    fn destination(
        &self,
        session: &Session,
        shelf: &Shelf,
        output: Output,
        cancel: &Cancel,
    ) -> Result<Destination> {
        let targets = match output {
            Output::Places(targets) => targets,
            Output::Stdout => return to_stdout(session, shelf, cancel),
        };
        for path in targets.iter().filter_map(|target| target.place.local()) {
            self.refuse_what_is_there(path)?;
        }
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        if let [Target { place: Place::File(path), .. }] = &targets[..]
            && archives::is_plain(shelf.settings())
        {
            return Ok(Destination::File { path: path.clone(), existing });
        }
        let mut writing = archives::writing(shelf);
        writing.existing = existing;
        Ok(Destination::Elsewhere(Box::new(StoreDestination::new(targets, writing, cancel.clone()))))
    }

    fn refuse_what_is_there(&self, path: &Path) -> Result<()> {
        let shown = path.display();
        match path.metadata() {
            // A device would be replaced by a file of its name.
            Ok(there) if !there.is_file() => {
                Err(Error::environment(format!("`{shown}` is there, and is not a file"))
                    .with_hint("name a file or a folder, or write to standard output with `-o -`"))
            }
            Ok(_) if !self.force => Err(Error::environment(format!("`{shown}` is there already"))
                .with_hint("name another file, or replace this one with `--force`")),
            _ => Ok(()),
        }
    }
}

fn to_stdout(session: &Session, shelf: &Shelf, cancel: &Cancel) -> Result<Destination> {
    if std::io::stdout().is_terminal() {
        return Err(Error::config("an archive is not for a terminal")
            .with_hint("send it into a file or a pipe: `dumprestore dump -o - > FILE`"));
    }
    session.console.give_up_stdout();
    let stream = archives::StdoutStream::new()?;
    let writing = archives::writing(shelf);
    let output = dumprestore_store::limited(Box::new(StreamOutput::new(stream)), &writing, cancel);
    match &writing.encryption {
        None => Ok(Destination::Output(output)),
        Some(encryption) => encryption.wrap(output).map(Destination::Output),
    }
}

/// A part of a name.
fn profile(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match !text.is_empty() && text.chars().all(fine) && !text.starts_with('.') {
        true => Ok(text.to_owned()),
        false => Err("it is made of ASCII letters, digits, `_`, `-` and `.`".to_owned()),
    }
}

fn summary(report: &DumpReport, begun: Instant) -> String {
    let content: u64 = report.nodes.iter().map(|node| node.bytes).sum();
    let certified: u64 = report.edges.iter().filter(|edge| edge.certified).map(|edge| edge.checked).sum();
    let word = match report.outcome {
        DumpOutcome::Ok => "ok",
        DumpOutcome::Degraded => "degraded",
        DumpOutcome::Dangling => "dangling references",
    };
    let mut text = format!(
        "{word}: {} with {}, in an archive of {}, after {}",
        counted(report.nodes.len() as u64, "node"),
        bytes(content),
        bytes(report.bytes),
        seconds(begun.elapsed()),
    );
    if certified > 0 {
        text += &format!("; {} certified", counted(certified, "reference"));
    }
    text
}

fn tell_dangling(session: &Session, report: &DumpReport) {
    const SHOWN: usize = 5;
    for edge in report.edges.iter().filter(|edge| edge.dangling.total > 0) {
        let count = counted(edge.dangling.total, "reference");
        let verb = if edge.dangling.total == 1 { "dangles" } else { "dangle" };
        let examples: Vec<_> = edge.dangling.keys.iter().take(SHOWN).map(String::as_str).collect();
        let text = format!("{}: {count} to `{}` {verb}: {}", edge.from, edge.to, examples.join(", "));
        let hint = match report.verdict.as_str() {
            "known" => "they dangle in the application's own data; `dumprestore inspect` lists them",
            "degraded" => {
                "the application changed too much for any cut to be certified; `dumprestore inspect` lists them"
            }
            _ => "`dumprestore inspect` lists them",
        };
        session.console.warn(text, Some(hint));
    }
}
