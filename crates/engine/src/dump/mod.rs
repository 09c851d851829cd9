//! A dump: open, inspect, capture, cut, certify, stream, seal, release.

mod cut;
mod entry;
mod known;
mod options;
mod room;
mod seal;
mod source;
mod workspace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_archive as archive;
use dumprestore_driver::{Claim, Edge, Error, Inspection, NodePath, OpenContext, Result, Severity, View};
use futures_util::TryFutureExt;

pub(crate) use workspace::{has_left, remove_left};

pub use options::{
    ArchiveCopy, CopyOutcome, Destination, DumpOptions, DumpOutcome, DumpReport, DumpedNode, Elsewhere,
    Opened,
};

use crate::archived::archive_error;
use crate::event::{Event, warn};
use crate::hook::HookScope;
use crate::lanes::{Lanes, first_cause};
use crate::lock::SetLock;
use crate::run::Run;
use crate::selection::choose;
use crate::set::BackupSet;
use crate::{HookPoint, IfUncertified};
use cut::Cutting;
use source::OpenNode;
use workspace::Workspace;

/// Dumps a set into one archive.
///
/// # Behavior
/// - Either the whole archive appears at its destination, or nothing.
/// - Of the sources, nothing is changed.
/// - One run of a set at a time. An interrupted restore is rolled back, or finished, first.
///
/// # Errors
/// Whatever fails, with the node named. [`ErrorKind::Dangling`](crate::ErrorKind::Dangling) if the certificate could
/// not be had and the set's policy is to fail.
pub async fn dump(set: &BackupSet, destination: Destination, options: DumpOptions) -> Result<DumpReport> {
    let run = Run::new(options.observer.clone(), options.cancel.clone());
    run.observer.event(&Event::Started {
        run: run.name.clone(),
        command: "dump",
        set: set.name().to_owned(),
    });
    let _lock = SetLock::acquire(set, &run.name)?;
    crate::restore::recover_left(set, &run).await?;
    dump_locked(set, destination, &options, run, RunHooks::Yes).await
}

/// Whether a dump runs the set's hooks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunHooks {
    Yes,
    /// It is a part of another run, whose hooks run.
    No,
}

/// The same, by a run that holds the lock already.
pub(crate) async fn dump_locked(
    set: &BackupSet,
    destination: Destination,
    options: &DumpOptions,
    run: Run,
    hooks: RunHooks,
) -> Result<DumpReport> {
    let chosen = choose(set, &options.only)?;
    let (path, label) = (destination.path(), destination.label());
    let job = Job { set, options, run: &run, chosen, path, label };
    for (from, to) in crate::selection::broken(set, &job.chosen) {
        let message = format!(
            "`{from}` refers to `{to}`, and only one of them is dumped: nothing is certified between them"
        );
        warn(&*job.run.observer, None, message, None);
    }
    if hooks == RunHooks::No {
        return job.perform(destination, hooks).await;
    }
    let scope = job.hooks();
    let dumped = match scope.run(HookPoint::BeforeDump).await {
        Ok(()) => job.perform(destination, hooks).await,
        Err(error) => Err(error),
    };
    let mut report = match dumped {
        Ok(report) => report,
        Err(error) => {
            scope.run_last_of_failed().await;
            return Err(error);
        }
    };
    // The archive is published: a hook that fails now must not make it look as if there were none.
    if let Err(error) = scope.run_last(true).await {
        warn(&*run.observer, None, format!("the archive is complete, but {error}"), None);
        report.outcome = report.outcome.max(DumpOutcome::Degraded);
    }
    Ok(report)
}

/// What a dump is asked to do.
struct Job<'a> {
    set: &'a BackupSet,
    options: &'a DumpOptions,
    run: &'a Run,
    /// The nodes that take part, in dump order.
    chosen: Vec<NodePath>,
    /// The archive's, if it is a file.
    path: Option<PathBuf>,
    /// What the archive is called, if it is no stream.
    label: Option<String>,
}

