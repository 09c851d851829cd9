//! `diff`.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use dumprestore::archive::Status;
use dumprestore::{Error, OpenArchive, RestoreFrom, RestoreOptions, RestorePlan, Result};
use dumprestore_store::{ArchiveDiff, EdgeDiff, NodeDiff, PartChange, Presence, Sides};
use serde_json::json;

use crate::archives;
use crate::console::{bytes, count, counted};
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore diff before-2.0.zip after-2.0.zip     between two archives
  dumprestore diff shop@2026-01-31 latest --most 1000
  dumprestore diff latest                           between an archive and the live data

Of two archives only the manifests are read: a part is the same if its SHA-256 is. Tables of databases are parts as they were dumped, in one or more. Against the live data the drivers count what a restore of the archive would create, replace and remove. The exit code does not tell whether something changed; `--json` does.";

/// Say what changed between two archives, or between one and the live data
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Diff {
    /// The older archive: a file, a URL, a name, `latest` or `SET@TIME`
    from: PathBuf,
    /// The newer one; without it, the live data
    to: Option<PathBuf>,
    /// So many changed parts of each node are named
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    most: usize,
}

impl Diff {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        match &self.to {
            Some(to) => {
                let (from, to) = (archives::open(session, &self.from)?, archives::open(session, to)?);
                self.between(session, from, to).await
            }
            None => self.with_live(session).await,
        }
    }

    async fn between(&self, session: &Session, from: OpenArchive, to: OpenArchive) -> Result<Ended> {
        let cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Ends)?;
        let head = format!("from {}\nto   {}\n", archives::describe(&from), archives::describe(&to));
        let (most, labels) = (self.most, (from.label().to_owned(), to.label().to_owned()));
        let work = tokio::task::spawn_blocking(move || {
            dumprestore_store::diff(from.archive(), to.archive(), most, &cancel)
        });
        let found = work.await.map_err(|error| Error::defect("comparing panicked").with_source(error))??;
        session.console.print((head + &render(&found)).trim_end())?;
        let report = json!({ "from": labels.0, "to": labels.1, "same": found.is_same(), "changes": found });
        session.ended(Exit::Ok, &report)
    }

    async fn with_live(&self, session: &Session) -> Result<Ended> {
        let set = session.load()?;
        let archive = archives::open_for(session, &set, &self.from)?;
        let label = archive.label().to_owned();
        let head = format!("from {}\nto   the live data\n", archives::describe(&archive));
        let mut options = RestoreOptions::default();
        options.observer = session.observer();
        options.cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Ends)?;
        let plan = dumprestore::plan_restore(&set, &RestoreFrom::Archive(archive), &options).await?;
        session.console.print((head + &render_live(&plan)).trim_end())?;
        let same = plan.steps.iter().all(|step| {
            step.changes
                .as_ref()
                .is_some_and(|changes| changes.create + changes.replace + changes.remove == 0)
        });
        let nodes: Vec<_> = plan
            .steps
            .iter()
            .map(|step| json!({ "node": step.node, "driver": step.driver, "target": step.target, "restore": step.changes }))
            .collect();
        let report =
            json!({ "from": label, "to": null, "same": same, "nodes": nodes, "warnings": plan.warnings });
        session.ended(Exit::Ok, &report)
    }
}

/// What a restore would do is what has happened since, the other way round.
fn render_live(plan: &RestorePlan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let Some(changes) = &step.changes else { continue };
        let _ = writeln!(
            text,
            "{}  {} in the archive only, {} only live, {} different or not known to be equal, {} equal ({})",
            step.node,
            count(changes.create),
            count(changes.remove),
            count(changes.replace),
            count(changes.unchanged),
            changes.unit,
        );
        for name in &changes.removes {
            let _ = writeln!(text, "  + {name}");
        }
        let unnamed = changes.remove.saturating_sub(changes.removes.len() as u64);
        if unnamed > 0 && !changes.removes.is_empty() {
            let _ = writeln!(text, "  + and {} more", count(unnamed));
        }
    }
    text
}

fn render(found: &ArchiveDiff) -> String {
    let mut text = String::new();
    for node in &found.nodes {
        render_node(&mut text, node);
    }
    for edge in &found.references {
        render_edge(&mut text, edge);
    }
    if found.is_same() {
        text += "the parts of all nodes are the same\n";
    }
    text
}

fn render_node(text: &mut String, node: &NodeDiff) {
    let parts = &node.parts;
    let told = match node.presence {
        Presence::Same => format!("the same: {}", counted(parts.same, "part")),
        Presence::Added => {
            format!("only in the newer one: {} with {}", counted(parts.added, "part"), bytes(parts.bytes.to))
        }
        Presence::Removed => {
            format!(
                "only in the older one: {} with {}",
                counted(parts.removed, "part"),
                bytes(parts.bytes.from)
            )
        }
        Presence::Changed => format!(
            "parts: {} added, {} removed, {} changed, {} the same",
            count(parts.added),
            count(parts.removed),
            count(parts.changed),
            count(parts.same)
        ),
    };
    let _ = writeln!(text, "{}  {told}", node.node);
    if let Some(Sides { from, to }) = &node.driver {
        let _ = writeln!(text, "  driver: {from} -> {to}");
    }
    if let Sides { from: Some(from), to: Some(to) } = node.status
        && from != to
    {
        let _ = writeln!(text, "  dumped: {} -> {}", status(from), status(to));
    }
    if node.presence == Presence::Changed {
        sizes(text, node);
        changes(text, node);
    }
    for fact in &node.facts {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let _ = writeln!(text, "  {}: {} -> {}", fact.name, shown(&fact.from), shown(&fact.to));
    }
}

fn sizes(text: &mut String, node: &NodeDiff) {
    let Sides { from, to } = node.parts.bytes;
    let _ = writeln!(text, "  content: {} -> {}", bytes(from), bytes(to));
    if let Sides { from: Some(from), to: Some(to) } = node.parts.rows {
        let _ = writeln!(text, "  rows: {} -> {}", count(from), count(to));
    }
}

fn changes(text: &mut String, node: &NodeDiff) {
    for change in &node.parts.some {
        let (mark, name) = match change {
            PartChange::Added(name) => ('+', name),
            PartChange::Removed(name) => ('-', name),
            PartChange::Changed(name) => ('~', name),
            _ => continue,
        };
        let _ = writeln!(text, "  {mark} {name}");
    }
    let more = node.parts.changes().saturating_sub(node.parts.some.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "  and {} more: `--most` names them", count(more));
    }
}

fn render_edge(text: &mut String, edge: &EdgeDiff) {
    let verdict = |certified: bool, dangling: u64, checked: u64| match (certified, dangling) {
        (true, _) => format!("certified, {}", counted(checked, "key")),
        (false, 0) => "not certified".to_owned(),
        (false, dangling) => format!("{} of {} dangle", count(dangling), counted(checked, "key")),
    };
    let told = match edge.presence {
        Presence::Added => "only in the newer one".to_owned(),
        Presence::Removed => "only in the older one".to_owned(),
        _ => format!(
            "{} -> {}",
            verdict(edge.certified.from, edge.dangling.from, edge.checked.from),
            verdict(edge.certified.to, edge.dangling.to, edge.checked.to)
        ),
    };
    let _ = writeln!(text, "reference {} -> {}  {told}", edge.from, edge.to);
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Degraded => "degraded",
        Status::Failed => "failed",
    }
}
