//! The plan of a restore: what would be done, in order, and what stands against it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_archive::Status;
use dumprestore_driver::{
    Changes, Claim, Driver, Error, ErrorKind, Extras, Inspection, NodePath, Result, Severity, StageContext,
    Undo, View,
};
use serde::Serialize;

use super::options::{OpenArchive, RestoreOptions};
use super::previous::Kept;
use crate::archived::Section;
use crate::inspection;
use crate::run::Run;
use crate::set::BackupSet;

/// As many entries of a ledger as a warning can bear.
const LEDGER_TOLD: usize = 5;

/// What a restore would do.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RestorePlan {
    /// The set.
    pub set: String,
    /// What is restored: an archive's name, or `:previous`.
    pub from: String,
    /// The run that made it.
    pub made_by: String,
    /// Whether the old state is kept.
    pub reversible: bool,
    /// The nodes, in the order in which they are committed.
    pub steps: Vec<PlannedNode>,
    /// What a person should know before saying yes.
    pub warnings: Vec<String>,
    /// Whether nodes of the set, or of the archive, stay out although all were meant.
    pub incomplete: bool,
}

/// What a restore would do to one node.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PlannedNode {
    /// The node.
    pub node: NodePath,
    /// Its driver.
    pub driver: String,
    /// Where it is restored to.
    pub target: String,
    /// Until when it can be undone.
    pub undo: Undo,
    /// What becomes of extras.
    pub extras: Extras,
    /// What changes there. Not counted where a previous state is put back.
    pub changes: Option<Changes>,
}

/// A node that will be restored.
pub(super) struct Chosen {
    /// Whether the dump of it was degraded.
    pub(super) degraded: bool,
    pub(super) node: NodePath,
    pub(super) driver: Arc<dyn Driver>,
    pub(super) content: Content,
}

/// Where its content comes from.
pub(super) enum Content {
    Section(Arc<Section>),
    Previous(dumprestore_driver::Token),
}

impl Chosen {
    pub(super) fn undo(&self) -> Undo {
        self.driver.capabilities().undo
    }
}

/// The nodes of an archive that a restore is about, in commit order: restore order, but what can be undone longest
/// comes first.
pub(super) fn choose(
    set: &BackupSet,
    archive: &OpenArchive,
    options: &RestoreOptions,
) -> Result<(Vec<Chosen>, Vec<String>)> {
    let mut warnings = Vec::new();
    let wanted = crate::selection::choose(set, &options.only)?;
    let manifest = archive.archive().manifest();
    if manifest.set != set.name() && !options.other_set {
        return Err(Error::config(format!(
            "the archive is of the set `{}`, not of `{}`",
            manifest.set,
            set.name()
        ))
        .with_context("archive", &archive.label)
        .with_hint("say `--other-set` if that is what you want"));
    }
    for node in &manifest.nodes {
        if !set.dump_order().iter().any(|path| path.as_str() == node.path) {
            warnings
                .push(format!("`{}` is in the archive and not in the set: it is not restored", node.path));
        }
    }
    let mut chosen = Vec::new();
    for path in wanted.into_iter().rev() {
        match manifest.nodes.iter().position(|node| node.path == path.as_str()) {
            Some(at) => chosen.push(choose_node(set, archive, at, path, &mut warnings)?),
            None if options.only.is_empty() => {
                warnings.push(format!("`{path}` is not in the archive: it stays as it is"));
            }
            None => return Err(Error::config("the archive has no such node").with_node(&path)),
        }
    }
    let nodes: Vec<NodePath> = chosen.iter().map(|chosen| chosen.node.clone()).collect();
    for edge in manifest.edges.iter().filter(|edge| edge.dangling.total > 0) {
        let (count, from, to) = (edge.dangling.total, &edge.from, &edge.to);
        warnings
            .push(format!("in the archive, {count} references of `{from}` to `{to}` dangle: see `inspect`"));
    }
    for (from, to) in crate::selection::broken(set, &nodes) {
        warnings.push(format!(
            "`{from}` refers to `{to}`, and only one of them is restored: references may dangle"
        ));
    }
    if chosen.is_empty() {
        return Err(Error::config("nothing of this set is in the archive")
            .with_context("archive", &archive.label)
            .with_hint("`inspect` shows what the archive holds"));
    }
    chosen.sort_by_key(|chosen| commit_rank(chosen.undo()));
    Ok((chosen, warnings))
}

