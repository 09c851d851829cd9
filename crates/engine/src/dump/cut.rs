//! The cut: all pins back to back, and the certificate on them; again, if it must be.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dumprestore_archive as archive;
use dumprestore_driver::{CutContext, CutMode, Edge, Error, ErrorKind, Key, NodePath, Part, Result, View};
use time::OffsetDateTime;

use super::DumpRun;
use super::known::{Bad, Known, OWN_AFTER};
use super::source::OpenNode;
use crate::IfUncertified;
use crate::event::Event;
use crate::lanes::first_cause;
use crate::reference_check::{self, Checking, EdgeCheck, IfFull, LinkEnd, Progress, Room};
use crate::run::coarse_now;

/// A pass shorter than this is not worth another: what it missed, the certificate finds.
const SHORT_PASS: Duration = Duration::from_millis(250);
/// As many bytes are captured late while writers wait. What is beyond it is captured once they go on, and counts if
/// it has not changed since.
const LATE_UNDER_LOCK: u64 = 32 << 20;
/// As many keys as a message can bear.
const KEYS_TOLD: usize = 5;

/// How a set was cut.
pub(super) struct Cutting {
    pub(super) cut: OffsetDateTime,
    pub(super) tries: Vec<archive::Cut>,
    /// One for each of the run's certified edges.
    pub(super) checks: Vec<EdgeCheck>,
}

