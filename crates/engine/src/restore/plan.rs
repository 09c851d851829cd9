//! The plan of a restore: what would be done, in order, and what stands against it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use dumprestore_driver::{
    Changes, Claim, Content, Error, ErrorKind, Extras, Inspection, NodePath, Placement, Result, Selection,
    Severity, StageContext, Undo, View,
};
use serde::Serialize;

use super::choose::{Chosen, Origin};
use super::options::{OpenArchive, RestoreOptions};
use super::safety_dump;
use crate::inspection;
use crate::names::listed;
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
    /// The run that made it, or has kept it.
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
    /// Where the new data are made.
    pub placement: Placement,
    /// What of it is restored.
    pub selection: Selection,
    /// Until when it can be undone.
    pub undo: Undo,
    /// What becomes of extras.
    pub extras: Extras,
    /// What changes there. Not counted where a previous state is put back.
    pub changes: Option<Changes>,
}

/// Looks at all targets, and refuses what can't work.
pub(super) async fn plan(
    set: &BackupSet,
    run: &Run,
    (from, made_by): (&str, &str),
    chosen: &[Chosen],
    mut warnings: Vec<String>,
    options: &RestoreOptions,
    archive: Option<&OpenArchive>,
) -> Result<RestorePlan> {
    let mut ours = vec![
        ("the archive", archive.and_then(|archive| archive.path.as_deref())),
        ("the safety dump", options.safety_dump.as_deref()),
        ("the state folder", Some(set.state_dir())),
    ];
    let archives = crate::archive_config::local(set.archive());
    ours.extend(archives.map(|path| ("the folder of archives", Some(path))));
    let place = archive.and_then(|archive| archive.place.as_deref());
    let mut named: Vec<_> = place.map(|name| ("the archive", name)).into_iter().collect();
    let elsewhere = set.archive().into_iter().flat_map(|archive| &archive.elsewhere);
    named.extend(elsewhere.map(|name| ("the place of archives", name.as_str())));
    let mut claims: Vec<(NodePath, Claim)> = Vec::new();
    let mut room = Room::default();
    let mut steps = Vec::new();
    for chosen in chosen {
        run.cancel.check()?;
        let node = &chosen.node;
        let inspection = chosen.driver.inspect().await.map_err(|error| error.with_node(node))?;
        inspection::refuse(&*run.observer, node, &inspection, &[Severity::NoRestore])?;
        safety_dump::refuse(node, &inspection, options)?;
        refuse_clash(node, &inspection, &claims, &ours)?;
        refuse_names(node, &inspection, &named)?;
        let device = inspection.claims.iter().find_map(device_of);
        claims.extend(inspection.claims.into_iter().map(|claim| (node.clone(), claim)));
        let changes = changes(chosen, run, options).await.map_err(|error| error.with_node(node))?;
        if let Some(changes) = &changes {
            room.take(device, changes).map_err(|error| error.with_node(node))?;
        }
        if chosen.terms.undo == Undo::Never {
            warnings.push(format!("`{node}` can't be undone: it is loaded last, once all else is committed"));
        }
        steps.push(PlannedNode {
            node: node.clone(),
            driver: chosen.driver.kind().to_owned(),
            target: chosen.driver.target(),
            placement: chosen.terms.placement,
            selection: chosen.selection.clone(),
            undo: chosen.terms.undo,
            extras: extras(chosen, options),
            changes,
        });
        if options.reversible && chosen.terms.undo == Undo::Never {
            warnings.push(format!("of `{node}` no previous state is kept"));
        }
    }
    warnings.extend(irrevocable(&steps));
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

/// Commits that can't be taken back follow each other: what a failure between them would leave.
fn irrevocable(steps: &[PlannedNode]) -> Option<String> {
    let nodes: Vec<_> = steps.iter().filter(|step| step.undo != Undo::AfterCommit).collect();
    (nodes.len() > 1).then(|| {
        let nodes = listed(nodes.iter().map(|step| &step.node));
        format!(
            "{nodes} can't be undone once they are committed: if one fails then, those before it stay new, and once one \
             is committed, a wish to stop is not heard"
        )
    })
}

async fn changes(chosen: &Chosen, run: &Run, options: &RestoreOptions) -> Result<Option<Changes>> {
    let Origin::Section(section) = &chosen.origin else { return Ok(None) };
    let cx = stage_context(run, chosen, options);
    let changes = chosen.driver.changes(section.clone(), &cx).await?;
    section.sound()?;
    if cx.extras == Extras::Fail && changes.remove > 0 {
        let error = Error::environment(format!(
            "the target has {} {} that the archive does not have",
            changes.remove, changes.unit
        ))
        .with_hint("restore with `--extras keep` or `--extras remove`");
        return Err(match changes.removes.is_empty() {
            true => error,
            false => error.with_context(changes.unit, some_removed(&changes)),
        });
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
    StageContext::new(&run.name)
        .with_extras(extras(chosen, options))
        .with_placement(chosen.terms.placement)
        .with_selection(chosen.selection.clone())
        .with_cancel(run.stop.clone())
}

/// What becomes of a node's extras.
fn extras(chosen: &Chosen, options: &RestoreOptions) -> Extras {
    // What is pinned is dumped whole or not at all: it is only a captured node that can lack what could not be read.
    let lacks_some = chosen.degraded && chosen.driver.capabilities().view == View::Captured;
    let said = options.extras_of.get(&chosen.node).copied().or(options.extras);
    said.unwrap_or(if lacks_some { Extras::Keep } else { Extras::Remove })
}

/// Two nodes must not restore into one target, and no restore may replace the archive or the journal it depends on.
fn refuse_clash(
    node: &NodePath,
    inspection: &Inspection,
    claims: &[(NodePath, Claim)],
    ours: &[(&str, Option<&Path>)],
) -> Result<()> {
    for claim in &inspection.claims {
        if let Some((other, _)) = claims.iter().find(|(other, held)| other != node && held.overlaps(claim)) {
            return Err(Error::config(format!("`{other}` and `{node}` restore into the same place"))
                .with_node(node)
                .with_hint(
                    "give each its own place: a folder can't be swapped with a node of its own inside of it",
                ));
        }
        let Claim::Path(claimed) = claim else { continue };
        for (what, path) in ours {
            let Some(path) = path.map(inspection::resolved) else { continue };
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

/// The same of what is no local file: archives in a store that a restore would take for extras.
fn refuse_names(node: &NodePath, inspection: &Inspection, named: &[(&str, &str)]) -> Result<()> {
    for claim in &inspection.claims {
        if let Some((what, name)) = named.iter().find(|(_, name)| inspection::holds(claim, name)) {
            return Err(Error::config(format!("{what} lies in what would be replaced"))
                .with_node(node)
                .with_context("place", name)
                .with_hint(
                    "set `archive.to` to another bucket or prefix, or copy the archive elsewhere with `pull`",
                ));
        }
    }
    Ok(())
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = if self.from == super::PREVIOUS { "kept" } else { "made" };
        writeln!(f, "restore `{}` from {} ({made} by run {})", self.set, self.from, self.made_by)?;
        for (at, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}. {} ({}) -> {}", at + 1, step.node, step.driver, step.target)?;
            if !step.selection.is_whole() {
                let selection = &step.selection;
                let rest = match (selection.content, selection.things.is_empty()) {
                    (Content::SchemaOnly, true) => "all that is there is replaced by it",
                    _ => "the rest is left alone",
                };
                writeln!(f, "     only {}; {rest}", Said(selection))?;
            }
            if let Some(changes) = &step.changes {
                fmt_changes(f, changes, step.extras)?;
            }
            if step.placement == Placement::InPlace {
                writeln!(f, "     in place: no second copy is made, and no old state is kept")?;
            }
            let undo = match (step.undo, step.placement) {
                (Undo::AfterCommit, Placement::Beside) => continue,
                (Undo::AfterCommit, Placement::InPlace) => "undo until the end of the restore",
                (Undo::BeforeCommit, _) => "undo until its commit only: after that, the old data are lost",
                (Undo::Never, _) => "no undo: what is there is lost from the first byte on",
            };
            writeln!(f, "     {undo}")?;
        }
        let old = if self.reversible { "kept as `:previous`" } else { "dropped at the end" };
        writeln!(f, "the old state is {old}")?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

/// A selection in words.
struct Said<'a>(&'a Selection);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = || listed(self.0.things.iter().map(|thing| thing.escape_debug()));
        match (self.0.content, self.0.things.is_empty()) {
            (Content::All, _) => write!(f, "{}", things()),
            (Content::SchemaOnly, true) => f.write_str("the schema, without its data"),
            (Content::SchemaOnly, false) => write!(f, "the schema of {}, without its data", things()),
            (Content::DataOnly, true) => f.write_str("the data, into the schema that is there"),
            (Content::DataOnly, false) => {
                write!(f, "the data of {}, into the schema that is there", things())
            }
        }
    }
}

/// Some of what is removed, and how much more there is.
fn some_removed(changes: &Changes) -> String {
    let named: Vec<_> = changes.removes.iter().map(|name| format!("`{}`", name.escape_debug())).collect();
    let more = changes.remove.saturating_sub(named.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
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
    if !changes.removes.is_empty() {
        writeln!(f, "     {removed}: {}", some_removed(changes))?;
    }
    changes.notes.iter().try_for_each(|note| writeln!(f, "     {note}"))
}