fn commit_rank(undo: Undo) -> u8 {
    match undo {
        Undo::AfterCommit => 0,
        Undo::BeforeCommit => 1,
        Undo::Never => 2,
    }
}

fn choose_node(
    set: &BackupSet,
    archive: &OpenArchive,
    at: usize,
    path: NodePath,
    warnings: &mut Vec<String>,
) -> Result<Chosen> {
    let section = Section::new(&archive.archive, at)?;
    let archived = &archive.archive().manifest().nodes[at];
    let driver = driver_of(set, &path)?;
    if archived.driver != driver.kind() {
        let message = format!("the archive has a `{}` here, the set a `{}`", archived.driver, driver.kind());
        return Err(Error::config(message).with_node(&path));
    }
    let formats = driver.formats();
    if !formats.reads.contains(&archived.driver_format) {
        return Err(Error::unsupported(format!(
            "the archive has format {} of `{}`",
            archived.driver_format,
            driver.kind()
        ))
        .with_node(&path)
        .with_context("readable here", format!("{} to {}", formats.reads.start(), formats.reads.end()))
        .with_hint("use the version of dumprestore that wrote the archive, or a newer one"));
    }
    let degraded = archived.status == Status::Degraded;
    if archived.status == Status::Failed {
        return Err(Error::archive("this node failed when it was dumped: there is nothing to restore")
            .with_node(&path)
            .with_hint("take another archive, or leave the node out with `--only`"));
    }
    if degraded {
        let ledger =
            archived.ledger.iter().take(LEDGER_TOLD).map(|entry| format!("`{}`: {}", entry.path, entry.why));
        let ledger: Vec<_> = ledger.collect();
        let more = archived.ledger.len().saturating_sub(LEDGER_TOLD);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        warnings.push(format!("`{path}` is degraded in the archive: {}{more}", ledger.join(", ")));
    }
    Ok(Chosen { degraded, node: path, driver, content: Content::Section(Arc::new(section)) })
}

pub(super) fn driver_of(set: &BackupSet, path: &NodePath) -> Result<Arc<dyn Driver>> {
    let driver = set.node(path).and_then(|node| node.driver());
    driver.cloned().ok_or_else(|| Error::config("the set has no such node with a driver").with_node(path))
}

/// The nodes whose previous state is kept, in commit order, and what a person should know of them.
///
/// # Errors
/// If they come from several restores, and it was not said which of them are meant: states of different moments are
/// no state that the application was ever in.
pub(super) fn choose_previous(
    set: &BackupSet,
    kept: &Kept,
    options: &RestoreOptions,
) -> Result<(Vec<Chosen>, Vec<String>, String)> {
    let (mut chosen, mut warnings) = (Vec::new(), Vec::new());
    let mut runs = BTreeMap::new();
    for path in crate::selection::choose(set, &options.only)?.into_iter().rev() {
        let driver = driver_of(set, &path)?;
        let Some(node) = kept.find(&path, &*driver) else {
            if options.only.is_empty() {
                warnings.push(format!("of `{path}` no previous state is kept: it stays as it is"));
                continue;
            }
            return Err(Error::config("no previous state of this node is kept").with_node(&path));
        };
        runs.insert(node.run.clone(), (path.clone(), node.archive.clone()));
        chosen.push(Chosen {
            degraded: false,
            node: path,
            driver,
            content: Content::Previous(node.token.clone()),
        });
    }
    let told: Vec<_> =
        runs.values().map(|(path, archive)| format!("`{path}` before the restore of {archive}")).collect();
    if runs.len() > 1 && options.only.is_empty() {
        return Err(Error::config("the previous states of this set are of different moments")
            .with_context("kept", told.join(", "))
            .with_hint("say with `--only` which nodes you mean"));
    }
    let Some(run) = runs.keys().next_back().cloned() else {
        return Err(Error::config("no previous state of this set is kept"));
    };
    warnings.push(format!("this is the state of {}", told.join(", ")));
    chosen.sort_by_key(|chosen| commit_rank(chosen.undo()));
    Ok((chosen, warnings, run))
}

