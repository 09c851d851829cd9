//! Which nodes a restore is about, and on what terms.

use std::collections::BTreeMap;
use std::sync::Arc;

use dumprestore_archive::Status;
use dumprestore_driver::{Content, Driver, Error, NodePath, Placement, Result, Selection, Terms, Undo};

use super::options::{OpenArchive, RestoreOptions};
use super::previous::Kept;
use crate::archived::Section;
use crate::names::listed;
use crate::selection::Picked;
use crate::set::BackupSet;

/// As many entries of a ledger as a warning can bear.
const LEDGER_TOLD: usize = 5;

/// A node that will be restored.
pub(super) struct Chosen {
    /// Whether the dump of it was degraded.
    pub(super) degraded: bool,
    pub(super) node: NodePath,
    pub(super) driver: Arc<dyn Driver>,
    pub(super) origin: Origin,
    pub(super) selection: Selection,
    pub(super) terms: Terms,
}

/// Where its content comes from.
pub(super) enum Origin {
    Section(Arc<Section>),
    Previous(dumprestore_driver::Token),
}

/// The nodes of an archive that a restore is about, in commit order: restore order, but what can be undone longest
/// comes first.
pub(super) fn choose(
    set: &BackupSet,
    archive: &OpenArchive,
    options: &RestoreOptions,
) -> Result<(Vec<Chosen>, Vec<String>)> {
    let mut warnings = Vec::new();
    let wanted = Wanted::of(set, options)?;
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
    for path in wanted.picked.nodes.iter().rev() {
        match manifest.nodes.iter().position(|node| node.path == path.as_str()) {
            Some(at) => chosen.push(choose_node(set, archive, (at, path), &wanted, &mut warnings)?),
            None if options.only.is_empty() => {
                warnings.push(format!("`{path}` is not in the archive: it stays as it is"));
            }
            None => return Err(Error::config("the archive has no such node").with_node(path)),
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
    chosen.sort_by_key(|chosen| commit_rank(chosen.terms.undo));
    Ok((chosen, warnings))
}

fn commit_rank(undo: Undo) -> u8 {
    match undo {
        Undo::AfterCommit => 0,
        Undo::BeforeCommit => 1,
        Undo::Never => 2,
    }
}

/// What the options say of each node.
struct Wanted {
    picked: Picked,
    content: Content,
    in_place: Vec<NodePath>,
    reversible: bool,
}

impl Wanted {
    fn of(set: &BackupSet, options: &RestoreOptions) -> Result<Self> {
        let picked = crate::selection::pick(set, &options.only)?;
        let in_place = match &options.in_place {
            None => Vec::new(),
            Some(selectors) if selectors.is_empty() => picked.nodes.clone(),
            Some(selectors) => crate::selection::choose(set, selectors)?,
        };
        if let Some(left_out) = in_place.iter().find(|node| !picked.nodes.contains(node)) {
            return Err(Error::config("this node is to be restored in place, and is left out by `--only`")
                .with_node(left_out));
        }
        Ok(Self { picked, content: options.content, in_place, reversible: options.reversible })
    }

    /// How much of a node is restored, and on what terms.
    fn terms(&self, node: &NodePath, driver: &dyn Driver) -> Result<(Selection, Terms)> {
        let things = self.picked.things.get(node).cloned().unwrap_or_default();
        let selection = Selection::of(things).with_content(self.content);
        let in_place = self.in_place.contains(node);
        let asked = if in_place { Placement::InPlace } else { Placement::Beside };
        let terms = driver
            .capabilities()
            .terms(asked, &selection)
            .map_err(|error| error.with_node(node).with_context("driver", driver.kind()))?;
        if self.reversible && terms.placement == Placement::InPlace && terms.undo != Undo::AfterCommit {
            return Err(Error::unsupported("what is restored in place leaves no previous state to keep")
                .with_node(node)
                .with_hint(
                    "leave out `--reversible`; `--safety-dump` keeps the present state as an archive",
                ));
        }
        Ok((selection, terms))
    }
}

fn choose_node(
    set: &BackupSet,
    archive: &OpenArchive,
    (at, path): (usize, &NodePath),
    wanted: &Wanted,
    warnings: &mut Vec<String>,
) -> Result<Chosen> {
    let section = Section::new(&archive.archive, at)?;
    let archived = &archive.archive().manifest().nodes[at];
    let driver = driver_of(set, path)?;
    if archived.driver != driver.kind() {
        let message = format!("the archive has a `{}` here, the set a `{}`", archived.driver, driver.kind());
        return Err(Error::config(message).with_node(path));
    }
    let formats = driver.formats();
    if !formats.reads.contains(&archived.driver_format) {
        return Err(Error::unsupported(format!(
            "the archive has format {} of `{}`",
            archived.driver_format,
            driver.kind()
        ))
        .with_node(path)
        .with_context("readable here", format!("{} to {}", formats.reads.start(), formats.reads.end()))
        .with_hint("use the version of dumprestore that wrote the archive, or a newer one"));
    }
    let degraded = archived.status == Status::Degraded;
    if archived.status == Status::Failed {
        return Err(Error::archive("this node failed when it was dumped: there is nothing to restore")
            .with_node(path)
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
    let (selection, terms) = wanted.terms(path, &*driver)?;
    let origin = Origin::Section(Arc::new(section));
    Ok(Chosen { degraded, node: path.clone(), driver, origin, selection, terms })
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
    let picked = crate::selection::pick(set, &options.only)?;
    if !picked.things.is_empty() || options.content != Content::All || options.in_place.is_some() {
        return Err(Error::unsupported("a previous state is swapped back whole")
            .with_hint("`--only` takes whole nodes here, and `--in-place` is for archives"));
    }
    let mut runs = BTreeMap::new();
    for path in picked.nodes.into_iter().rev() {
        let driver = driver_of(set, &path)?;
        let Some(node) = kept.find(&path, &*driver) else {
            if options.only.is_empty() {
                warnings.push(format!("of `{path}` no previous state is kept: it stays as it is"));
                continue;
            }
            return Err(Error::config("no previous state of this node is kept").with_node(&path));
        };
        let (nodes, _) = runs.entry(node.run.clone()).or_insert_with(|| (Vec::new(), node.archive.clone()));
        nodes.push(path.clone());
        if let Some(since) = &node.passed_over_by {
            warnings.push(format!(
                "run {since} has restored `{path}` since, and kept nothing: `:previous` is older than what was there before that"
            ));
        }
        let (selection, origin) = (Selection::default(), Origin::Previous(node.token.clone()));
        let terms = driver.capabilities().terms(Placement::Beside, &selection)?;
        chosen.push(Chosen { degraded: false, node: path, driver, origin, selection, terms });
    }
    let told: Vec<_> = runs.iter().map(|(run, (nodes, archive))| before(run, nodes, archive)).collect();
    if runs.len() > 1 && options.only.is_empty() {
        return Err(Error::config("the previous states of this set are of different moments")
            .with_context("kept", told.join(", "))
            .with_hint("say with `--only` which nodes you mean"));
    }
    let Some(run) = runs.keys().next_back().cloned() else {
        return Err(Error::config("no previous state of this set is kept"));
    };
    warnings.push(format!("this is the state of {}", told.join(", ")));
    chosen.sort_by_key(|chosen| commit_rank(chosen.terms.undo));
    Ok((chosen, warnings, run))
}

/// Which moment of some nodes a run has kept.
fn before(run: &str, nodes: &[NodePath], archive: &str) -> String {
    let nodes = listed(nodes);
    match archive {
        super::PREVIOUS => format!("{nodes} before run {run} swapped an older state back"),
        archive => format!("{nodes} before run {run} restored {archive}"),
    }
}
