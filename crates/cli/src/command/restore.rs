//! `restore`.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use dumprestore::{
    BackupSet, Cancel, Content, Elsewhere, Error, Extras, RestoreFrom, RestoreOptions, RestoreOutcome,
    RestorePlan, RestoreReport, Result,
};
use dumprestore_store::StoreDestination;
use serde_json::json;

use super::Target;
use crate::archives::{self, SafetyOutput};
use crate::console::{bytes, counted, seconds};
use crate::exit::Exit;
use crate::session::{Ended, Session};

/// The state that the last reversible restore has kept.
const PREVIOUS: &str = ":previous";

const EXAMPLES: &str = "\
Examples:
  dumprestore restore latest                   shows a plan, and asks
  dumprestore restore shop.zip --dry-run       shows the plan only
  dumprestore restore shop.zip --yes           does not ask: for scripts
  dumprestore restore shop.zip --only uploads  one node, and all below it
  dumprestore restore shop.zip --only db:orders  one thing of a node, where its driver can
  dumprestore restore shop.zip --in-place=db   with no second copy of that node beside it
  dumprestore restore shop.zip --map db=/tmp/copy.db --only db
  dumprestore restore latest --reversible      keeps the old state...
  dumprestore restore :previous                ...and swaps it back

Everything is staged and checked beside the live data before the first swap, and any failure puts back what was there. After a crash, `dumprestore recover` does. Extras are what a target has and the archive does not.";

/// Restore the set from an archive: all of it, or nothing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Restore {
    /// The archive: a file, a URL, a name, `latest`, `SET@TIME`, or `:previous`
    archive: PathBuf,
    #[command(flatten)]
    choice: Choice,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// Only show the plan
    #[arg(long, conflicts_with_all = ["yes", "safety_dump"])]
    dry_run: bool,
    /// Keep the old state of the whole set: `restore :previous` swaps it back
    #[arg(long)]
    reversible: bool,
    /// Dump the present state first [default: into `before-restore` below the places of archives]
    #[arg(long, value_name = "FILE|URL", num_args = 0..=1, require_equals = true)]
    #[expect(
        clippy::option_option,
        reason = "clap's way to tell an option without value from one that is not there"
    )]
    safety_dump: Option<Option<PathBuf>>,
    /// Go on if the present state can't be dumped whole: what there is of it is kept, and the rest is lost
    #[arg(long, requires = "safety_dump")]
    best_effort: bool,
}

/// What of an archive is restored, and where to.
#[derive(Debug, Args)]
pub(crate) struct Choice {
    /// Only this node, and all below it, or only a thing of it, such as a table; may be given several times
    #[arg(long, value_name = "NODE[:THING]")]
    pub(crate) only: Vec<String>,
    /// Only definitions, without data
    #[arg(long, conflicts_with = "data_only")]
    pub(crate) schema_only: bool,
    /// Only data, into definitions that are there
    #[arg(long)]
    pub(crate) data_only: bool,
    /// Restore into the target itself, with no second copy beside it: all nodes, or those that are named. The plan says what that costs
    #[arg(long, value_name = "NODE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) in_place: Vec<String>,
    /// Restore a node to another place; may be given several times
    #[arg(long, value_name = "NODE=TARGET")]
    pub(crate) map: Vec<Target>,
    /// What becomes of things that a target has and the archive does not: if nothing is said `remove`, but `keep` where files could not be dumped, and `fail` at a target of `--map`
    #[arg(long, value_name = "POLICY")]
    pub(crate) extras: Option<ExtrasPolicy>,
    /// Take an archive of a set of another name
    #[arg(long)]
    pub(crate) other_set: bool,
}

/// What becomes of things that a target has and the archive does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExtrasPolicy {
    Fail,
    Keep,
    Remove,
}