/// Looks at all targets, and refuses what can't work.
pub(super) async fn plan(
    set: &BackupSet,
    run: &Run,
    (from, made_by): (&str, &str),
    chosen: &[Chosen],
    mut warnings: Vec<String>,
    options: &RestoreOptions,
    archive: Option<&Path>,
) -> Result<RestorePlan> {
    let ours = [
        ("the archive", archive),
        ("the safety dump", options.safety_dump.as_deref()),
        ("the folder of archives", set.archive().map(|archive| archive.to.as_path())),
        ("the state folder", Some(set.state_dir())),
    ];
    let mut claims: Vec<(NodePath, Claim)> = Vec::new();
    let mut room = Room::default();
    let mut steps = Vec::new();
    for chosen in chosen {
        run.cancel.check()?;
        let node = &chosen.node;
        let inspection = chosen.driver.inspect().await.map_err(|error| error.with_node(node))?;
        inspection::refuse(&*run.observer, node, &inspection, &[Severity::NoRestore])?;
        refuse_clash(node, &inspection, &claims, &ours)?;
        let device = inspection.claims.iter().find_map(device_of);
        claims.extend(inspection.claims.into_iter().map(|claim| (node.clone(), claim)));
        let changes = changes(chosen, run, options).await.map_err(|error| error.with_node(node))?;
        if let Some(changes) = &changes {
            room.take(device, changes).map_err(|error| error.with_node(node))?;
        }
        if chosen.undo() == Undo::Never {
            warnings.push(format!("`{node}` can't be undone: it is loaded last, once all else is committed"));
        }
        steps.push(PlannedNode {
            node: node.clone(),
            driver: chosen.driver.kind().to_owned(),
            target: chosen.driver.target(),
            undo: chosen.undo(),
            extras: extras(chosen, options),
            changes,
        });
        if options.reversible && chosen.undo() == Undo::Never {
            warnings.push(format!("of `{node}` no previous state is kept"));
        }
    }
    Ok(RestorePlan {
        set: set.name().to_owned(),
        from: from.to_owned(),
        made_by: made_by.to_owned(),
        reversible: options.reversible,
        steps,
        warnings,
        incomplete: false,
    })
}

async fn changes(chosen: &Chosen, run: &Run, options: &RestoreOptions) -> Result<Option<Changes>> {
    let Content::Section(section) = &chosen.content else { return Ok(None) };
    let cx = stage_context(run, chosen, options);
    let changes = chosen.driver.changes(section.clone(), &cx).await?;
    if cx.extras == Extras::Fail && changes.remove > 0 {
        return Err(Error::environment(format!(
            "the target has {} {} that the archive does not have",
            changes.remove, changes.unit
        ))
        .with_hint("restore with `--extras keep` or `--extras remove`"));
    }
    Ok(Some(changes))
}

/// How much room the nodes need together, on each file system.
#[derive(Default)]
struct Room(BTreeMap<Option<u64>, u64>);