/// What to do after a cut was checked.
enum Verdict {
    Take(&'static str),
    /// After so long.
    Again(Duration),
    Lock,
    Refuse,
}

/// Captures what is live, in passes, until a pass was short.
pub(super) async fn capture(run: &mut DumpRun<'_>) -> Result<()> {
    run.phase("capture");
    for _ in 0..run.set.coherence().max_passes.get() {
        // In rounds: else the first folder would be as old as all others take.
        let begun = Instant::now();
        if capture_all(run).await? == 0 || begun.elapsed() < SHORT_PASS {
            break;
        }
    }
    Ok(())
}

/// One pass over each live node. Gives how many parts were captured.
async fn capture_all(run: &mut DumpRun<'_>) -> Result<u64> {
    let mut captured = 0;
    for node in &mut run.nodes {
        if node.capabilities.view == View::Captured {
            captured += node.capture(&run.run, &run.archive).await?;
        }
    }
    Ok(captured)
}

/// Cuts until the certificate holds, or the policy says what else to do.
pub(super) async fn cut(run: &mut DumpRun<'_>) -> Result<Cutting> {
    let mut known = Known::default();
    let mut tries = Vec::new();
    let mut mode = CutMode::Open;
    // How many cuts were made in this mode.
    let mut tried = 0;
    loop {
        run.phase("cut");
        let begun = Instant::now();
        let (from, to) = pin_all(run, mode).await?;
        read_what_is_certified(run).await?;
        let checks = certify(run, known.room(), mode).await;
        if mode == CutMode::Locked {
            unlock_all(run).await?;
        }
        let (mut checks, mut room) = checks?;
        if mode == CutMode::Locked {
            let mut all = u64::MAX;
            capture_late(run, &mut checks, &mut all, &mut room).await?;
        }
        let attempt = tries.len() as u32 + 1;
        tried += 1;
        let verdict = judge(run, &checks, &mut known, tried, mode);
        let outcome = match verdict {
            Verdict::Take(outcome) => outcome,
            Verdict::Again(_) | Verdict::Lock => "again",
            Verdict::Refuse => "refused",
        };
        let dangling = checks.iter().map(EdgeCheck::dangling).sum();
        run.run.observer.event(&Event::Cut {
            attempt,
            width: (to - from).unsigned_abs(),
            checked: begun.elapsed(),
            references: checks.iter().map(|check| check.read).sum(),
            dangling,
            outcome,
        });
        tries.push(archive::Cut::new(from, to, dangling, outcome));
        match verdict {
            Verdict::Take(_) => return Ok(Cutting { cut: from, tries, checks }),
            Verdict::Refuse => return Err(refusal(run, &checks, attempt)),
            Verdict::Again(after) => again(run, after).await?,
            Verdict::Lock => {
                mode = CutMode::Locked;
                tried = 0;
                again(run, Duration::ZERO).await?;
            }
        }
    }
}

fn judge(run: &DumpRun<'_>, checks: &[EdgeCheck], known: &mut Known, tried: u32, mode: CutMode) -> Verdict {
    if run.edges.is_empty() {
        return Verdict::Take("unchecked");
    }
    if checks.iter().all(|check| check.dangling() == 0) {
        return Verdict::Take(if mode == CutMode::Locked { "locked" } else { "certified" });
    }
    let bad = known.judge(checks, Instant::now());
    // A lock catches writers between a file that they have overwritten and its row, which then waits for the lock: what
    // the row still means can be gone. Once they went on, the next cut is as good as any.
    let more_tries = tried < run.set.coherence().max_cuts.get();
    match bad {
        Bad::Own => return Verdict::Take("known"),
        Bad::OwnPerhaps(rest) if more_tries => return Verdict::Again(rest),
        // Nothing resolves sooner by waiting, unless it is waited for long enough to tell whose links they are.
        Bad::New if more_tries => {
            return Verdict::Again(if tried == 1 { Duration::ZERO } else { OWN_AFTER / 10 });
        }
        _ => {}
    }
    match run.if_uncertified {
        IfUncertified::Fail => Verdict::Refuse,
        IfUncertified::Lock if mode == CutMode::Open => Verdict::Lock,
        IfUncertified::Lock | IfUncertified::Degraded => Verdict::Take("degraded"),
    }
}

async fn pin_all(run: &mut DumpRun<'_>, mode: CutMode) -> Result<(OffsetDateTime, OffsetDateTime)> {
    // What can't be pinned may take its time to freeze: that must not widen the cut of the others.
    run.note_frozen()?;
    for node in run.nodes.iter_mut().filter(|node| node.capabilities.view == View::Streamed) {
        node.pin(&CutContext::new(coarse_now(), mode)).await?;
    }
    let cut = CutContext::new(coarse_now(), mode);
    let from = OffsetDateTime::now_utc();
    for node in run.nodes.iter_mut().filter(|node| node.capabilities.view != View::Streamed) {
        run.run.cancel.check()?;
        node.pin(&cut).await?;
    }
    Ok((from, OffsetDateTime::now_utc()))
}

/// What can be read once is read whole before the certificate: its references are known from that.
async fn read_what_is_certified(run: &mut DumpRun<'_>) -> Result<()> {
    let certified = |path: &NodePath| run.edges.iter().any(|edge| edge.from == *path || edge.to == *path);
    let once =
        run.nodes.iter_mut().filter(|node| node.capabilities.view == View::Once && certified(&node.path));
    let all = once.map(async |node| node.capture(&run.run, &run.archive).await.map(drop));
    first_cause(futures_util::future::join_all(all).await)
}

async fn unlock_all(run: &mut DumpRun<'_>) -> Result<()> {
    for node in &mut run.nodes {
        node.unlock().await?;
    }
    Ok(())
}

/// Lets the pins go, in the order opposite to theirs, keeps the captures, and makes one more pass.
async fn again(run: &mut DumpRun<'_>, after: Duration) -> Result<()> {
    for node in run.nodes.iter_mut().rev() {
        node.unpin().await?;
    }
    tokio::select! {
        () = tokio::time::sleep(after) => {}
        () = run.run.cancel.cancelled() => return Err(Error::cancelled()),
    }
    capture_all(run).await.map(drop)
}

async fn certify(run: &mut DumpRun<'_>, mut room: Room, mode: CutMode) -> Result<(Vec<EdgeCheck>, Room)> {
    let mut checks = Vec::new();
    if run.edges.is_empty() {
        return Ok((checks, room));
    }
    run.phase("certify");
    let mut most = if mode == CutMode::Locked { LATE_UNDER_LOCK } else { u64::MAX };
    for at in 0..run.edges.len() {
        room.reserve_for(run.edges.len() - at - 1);
        let edge = &run.edges[at];
        let (from, to) = (source(&run.nodes, &edge.from)?, source(&run.nodes, &edge.to)?);
        let mut checking = Checking::begin(edge, &from, &to, &run.run.cancel);
        checks.push(EdgeCheck::default());
        let mut if_full = IfFull::Stop;
        while checking.go_on(&mut checks[at], &mut room, if_full).await? == Progress::Full {
            capture_late(run, &mut checks, &mut most, &mut room).await?;
            // What could not be mended would be captured again and again.
            if !room.is_worth_going_on() {
                if_full = IfFull::Count;
            }
        }
    }
    capture_late(run, &mut checks, &mut most, &mut room).await?;
    Ok((checks, room))
}

/// Captures what a referent said would mend a reference, `most` bytes of it, and asks again. The checks are those of
/// the first edges.
async fn capture_late(
    run: &mut DumpRun<'_>,
    checks: &mut [EdgeCheck],
    most: &mut u64,
    room: &mut Room,
) -> Result<()> {
    let mut late: BTreeMap<NodePath, Vec<Part>> = BTreeMap::new();
    for (edge, check) in run.edges.iter().zip(checks.iter()) {
        let parts = check.unresolved.iter().filter_map(|bad| bad.part.clone()).filter(|part| {
            let left = most.checked_sub(part.size.unwrap_or(0));
            *most = left.unwrap_or(0);
            left.is_some()
        });
        late.entry(edge.to.clone()).or_default().extend(parts);
    }
    late.retain(|_, parts| !parts.is_empty());
    let asked_again: Vec<NodePath> = late.keys().cloned().collect();
    for (path, mut parts) in late {
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        parts.dedup_by(|a, b| a.name == b.name);
        if let Some(node) = run.nodes.iter_mut().find(|node| node.path == path) {
            node.capture_late(&run.run, &run.archive, parts).await?;
        }
    }
    for (edge, check) in run.edges.iter().zip(checks) {
        if asked_again.contains(&edge.to) && !check.unresolved.is_empty() {
            let to = source(&run.nodes, &edge.to)?;
            let again = reference_check::resolve_again(edge, check.take(room), &to).await?;
            check.put_back(again, room);
        }
    }
    Ok(())
}

fn source(nodes: &[OpenNode], path: &NodePath) -> Result<LinkEnd> {
    let node = nodes.iter().find(|node| node.path == *path);
    node.map(|node| LinkEnd::Source(node.source.clone()))
        .ok_or_else(|| Error::defect(format!("`{path}` is referred to and not open")))
}

fn refusal(run: &DumpRun<'_>, checks: &[EdgeCheck], tries: u32) -> Error {
    let dangling: u64 = checks.iter().map(EdgeCheck::dangling).sum();
    let mut error = Error::new(
        ErrorKind::Dangling,
        format!("{dangling} references do not resolve after {tries} cuts: no archive was written"),
    )
    .with_hint(
        "mend the data, or set `coherence: { if_uncertified: lock }` to let writers wait for the last cut",
    );
    let listed = run
        .edges
        .iter()
        .zip(checks)
        .flat_map(|(edge, check)| check.unresolved.iter().map(move |bad| (edge, bad)));
    for (edge, bad) in listed.take(KEYS_TOLD) {
        error = error.with_context("dangling", told(edge, &bad.reference.key, &bad.why.to_string()));
    }
    error
}

fn told(edge: &Edge, key: &Key, why: &str) -> String {
    format!("{} -> {} `{key}`: {why}", edge.from, edge.to)
}