impl Job<'_> {
    fn hooks(&self) -> HookScope<'_> {
        HookScope {
            run: self.run,
            set: self.set,
            nodes: &self.chosen,
            archive: self.label.clone(),
            staged: BTreeMap::new(),
        }
    }

    async fn perform(&self, destination: Destination, hooks: RunHooks) -> Result<DumpReport> {
        let workspace = Workspace::create(self.set, self.path.as_deref())?;
        let dumped = self.write_archive(destination, &workspace, hooks).await;
        let removed = workspace.remove();
        let report = dumped?;
        if let Err(error) = removed {
            // The archive is whole; the next run tries again.
            warn(&*self.run.observer, None, error.to_string(), error.hint().map(str::to_owned));
        }
        Ok(report)
    }

    async fn write_archive(
        &self,
        destination: Destination,
        workspace: &Workspace,
        hooks: RunHooks,
    ) -> Result<DumpReport> {
        let (opened, mut elsewhere) = destination.open(self.set.state_dir())?;
        let Opened { output, mut ours, warnings } = opened;
        for warning in warnings {
            warn(&*self.run.observer, None, warning.to_string(), warning.hint().map(str::to_owned));
        }
        let files = ours.clone();
        ours.push(self.set.state_dir().to_owned());
        let mut writing = archive::WriterOptions::default();
        writing.started = self.run.started;
        writing.scratch = Some(workspace.scratch().to_owned());
        let writer = Arc::new(archive::ArchiveWriter::create(output, writing).map_err(archive_error)?);
        let mut dump = DumpRun::new(self, writer, workspace);
        let dumped = match dump.open(&self.chosen, ours).await {
            Ok(()) => {
                self.tell_size(dump.expected(), &files, elsewhere.as_deref_mut());
                dump.go().await
            }
            Err(error) => Err(error),
        };
        let released = dump.release().await;
        let cutting = dumped?;
        released?;
        if hooks == RunHooks::Yes {
            self.hooks().run(HookPoint::AfterDump).await?;
        }
        self.run.cancel.check()?;
        let (manifest, mut report) = seal::conclude(&mut dump, cutting, self.label.clone())?;
        report.bytes = dump.seal(manifest).await?;
        if let Some(elsewhere) = elsewhere {
            self.tell_copies(&mut report, elsewhere.copies());
        }
        Ok(report)
    }

    /// Before anything is written that may turn out to have no room.
    fn tell_size(&self, expected: u64, files: &[PathBuf], elsewhere: Option<&mut (dyn Elsewhere + '_)>) {
        let short = room::short(files, expected);
        let all =
            short.into_iter().chain(elsewhere.into_iter().flat_map(|elsewhere| elsewhere.expect(expected)));
        for warning in all {
            warn(&*self.run.observer, None, warning.to_string(), warning.hint().map(str::to_owned));
        }
    }

    /// A copy that is not as it should be degrades the dump.
    fn tell_copies(&self, report: &mut DumpReport, copies: Vec<ArchiveCopy>) {
        for copy in copies.iter().filter(|copy| copy.outcome != CopyOutcome::Verified) {
            let why = copy.why.as_deref().unwrap_or_default();
            let message = match copy.outcome {
                CopyOutcome::Failed => format!("there is no copy of the archive at `{}`: {why}", copy.place),
                _ => format!("the copy at `{}` could not be checked: {why}", copy.place),
            };
            warn(&*self.run.observer, None, message, copy.hint.clone());
            report.outcome = report.outcome.max(DumpOutcome::Degraded);
        }
        report.copies = copies;
    }
}

