//! `check`.

use std::path::Path;

use clap::Args;
use dumprestore::driver::{Claim, Inspection, Problem};
use dumprestore::{BackupSet, Driver, Error, HookProblem, NodePath, Result, Severity};
use serde::Serialize;

use crate::archives;
use crate::console::{bytes, counted};
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore check
  dumprestore check -c staging.yaml --json

Exit code 1 says that a dump or a restore would fail; warnings alone don't.";

/// Look at the configuration and every source, and say what is in the way
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {}

/// What was found.
#[derive(Serialize)]
struct Found {
    set: String,
    nodes: Vec<Looked>,
    hooks: Vec<HookProblem>,
    /// What of the set itself is in the way.
    problems: Vec<Problem>,
    notes: Vec<String>,
}

/// What was found on one node.
#[derive(Serialize)]
struct Looked {
    node: NodePath,
    driver: &'static str,
    target: String,
    inspection: Inspection,
}

impl Check {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        let set = session.load()?;
        let mut found = Found {
            set: set.name().to_owned(),
            nodes: Vec::new(),
            hooks: set.hook_problems(&session.environment),
            problems: set.look_at_state_folder().err().iter().map(as_problem).collect(),
            notes: set.notes().to_vec(),
        };
        found.problems.extend(archives::shelf(session, &set)?.look_at_places().iter().map(as_problem));
        for path in set.dump_order() {
            if let Some(driver) = set.node(path).and_then(|node| node.driver()) {
                found.nodes.push(look(path, &**driver).await);
            }
        }
        find_clashes(&mut found.nodes);
        find_what_lies_within(&set, &mut found.nodes);
        session.console.print(render(&found, session))?;
        super::restore::warn_if_interrupted(session, &set);
        let of_hooks = found.hooks.iter().map(|hook| &hook.problem);
        let problems = found.nodes.iter().flat_map(|node| &node.inspection.problems).chain(of_hooks);
        let problems = problems.chain(&found.problems);
        let exit = match problems.map(|problem| problem.severity).max() {
            None | Some(Severity::Warning) => Exit::Ok,
            Some(_) => Exit::Failed,
        };
        session.ended(exit, &found)
    }
}

async fn look(path: &NodePath, driver: &dyn Driver) -> Looked {
    let inspection = driver.inspect().await.unwrap_or_else(|error| {
        let mut inspection = Inspection::default();
        inspection.problems.push(as_problem(&error));
        inspection
    });
    Looked { node: path.clone(), driver: driver.kind(), target: driver.target(), inspection }
}

fn as_problem(error: &Error) -> Problem {
    let problem = Problem::error(error.to_string());
    match error.hint() {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    }
}

/// Two nodes that restore into one place.
fn find_clashes(nodes: &mut [Looked]) {
    for at in 1..nodes.len() {
        let (before, rest) = nodes.split_at_mut(at);
        let Some(node) = rest.first_mut() else { continue };
        let clashes = |other: &&Looked| {
            other.inspection.claims.iter().any(|a| node.inspection.claims.iter().any(|b| a.overlaps(b)))
        };
        if let Some(other) = before.iter().find(clashes) {
            let problem = Problem::no_restore(format!("`{}` restores into the same place", other.node));
            node.inspection.problems.push(problem.with_hint("give each its own target"));
        }
    }
}

/// Archives, or our own state, in what a restore would replace.
fn find_what_lies_within(set: &BackupSet, nodes: &mut [Looked]) {
    let archives = archives::local_places(set);
    let mut ours = vec![("the state folder", set.state_dir(), "`state`")];
    ours.extend(archives.iter().map(|path| ("the folder of archives", path.as_path(), "`archive.to`")));
    for node in nodes {
        for name in set.archive().into_iter().flat_map(|archive| &archive.elsewhere) {
            if node.inspection.claims.iter().any(|claim| holds_name(claim, name)) {
                let message =
                    format!("archives lie in what a restore replaces, and in what each dump holds ({name})");
                let hint = "set `archive.to` to another bucket or prefix";
                node.inspection.problems.push(Problem::no_restore(message).with_hint(hint));
            }
        }
        for (what, path, key) in &ours {
            if node.inspection.claims.iter().any(|claim| holds(claim, path)) {
                let message = format!("{what} lies in what a restore replaces ({})", path.display());
                let hint = format!("move it elsewhere with {key}");
                node.inspection.problems.push(Problem::no_restore(message).with_hint(hint));
            }
        }
    }
}

fn holds(claim: &Claim, path: &Path) -> bool {
    let Claim::Path(claimed) = claim else { return false };
    path.starts_with(claimed) || resolved(path).starts_with(claimed)
}

fn holds_name(claim: &Claim, name: &str) -> bool {
    if let Some(path) = name.strip_prefix("fs://") {
        return holds(claim, Path::new(path));
    }
    claim.holds_place(name)
}

/// With links resolved as far as it exists.
fn resolved(path: &Path) -> std::path::PathBuf {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(path), ..) => path,
        (Err(_), Some(parent), Some(name)) => resolved(parent).join(name),
        _ => path.to_owned(),
    }
}

fn render(found: &Found, session: &Session) -> String {
    let config = session.config().display();
    let mut text = format!("`{}` ({config}): {}\n", found.set, counted(found.nodes.len() as u64, "node"));
    for node in &found.nodes {
        let size = node.inspection.size.map(|size| format!(", about {}", bytes(size))).unwrap_or_default();
        let verdict = if node.inspection.problems.is_empty() { "ok" } else { "!!" };
        text += &format!("{verdict}  {} ({}) {}{size}\n", node.node, node.driver, node.target);
        node.inspection.problems.iter().for_each(|problem| text += &said(problem));
    }
    for hook in &found.hooks {
        let node = hook.node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
        text += &format!("!!  {}{node} (hook)\n{}", hook.hook, said(&hook.problem));
    }
    found.problems.iter().for_each(|problem| text += &format!("!!  the set\n{}", said(problem)));
    found.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
    text
}

fn said(problem: &Problem) -> String {
    let hint = problem.hint.as_ref().map(|hint| format!("    hint: {hint}\n")).unwrap_or_default();
    format!("    {}: {}\n{hint}", word(problem.severity), problem.message)
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::NoRestore => "a restore will fail",
        Severity::NoCertificate | Severity::NoDump => "a dump will fail",
        Severity::Error => "error",
    }
}