impl Choice {
    pub(crate) fn options(&self, session: &Session) -> RestoreOptions {
        let mut options = RestoreOptions::default();
        options.only.clone_from(&self.only);
        options.content = content(self.schema_only, self.data_only);
        // Said without a node it means all of them.
        options.in_place = (!self.in_place.is_empty()).then(|| {
            let named = self.in_place.iter().all(|node| !node.is_empty());
            if named { self.in_place.clone() } else { Vec::new() }
        });
        options.extras = self.extras.map(|policy| match policy {
            ExtrasPolicy::Fail => Extras::Fail,
            ExtrasPolicy::Keep => Extras::Keep,
            ExtrasPolicy::Remove => Extras::Remove,
        });
        options.other_set = self.other_set;
        // A place that was named by hand is not one that a restore has made: nothing there goes unasked. Values that
        // name no place were refused when the set was loaded.
        if self.extras.is_none() {
            let mapped = self.map.iter().filter_map(|target| target.parts().ok());
            options.extras_of = mapped.map(|(node, _)| (node, Extras::Fail)).collect();
        }
        options.observer = session.observer();
        options
    }
}

/// What the two flags mean, of which there is one at most.
pub(crate) fn content(schema_only: bool, data_only: bool) -> Content {
    match (schema_only, data_only) {
        (true, _) => Content::SchemaOnly,
        (_, true) => Content::DataOnly,
        _ => Content::All,
    }
}

impl Restore {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        let cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Waits)?;
        let set = session.load_with(&self.choice.map)?;
        let (from, passed_over) = if self.archive.as_os_str() == PREVIOUS {
            (RestoreFrom::Previous, None)
        } else {
            let (archive, passed_over) = archives::find(session, &set, &self.archive)?;
            (RestoreFrom::Archive(archive), passed_over)
        };
        let mut options = self.choice.options(session);
        options.reversible = self.reversible;
        options.cancel = cancel;
        if self.dry_run {
            warn_if_interrupted(session, &set);
            let mut plan = dumprestore::plan_restore(&set, &from, &options).await?;
            plan.warnings.extend(passed_over);
            session.console.print(about(&from, &plan))?;
            session.console.print(&plan)?;
            return session.ended(Exit::Ok, &json!({ "dry_run": true, "plan": plan }));
        }
        refuse_forbidden(&set)?;
        // What a crash has left would be in the way of a plan.
        dumprestore::recover(&set, session.observer()).await?;
        self.set_safety_dump(session, &set, &mut options)?;
        options.safety_dump_best_effort = self.best_effort;
        let mut plan = dumprestore::plan_restore(&set, &from, &options).await?;
        if let Some(passed_over) = passed_over {
            // The run does not know of it.
            if !self.shows_plan(session) {
                session.console.warn(&passed_over, None);
            }
            plan.warnings.push(passed_over);
        }
        if !self.confirmed(session, &from, &plan, &options.cancel).await? {
            session.console.note("nothing was changed");
            return session.ended(Exit::Failed, &json!({ "confirmed": false, "plan": plan }));
        }
        let begun = Instant::now();
        let report = dumprestore::restore(&set, &from, &options).await?;
        session.console.note(summary(&plan, &report, begun));
        session.ended(report.outcome, &report)
    }

    fn set_safety_dump(
        &self,
        session: &Session,
        set: &BackupSet,
        options: &mut RestoreOptions,
    ) -> Result<()> {
        let Some(asked) = &self.safety_dump else { return Ok(()) };
        let shelf = archives::shelf(session, set)?;
        match archives::safety_output(&shelf, asked.as_deref())? {
            SafetyOutput::File(path) => options.safety_dump = Some(path),
            SafetyOutput::Places(targets) => {
                let (settings, cancel) = (archives::writing(&shelf), options.cancel.clone());
                options.safety_dump_elsewhere = Some(Arc::new(move || {
                    let destination =
                        StoreDestination::new(targets.clone(), settings.clone(), cancel.clone());
                    Ok(Box::new(destination) as Box<dyn Elsewhere>)
                }));
            }
        }
        Ok(())
    }

    /// Whether somebody sees the plan: who is asked does.
    fn shows_plan(&self, session: &Session) -> bool {
        !self.yes || session.console.shows_notes()
    }

    /// Shows the plan, and asks.
    async fn confirmed(
        &self,
        session: &Session,
        from: &RestoreFrom,
        plan: &RestorePlan,
        cancel: &Cancel,
    ) -> Result<bool> {
        let console = &session.console;
        let shown = format!("{}\n{}", about(from, plan), plan.to_string().trim_end());
        if self.shows_plan(session) {
            // They stand in it; the run tells them again.
            plan.warnings.iter().for_each(|warning| console.already_told(warning));
        }
        if self.yes {
            console.note(shown);
            return Ok(true);
        }
        console.show(shown);
        let somebody = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if !somebody || console.is_json() {
            return Err(Error::config("a restore replaces data, and there is nobody to ask")
                .with_hint("look at the plan with `--dry-run`, then say `--yes`"));
        }
        console.ask("type `yes` to restore: ");
        Ok(answer(cancel).await?.trim() == "yes")
    }
}

