//! `ls`.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::{Args, ValueEnum};
use dumprestore::{Error, Result};
use dumprestore_store::{Copies, Listed, Place, Verdict, parse_moment};
use serde_json::json;
use time::OffsetDateTime;

use crate::archives;
use crate::console::{ago, bytes, counted};
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore ls                      all archives of the set, wherever they are
  dumprestore ls --since 2026-01-01 --state good
  dumprestore ls --by place
  dumprestore ls s3://backups/shop    what lies there, of whatever set
  dumprestore ls --versions           also those that newer ones of the same name have replaced
  dumprestore ls --json | jq -r '.report.archives[].name'

Only what is complete is an archive; what looks like one and can't be read is told of, with exit code 3. Nothing of the content is read.";

/// List archives
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ls {
    /// A folder, or the URL of a store [default: the places of the set]
    place: Option<String>,
    /// Archives of this set [default: that of the configuration; all in a place that is named]
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// Archives of all sets
    #[arg(long, conflicts_with = "set")]
    all: bool,
    /// Of this moment or later
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Of this moment or earlier
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Those that turned out so
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// Under a heading for each of these
    #[arg(long, value_name = "WHAT")]
    by: Option<By>,
    /// Older versions of objects too, where a bucket keeps them: name one as `URL?version=ID`
    #[arg(long)]
    versions: bool,
}

/// How an archive turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Good,
    Partial,
    Degraded,
    Failed,
}

/// What archives are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Set,
    Place,
    Day,
    State,
}

impl Ls {
    pub(crate) fn run(self, session: &Session) -> Result<Ended> {
        let listed = match &self.place {
            Some(place) => archives::listed_at(session, place, self.versions)?,
            None => {
                let set = session.load()?;
                archives::shelf(session, &set)?.look(self.versions)
            }
        };
        let Listed { archives, unreadable, failed, .. } = listed;
        let is_unread = archives.is_empty() && !unreadable.is_empty();
        let archives = self.chosen(session, archives)?;
        let text = self.render(&archives);
        session.console.print(match (text.is_empty(), is_unread) {
            (false, _) => text,
            (true, false) => "no archives".to_owned(),
            (true, true) => "no archives that can be read".to_owned(),
        })?;
        for (place, error) in &failed {
            session.console.warn(format_args!("can't look into `{place}`: {error}"), error.hint());
        }
        for unusable in &unreadable {
            let (name, why) = (&unusable.name, &unusable.why);
            session.console.warn(format_args!("`{name}` is no archive that can be used: {why}"), None);
        }
        let exit = if failed.is_empty() && unreadable.is_empty() { Exit::Ok } else { Exit::Degraded };
        let failed: Vec<_> =
            failed.iter().map(|(place, error)| json!({ "place": place, "why": error.to_string() })).collect();
        session.ended(exit, &json!({ "archives": archives, "unreadable": unreadable, "failed": failed }))
    }

    fn chosen(&self, session: &Session, archives: Vec<Copies>) -> Result<Vec<Copies>> {
        let moment = |text: &Option<String>| text.as_deref().map(parse_moment).transpose();
        let (since, until) = (moment(&self.since)?, moment(&self.until)?);
        let set = match (&self.set, &self.place, self.all) {
            (Some(set), ..) => Some(set.clone()),
            (None, None, false) => Some(session.load()?.name().to_owned()),
            _ => None,
        };
        let is_chosen = |archive: &Copies| {
            set.as_ref().is_none_or(|set| archive.summary.set == *set)
                && since.is_none_or(|since| archive.summary.moment >= since)
                && until.is_none_or(|until| archive.summary.moment <= until)
                && self.state.is_none_or(|state| archive.verdict == verdict(state))
        };
        Ok(archives.into_iter().filter(is_chosen).collect())
    }

    fn render(&self, archives: &[Copies]) -> String {
        let mut groups: BTreeMap<String, Vec<&Copies>> = BTreeMap::new();
        for archive in archives {
            for heading in self.headings(archive) {
                groups.entry(heading).or_default().push(archive);
            }
        }
        let mut text = String::new();
        for (heading, archives) in groups {
            if !heading.is_empty() {
                let size = archives.iter().map(|archive| archive.bytes).sum();
                let _ = writeln!(
                    text,
                    "{heading} ({}, {})",
                    counted(archives.len() as u64, "archive"),
                    bytes(size)
                );
            }
            table(&mut text, &archives);
        }
        text
    }

    fn headings(&self, archive: &Copies) -> Vec<String> {
        match self.by {
            None => vec![String::new()],
            Some(By::Set) => vec![archive.summary.set.clone()],
            Some(By::Day) => vec![archive.summary.moment.to_offset(time::UtcOffset::UTC).date().to_string()],
            Some(By::State) => vec![archive.verdict.to_string()],
            Some(By::Place) => archive.copies.iter().map(|copy| copy.place.clone()).collect(),
        }
    }
}

fn table(text: &mut String, archives: &[&Copies]) {
    let width = archives.iter().map(|archive| archive.name.chars().count()).max().unwrap_or_default();
    let now = OffsetDateTime::now_utc();
    for archive in archives {
        let age = (now - archive.summary.moment).try_into().unwrap_or_default();
        let copies = match archive.copies.len() {
            1 => String::new(),
            several => format!("  {several} copies"),
        };
        let version = match archive.copies.iter().any(|copy| copy.superseded) {
            true => format!("  {}", archive.copies.first().map_or("", |copy| copy.archive.as_str())),
            false => String::new(),
        };
        let _ = writeln!(
            text,
            "{:<width$}  {}  {:>14}  {:>11}  {:<8}{copies}{version}",
            archive.name,
            archives::utc(archive.summary.moment),
            ago(age),
            bytes(archive.bytes),
            archive.verdict.to_string(),
        );
    }
}

fn verdict(state: State) -> Verdict {
    match state {
        State::Good => Verdict::Good,
        State::Partial => Verdict::Partial,
        State::Degraded => Verdict::Degraded,
        State::Failed => Verdict::Failed,
    }
}

/// A place that archives lie in.
pub(crate) fn refuse_archive(place: &Place) -> Result<()> {
    match place {
        Place::File(_) | Place::Object(_) => {
            Err(Error::config("this is an archive, and not a place of them")
                .with_context("archive", place.shown())
                .with_hint("`dumprestore inspect` shows what is in it"))
        }
        _ => Ok(()),
    }
}