/// A dump under way.
struct DumpRun<'a> {
    set: &'a BackupSet,
    workspace: &'a Workspace,
    run: Run,
    archive: Arc<archive::ArchiveWriter>,
    nodes: Vec<OpenNode>,
    /// The references to certify: both ends take part.
    edges: Vec<Edge>,
    /// Those that are declared, and left unchecked because the caller wants it so.
    unchecked: Vec<Edge>,
    lanes: Lanes,
    if_uncertified: IfUncertified,
    /// The problems that end a dump before it begins.
    refused: &'static [Severity],
}

impl<'a> DumpRun<'a> {
    fn new(job: &'a Job<'_>, archive: Arc<archive::ArchiveWriter>, workspace: &'a Workspace) -> Self {
        let both = |edge: &&Edge| job.chosen.contains(&edge.from) && job.chosen.contains(&edge.to);
        let edges: Vec<Edge> = job.set.edges().iter().filter(both).cloned().collect();
        let (edges, unchecked) = if job.options.certify { (edges, Vec::new()) } else { (Vec::new(), edges) };
        let lanes = crate::lanes::of(job.set, &job.run.stop);
        let refused: &[_] = match job.options.certify {
            true => &[Severity::NoDump, Severity::NoCertificate],
            false => &[Severity::NoDump],
        };
        let if_uncertified = job.options.if_uncertified.unwrap_or(job.set.coherence().if_uncertified);
        Self {
            refused,
            if_uncertified,
            set: job.set,
            workspace,
            run: job.run.clone(),
            archive,
            nodes: Vec::new(),
            edges,
            unchecked,
            lanes,
        }
    }

    /// About how many bytes of content there are, as far as drivers can say.
    fn expected(&self) -> u64 {
        self.nodes.iter().filter_map(|node| node.inspection.size).fold(0, u64::saturating_add)
    }

    async fn go(&mut self) -> Result<Cutting> {
        cut::capture(self).await?;
        let cutting = cut::cut(self).await?;
        self.stream().await?;
        Ok(cutting)
    }

    /// Before a pin may freeze an application.
    fn note_frozen(&self) -> Result<()> {
        let streamed = self.nodes.iter().filter(|node| node.capabilities.view == View::Streamed);
        let nodes: Vec<_> = streamed.map(|node| &node.path).collect();
        if nodes.is_empty() { Ok(()) } else { self.workspace.note_frozen(&nodes) }
    }

    fn phase(&self, phase: &'static str) {
        self.run.observer.event(&Event::Phase { phase });
    }

    async fn open(&mut self, chosen: &[NodePath], ours: Vec<PathBuf>) -> Result<()> {
        self.phase("open");
        for path in chosen {
            self.run.cancel.check()?;
            let node =
                self.set.node(path).ok_or_else(|| Error::defect(format!("`{path}` is not in the set")))?;
            let Some(driver) = node.driver() else { continue };
            let inspection = driver.inspect().await.map_err(|error| error.with_node(path))?;
            crate::inspection::refuse(&*self.run.observer, path, &inspection, self.refused)?;
            for other in &self.nodes {
                if crate::inspection::overlap(&other.inspection, &inspection) {
                    let message = format!(
                        "`{}` and `{path}` restore into the same place: only one can be restored",
                        other.path
                    );
                    warn(
                        &*self.run.observer,
                        Some(path),
                        message,
                        Some("give each its own place".to_owned()),
                    );
                }
            }
            let cx = OpenContext::new(&self.run.name, self.workspace.scratch())
                .with_ours(self.ours(&ours, &inspection))
                .with_our_places(self.archives_within(path, &inspection)?)
                .with_cancel(self.run.stop.clone());
            self.nodes.push(OpenNode::open(node, driver.clone(), inspection, cx, &self.lanes).await?);
        }
        Ok(())
    }