impl Room {
    /// Refuses a node whose staging, with those of the nodes before it, does not fit on its file system.
    fn take(&mut self, device: Option<u64>, changes: &Changes) -> Result<()> {
        let (Some(needs), Some(free)) = (changes.needs_bytes, changes.free_bytes) else { return Ok(()) };
        // What is on no file system that we can tell stands for itself.
        let before = device.and_then(|device| self.0.get(&Some(device)).copied()).unwrap_or(0);
        let together = before.saturating_add(needs);
        self.0.insert(device, together);
        if together <= free {
            return Ok(());
        }
        Err(Error::environment("there is not enough room to stage the restore")
            .with_context("needed bytes, with the nodes before it", together)
            .with_context("free bytes", free)
            .with_hint("make room on the target's file system"))
    }
}

fn device_of(claim: &Claim) -> Option<u64> {
    let Claim::Path(path) = claim else { return None };
    let exists = path.ancestors().find_map(|above| above.metadata().ok())?;
    Some(std::os::unix::fs::MetadataExt::dev(&exists))
}

pub(super) fn stage_context(run: &Run, chosen: &Chosen, options: &RestoreOptions) -> StageContext {
    StageContext::new(&run.name).with_extras(extras(chosen, options)).with_cancel(run.stop.clone())
}

/// What becomes of a node's extras.
fn extras(chosen: &Chosen, options: &RestoreOptions) -> Extras {
    // What is pinned is dumped whole or not at all: it is only a captured node that can lack what could not be read.
    let lacks_some = chosen.degraded && chosen.driver.capabilities().view == View::Captured;
    options.extras.unwrap_or(if lacks_some { Extras::Keep } else { Extras::Remove })
}

/// Two nodes must not restore into one target, and no restore may replace the archive or the journal it depends on.
fn refuse_clash(
    node: &NodePath,
    inspection: &Inspection,
    claims: &[(NodePath, Claim)],
    ours: &[(&str, Option<&Path>)],
) -> Result<()> {
    for claim in &inspection.claims {
        if let Some((other, _)) =
            claims.iter().find(|(other, held)| other != node && inspection::claims_overlap(held, claim))
        {
            return Err(Error::config(format!("`{other}` and `{node}` restore into the same place"))
                .with_node(node)
                .with_hint(
                    "give each its own place: a folder can't be swapped with a node of its own inside of it",
                ));
        }
        let Claim::Path(claimed) = claim else { continue };
        for (what, path) in ours {
            let Some(path) = path.map(resolved) else { continue };
            if path.starts_with(claimed) {
                return Err(Error::new(ErrorKind::Config, format!("{what} lies in what would be replaced"))
                    .with_node(node)
                    .with_context("path", path.display())
                    .with_hint("move it, or set `state:` or `archive.to` to another place, and try again"));
            }
        }
    }
    Ok(())
}

/// The path with all links resolved, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let exists = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match exists {
        Some((above, real)) => path.strip_prefix(above).map_or(path.clone(), |rest| real.join(rest)),
        None => path,
    }
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "restore `{}` from {} (made by run {})", self.set, self.from, self.made_by)?;
        for (at, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}. {} ({}) -> {}", at + 1, step.node, step.driver, step.target)?;
            if let Some(changes) = &step.changes {
                fmt_changes(f, changes, step.extras)?;
            }
            let undo = match step.undo {
                Undo::AfterCommit => continue,
                Undo::BeforeCommit => "can be undone until it is committed",
                Undo::Never => "can't be undone",
            };
            writeln!(f, "     {undo}")?;
        }
        let old = if self.reversible { "kept as `:previous`" } else { "dropped at the end" };
        writeln!(f, "the old state is {old}")?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

fn fmt_changes(f: &mut fmt::Formatter<'_>, changes: &Changes, extras: Extras) -> fmt::Result {
    let removed = match extras {
        Extras::Keep => "extra, kept",
        Extras::Fail | Extras::Remove => "removed",
    };
    writeln!(
        f,
        "     {}: {} created, {} replaced, {} {removed}, {} unchanged",
        changes.unit, changes.create, changes.replace, changes.remove, changes.unchanged
    )?;
    changes.notes.iter().try_for_each(|note| writeln!(f, "     {note}"))
}
