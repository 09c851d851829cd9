//! The plan of a restore: what would be done, in order, and what stands against it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use dumprestore_archive::Status;
use dumprestore_driver::{
    Changes, Claim, Driver, Error, ErrorKind, Extras, Inspection, NodePath, Result, Severity, StageContext,
    Undo,
};
use serde::Serialize;

use super::options::{OpenArchive, RestoreOptions};
use super::previous::Kept;
use crate::archived::Section;
use crate::inspection;
use crate::run::Run;
use crate::set::BackupSet;

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
    /// What becomes of extras.
    pub extras: Extras,
    /// Whether the old state is kept.
    pub reversible: bool,
    /// The nodes, in the order in which they are committed.
    pub steps: Vec<PlannedNode>,
    /// What a person should know before saying yes.
    pub warnings: Vec<String>,
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
    /// What changes there. Not counted where a previous state is put back.
    pub changes: Option<Changes>,
}

/// A node that will be restored.
pub(super) struct Chosen {
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
    if manifest.set != set.name() {
        warnings.push(format!("the archive is of the set `{}`, not of `{}`", manifest.set, set.name()));
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
    match archived.status {
        Status::Ok => {}
        Status::Degraded => warnings.push(format!(
            "`{path}` is degraded in the archive: {} ledger entries, see `inspect`",
            archived.ledger.len()
        )),
        Status::Failed => {
            return Err(Error::archive("this node failed when it was dumped: there is nothing to restore")
                .with_node(&path)
                .with_hint("take another archive, or leave the node out with `--only`"));
        }
    }
    Ok(Chosen { node: path, driver, content: Content::Section(Arc::new(section)) })
}

pub(super) fn driver_of(set: &BackupSet, path: &NodePath) -> Result<Arc<dyn Driver>> {
    let driver = set.node(path).and_then(|node| node.driver());
    driver.cloned().ok_or_else(|| Error::config("the set has no such node with a driver").with_node(path))
}

/// The nodes whose previous state is kept, in commit order.
pub(super) fn choose_previous(set: &BackupSet, kept: &Kept, options: &RestoreOptions) -> Result<Vec<Chosen>> {
    let wanted = crate::selection::choose(set, &options.only)?;
    let mut chosen = Vec::new();
    for path in wanted.into_iter().rev() {
        let Some(node) = kept.nodes.iter().find(|node| node.node == path) else {
            if options.only.is_empty() {
                continue;
            }
            return Err(Error::config("no previous state of this node is kept").with_node(&path));
        };
        let driver = driver_of(set, &path)?;
        super::recover::same_target(&path, &*driver, &node.driver, &node.target)?;
        chosen.push(Chosen { node: path, driver, content: Content::Previous(node.token.clone()) });
    }
    if chosen.is_empty() {
        return Err(Error::config("no previous state of this set is kept"));
    }
    chosen.sort_by_key(|chosen| commit_rank(chosen.undo()));
    Ok(chosen)
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
    let mut claims: Vec<(NodePath, Claim)> = Vec::new();
    let mut steps = Vec::new();
    for chosen in chosen {
        run.cancel.check()?;
        let node = &chosen.node;
        let inspection = chosen.driver.inspect().await.map_err(|error| error.with_node(node))?;
        inspection::refuse(&*run.observer, node, &inspection, &[Severity::NoRestore])?;
        refuse_clash(set, node, &inspection, &claims, archive)?;
        claims.extend(inspection.claims.into_iter().map(|claim| (node.clone(), claim)));
        let changes = changes(chosen, run, options).await.map_err(|error| error.with_node(node))?;
        if chosen.undo() == Undo::Never {
            warnings.push(format!("`{node}` can't be undone: it is loaded last, once all else is committed"));
        }
        steps.push(PlannedNode {
            node: node.clone(),
            driver: chosen.driver.kind().to_owned(),
            target: chosen.driver.target(),
            undo: chosen.undo(),
            changes,
        });
    }
    Ok(RestorePlan {
        set: set.name().to_owned(),
        from: from.to_owned(),
        made_by: made_by.to_owned(),
        extras: options.extras,
        reversible: options.reversible,
        steps,
        warnings,
    })
}

async fn changes(chosen: &Chosen, run: &Run, options: &RestoreOptions) -> Result<Option<Changes>> {
    let Content::Section(section) = &chosen.content else { return Ok(None) };
    let cx = stage_context(run, options);
    let changes = chosen.driver.changes(section.clone(), &cx).await?;
    if options.extras == Extras::Fail && changes.remove > 0 {
        return Err(Error::environment(format!(
            "the target has {} {} that the archive does not have",
            changes.remove, changes.unit
        ))
        .with_hint("restore with `--extras keep` or `--extras remove`"));
    }
    if let (Some(needs), Some(free)) = (changes.needs_bytes, changes.free_bytes)
        && needs > free
    {
        return Err(Error::environment("there is not enough room to stage the restore")
            .with_context("needed bytes", needs)
            .with_context("free bytes", free)
            .with_hint("make room on the target's file system"));
    }
    Ok(Some(changes))
}

pub(super) fn stage_context(run: &Run, options: &RestoreOptions) -> StageContext {
    StageContext::new(&run.name).with_extras(options.extras).with_cancel(run.stop.clone())
}

/// Two nodes must not restore into one target, and no restore may replace the archive or the journal it depends on.
fn refuse_clash(
    set: &BackupSet,
    node: &NodePath,
    inspection: &Inspection,
    claims: &[(NodePath, Claim)],
    archive: Option<&Path>,
) -> Result<()> {
    for claim in &inspection.claims {
        if let Some((other, _)) = claims.iter().find(|(other, held)| other != node && overlap(held, claim)) {
            return Err(Error::config(format!("`{other}` and `{node}` restore into the same place"))
                .with_node(node)
                .with_hint("give each its own target"));
        }
        let Claim::Path(claimed) = claim else { continue };
        for (what, path) in [("the archive", archive), ("the state folder", Some(set.state_dir()))] {
            let Some(path) = path else { continue };
            let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            if path.starts_with(claimed) {
                return Err(Error::new(ErrorKind::Config, format!("{what} lies in what would be replaced"))
                    .with_node(node)
                    .with_context("path", path.display())
                    .with_hint("move it (`state:` sets the state folder), and try again"));
            }
        }
    }
    Ok(())
}

fn overlap(a: &Claim, b: &Claim) -> bool {
    match (a, b) {
        (Claim::Path(a), Claim::Path(b)) => a.starts_with(b) || b.starts_with(a),
        (a, b) => a == b,
    }
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "restore `{}` from {} (made by run {})", self.set, self.from, self.made_by)?;
        for (at, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}. {} ({}) -> {}", at + 1, step.node, step.driver, step.target)?;
            if let Some(changes) = &step.changes {
                fmt_changes(f, changes, self.extras)?;
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