    /// Places of archives in the store that is dumped. They are left out, lest each archive hold all earlier ones; no restore
    /// into that place gets past them.
    fn archives_within(&self, node: &NodePath, inspection: &Inspection) -> Result<Vec<String>> {
        let mut within = Vec::new();
        for place in self.set.archive().into_iter().flat_map(|archive| &archive.elsewhere) {
            if !inspection.claims.iter().any(|claim| claim.holds_place(place)) {
                continue;
            }
            let hint = "set `archive.to` to another bucket or prefix";
            if inspection
                .claims
                .iter()
                .any(|claim| matches!(claim, Claim::Prefix(claimed) if claimed == place))
            {
                let error = Error::config(
                    "archives would lie among what is dumped: each would hold all earlier ones",
                );
                return Err(error.with_node(node).with_context("place", place).with_hint(hint));
            }
            let message = format!(
                "archives lie in what would be dumped: `{place}` is left out, and no restore replaces what is around it"
            );
            warn(&*self.run.observer, Some(node), message, Some(hint.to_owned()));
            within.push(place.clone());
        }
        Ok(within)
    }

    /// What of ours may lie in a node: with the folder of archives, if it lies in it, lest each archive hold all
    /// earlier ones.
    fn ours(&self, ours: &[PathBuf], inspection: &Inspection) -> Vec<PathBuf> {
        let holds = |to: &Path| {
            inspection.claims.iter().any(|claim| match claim {
                Claim::Path(claimed) => to.starts_with(claimed) && to != claimed,
                Claim::Prefix(_) | Claim::Name(_) => false,
            })
        };
        let elsewhere = self.set.archive().into_iter().flat_map(|archive| &archive.elsewhere);
        let folders = elsewhere.filter_map(|place| place.strip_prefix("fs://").map(Path::new));
        let archives = crate::archive_config::local(self.set.archive()).chain(folders);
        let archives = archives.filter(|to| holds(to)).map(Path::to_owned);
        ours.iter().cloned().chain(archives).collect()
    }

    /// Dumps what nothing holds still, one node after the other and in order, for each moment counts there; then what
    /// is held by its pin or captured, several nodes at once. What can be read once does not wait for others: a server
    /// that sends it is kept busy meanwhile.
    async fn stream(&mut self) -> Result<()> {
        self.phase("stream");
        let (run, archive) = (&self.run, &self.archive);
        let (mut streamed, mut held, mut once) = (Vec::new(), Vec::new(), Vec::new());
        for node in &mut self.nodes {
            match node.capabilities.view {
                View::Streamed => streamed.push(node),
                View::Pinned | View::Captured => held.push(node),
                View::Once => once.push(node),
            }
        }
        let others = async {
            for node in streamed {
                node.stream(run, archive).await?;
            }
            stream_all(held, run, archive).await
        };
        let (once, others) = futures_util::future::join(
            stream_all(once, run, archive),
            others.inspect_err(|_| run.stop.cancel()),
        )
        .await;
        first_cause(vec![once, others])
    }

    /// Lets every source go; goes on past one that fails.
    async fn release(&mut self) -> Result<()> {
        let mut failed = None;
        for node in self.nodes.iter_mut().rev() {
            if let Err(error) = node.release().await {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn seal(self, manifest: archive::Manifest) -> Result<u64> {
        self.phase("seal");
        drop(self.nodes);
        let writer = Arc::into_inner(self.archive)
            .ok_or_else(|| Error::defect("the archive is still written to while it is sealed"))?;
        let sealed = tokio::task::spawn_blocking(move || writer.seal(manifest)).await;
        let sealed = sealed.map_err(|error| Error::defect("sealing panicked").with_source(error))?;
        Ok(sealed.map_err(archive_error)?.bytes)
    }
}

/// Several nodes at once. One that fails stops the others.
async fn stream_all(
    nodes: Vec<&mut OpenNode>,
    run: &Run,
    archive: &Arc<archive::ArchiveWriter>,
) -> Result<()> {
    let all = nodes.into_iter().map(|node| node.stream(run, archive).inspect_err(|_| run.stop.cancel()));
    first_cause(futures_util::future::join_all(all).await)
}

fn tool() -> archive::Tool {
    archive::Tool { name: "dumprestore".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}