/// Says so if the next run will first have to end an interrupted one.
pub(crate) fn warn_if_interrupted(session: &Session, set: &BackupSet) {
    if dumprestore::is_interrupted(set) {
        let text = "a run of this set is under way, or was interrupted";
        session.console.warn(text, Some("`dumprestore recover` ends what an interrupted one has left"));
    }
}

/// A line from standard input, unless the run is to stop before it is there.
pub(crate) async fn answer(cancel: &Cancel) -> Result<String> {
    let (send, receive) = tokio::sync::oneshot::channel();
    // On a thread of its own, for which nobody waits: it may never see a line.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        // If nobody waits for the answer any more, it does not matter.
        let _ = send.send(read.map(|_| line));
    });
    let answer = tokio::select! {
        answer = receive => answer.map_err(|error| Error::defect("asking came to no end").with_source(error))?,
        () = cancel.cancelled() => return Err(Error::cancelled()),
    };
    answer.map_err(|error| Error::io("can't read the answer", error))
}

/// What is restored, and how old it is.
fn about(from: &RestoreFrom, plan: &RestorePlan) -> String {
    match (from, dumprestore::run_began(&plan.made_by)) {
        (RestoreFrom::Archive(archive), _) => archives::describe(archive),
        (_, Some(moment)) => format!("the state that was kept {}", archives::moment(moment)),
        (_, None) => "the state that was kept by the last reversible restore".to_owned(),
    }
}

/// Before anybody is asked: the engine refuses it as well.
fn refuse_forbidden(set: &BackupSet) -> Result<()> {
    if set.allow_restore() {
        return Ok(());
    }
    Err(Error::config(format!("the set `{}` does not allow restores", set.name())).with_hint(
        "`allow_restore: false` stands in its configuration; nothing on the command line overrides it",
    ))
}

fn summary(plan: &RestorePlan, report: &RestoreReport, begun: Instant) -> String {
    let content: u64 = report.nodes.iter().map(|node| node.bytes).sum();
    let word = match report.outcome {
        RestoreOutcome::Ok => "ok",
        RestoreOutcome::Degraded => "degraded",
        RestoreOutcome::Dangling => "dangling references",
    };
    let nodes = counted(report.nodes.len() as u64, "node");
    // What is put back from `:previous` is not read.
    let content = if content > 0 { format!(" with {}", bytes(content)) } else { String::new() };
    let mut text =
        format!("{word}: restored `{}`, {nodes}{content}, after {}", plan.set, seconds(begun.elapsed()));
    if let Some(path) = &report.safety_dump {
        text += &format!("\nthe state before is in {path}");
    }
    if report.kept_previous {
        text += "\nthe state before is kept: `dumprestore restore :previous` swaps it back";
    }
    text
}
