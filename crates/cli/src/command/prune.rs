//! `prune`.

use std::fmt::Write;
use std::io::IsTerminal;

use clap::Args;
use dumprestore::{Cancel, Error, Result};
use dumprestore_store::{Keep, PrunePlan, Span};
use serde_json::json;

use crate::archives;
use crate::console::{bytes, counted};
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore prune --dry-run             what would go, and why the rest stays
  dumprestore prune --yes                 by `archive.keep`
  dumprestore prune --last 7 --daily 14 --weekly 8 --yes

Each place is judged by itself. Only archives are judged that are called as `archive.name` says, and whose manifest names the set: what somebody put aside under another name stays. Only good archives count: a streak of failed, degraded or partial ones pushes no good one out, and the newest good one of the set stays whatever is asked. What can't be read stays, and the command ends with 3; so does what the store has locked. Uploads of this set that were begun more than seven days ago and never completed are removed as well. In a bucket with versions an archive that goes leaves a delete marker: its lifecycle rules free the space.";

/// Remove archives that are not wanted any more
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Prune {
    #[command(flatten)]
    keep: KeepArguments,
    /// Only show what would go
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
}

/// What stays; if nothing of it is given, `archive.keep` says it.
#[derive(Debug, Args)]
struct KeepArguments {
    /// Keep the newest so many
    #[arg(long, value_name = "N")]
    last: Option<u32>,
    /// Keep the newest of each of the last so many hours
    #[arg(long, value_name = "N")]
    hourly: Option<u32>,
    /// Keep the newest of each of the last so many days
    #[arg(long, value_name = "N")]
    daily: Option<u32>,
    /// Keep the newest of each of the last so many weeks
    #[arg(long, value_name = "N")]
    weekly: Option<u32>,
    /// Keep the newest of each of the last so many months
    #[arg(long, value_name = "N")]
    monthly: Option<u32>,
    /// Keep the newest of each of the last so many years
    #[arg(long, value_name = "N")]
    yearly: Option<u32>,
    /// Keep all that are at most so much older than the newest good one, such as `30d`
    #[arg(long, value_name = "TIME", value_parser = span)]
    within: Option<Span>,
}

fn span(text: &str) -> Result<Span, String> {
    text.parse::<Span>().map_err(|error| error.to_string())
}

impl KeepArguments {
    fn keep(&self) -> Option<Keep> {
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        if counts.iter().all(Option::is_none) && self.within.is_none() {
            return None;
        }
        let mut keep = Keep::default();
        keep.last = self.last.unwrap_or_default();
        keep.hourly = self.hourly.unwrap_or_default();
        keep.daily = self.daily.unwrap_or_default();
        keep.weekly = self.weekly.unwrap_or_default();
        keep.monthly = self.monthly.unwrap_or_default();
        keep.yearly = self.yearly.unwrap_or_default();
        keep.within = self.within;
        Some(keep)
    }
}

impl Prune {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        let cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Ends)?;
        let set = session.load()?;
        let shelf = archives::shelf(session, &set)?;
        let keep = self.keep.keep().or(shelf.settings().keep).filter(|keep| !keep.is_silent());
        let keep = keep.ok_or_else(|| {
            Error::config("nothing says which archives are to be kept, so that none is removed")
                .with_hint("write `keep: { last: 7, daily: 14 }` under `archive`, or give `--last 7`")
        })?;
        let plans = shelf.plan_prune(&keep, &cancel)?;
        let shown = render(&plans);
        if self.dry_run || plans.iter().all(PrunePlan::is_idle) {
            session.console.print(shown)?;
            return session.ended(undisturbed(&plans), &json!({ "dry_run": self.dry_run, "places": plans }));
        }
        session.console.show(shown);
        if !self.yes && !confirmed(session, &cancel).await? {
            session.console.note("nothing was removed");
            return session.ended(Exit::Failed, &json!({ "confirmed": false, "places": plans }));
        }
        let mut pruned = Vec::new();
        for plan in &plans {
            pruned.push(plan.perform(&cancel));
        }
        let failures = pruned.iter().flat_map(|pruned| &pruned.failed);
        failures.clone().for_each(|failed| {
            session
                .console
                .warn(format_args!("`{}` could not be removed: {}", failed.name, failed.why), None);
        });
        let exit = if failures.count() == 0 { undisturbed(&plans) } else { Exit::Degraded };
        let removed = pruned.iter().map(|pruned| pruned.removed.len() as u64).sum();
        let freed = pruned.iter().map(|pruned| pruned.bytes).sum();
        session.console.note(format_args!("removed {} with {}", counted(removed, "archive"), bytes(freed)));
        cancel.check()?;
        session.ended(exit, &json!({ "places": plans, "pruned": pruned }))
    }
}

/// What can't be read is not judged, and stays for ever: somebody has to know.
fn undisturbed(plans: &[PrunePlan]) -> Exit {
    let knows_all = plans.iter().all(|plan| plan.unreadable.is_empty() && plan.unlisted.is_none());
    if knows_all { Exit::Ok } else { Exit::Degraded }
}

async fn confirmed(session: &Session, cancel: &Cancel) -> Result<bool> {
    let somebody = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !somebody || session.console.is_json() {
        return Err(Error::config("archives are about to be removed, and there is nobody to ask")
            .with_hint("look at it with `--dry-run`, then say `--yes`"));
    }
    session.console.ask("type `yes` to remove: ");
    Ok(super::restore::answer(cancel).await?.trim() == "yes")
}

fn render(plans: &[PrunePlan]) -> String {
    let mut text = String::new();
    for plan in plans {
        let _ = writeln!(text, "{}", plan.place);
        let width =
            plan.archives.iter().map(|judged| judged.judgement.name.chars().count()).max().unwrap_or(0);
        for judged in &plan.archives {
            let what = if judged.judgement.ruling.keeps() { "keep  " } else { "remove" };
            let (name, ruling) = (&judged.judgement.name, &judged.judgement.ruling);
            let _ = writeln!(
                text,
                "  {what}  {name:<width$}  {}  {:>11}  {ruling}",
                archives::utc(judged.moment),
                bytes(judged.bytes)
            );
        }
        for unreadable in &plan.unreadable {
            let _ = writeln!(text, "  keep    {}: it can't be read: {}", unreadable.name, unreadable.why);
        }
        for upload in &plan.unfinished {
            let _ = writeln!(text, "  remove  {upload}: an upload that was never completed");
        }
        if let Some(why) = &plan.unlisted {
            let _ = writeln!(text, "  uploads that were never completed can't be listed: {why}");
        }
        if plan.archives.is_empty() && plan.unreadable.is_empty() && plan.unfinished.is_empty() {
            let _ = writeln!(text, "  no archives of this set");
        }
    }
    text
}
