//! The judgement: a pure function of what there is, what is to be kept, and the time.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;

use super::period::{Rhythm, period};
use super::{Keep, KeptFor, RemovedFor, Ruling};

/// How an archive turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It holds the whole set, as it was. Only such a one counts.
    Good,
    /// It holds some nodes only, as was asked for.
    Partial,
    /// Something in it is not as it was, or references in it dangle.
    Degraded,
    /// It can't be used: a node failed, or it is damaged.
    Failed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Partial => "partial",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        })
    }
}

/// An archive about which is to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, unique.
    pub name: String,
    /// The set that it is of. Each set is judged for itself.
    pub set: String,
    /// The moment whose state it holds.
    pub time: OffsetDateTime,
    /// How it turned out.
    pub verdict: Verdict,
    /// Until when the store refuses to remove it.
    pub locked_until: Option<OffsetDateTime>,
}

/// What becomes of one candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// The candidate's name.
    pub name: String,
    /// Whether it stays, and why.
    #[serde(flatten)]
    pub ruling: Ruling,
}

/// Says of each candidate whether it stays, and why. The answers stand in the order of the candidates.
///
/// # Behavior
/// - Each set is judged for itself. Its newest good archive always stays, whatever `keep` says.
/// - Only good archives take up places of `last` and of periods, so that a streak of failures pushes no good one out.
/// - What is not good stays as long as the set has no good one that is newer, or as `within` says.
/// - `within` is counted from the newest good archive, not from now: where dumps have stopped, nothing goes for age.
/// - What is of a later time than `now` stays, and takes up no place: else one wrong clock would push out all others.
/// - Of several of the same time, the one whose name sorts last is the newest.
/// - What the store has locked stays.
/// - Judging again what has stayed, at the same moment, removes nothing more.
pub fn judge(candidates: &[Candidate], keep: &Keep, now: OffsetDateTime) -> Vec<Judgement> {
    let mut sets: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        sets.entry(&candidate.set).or_default().push(at);
    }
    let mut reasons = vec![Vec::new(); candidates.len()];
    for mut members in sets.into_values() {
        members.sort_by_key(|&at| std::cmp::Reverse((candidates[at].time, &candidates[at].name)));
        judge_set(candidates, &members, keep, now, &mut reasons);
    }
    let ruled = candidates.iter().zip(reasons);
    ruled
        .map(|(candidate, reasons)| Judgement {
            name: candidate.name.clone(),
            ruling: rule(candidate, reasons),
        })
        .collect()
}

fn rule(candidate: &Candidate, reasons: Vec<KeptFor>) -> Ruling {
    match (reasons.is_empty(), candidate.verdict) {
        (false, _) => Ruling::Keep(reasons),
        (true, Verdict::Good) => Ruling::Remove(RemovedFor::Unwanted),
        (true, other) => Ruling::Remove(RemovedFor::Superseded(other)),
    }
}

/// Adds the reasons of one set, whose members come newest first.
fn judge_set(
    candidates: &[Candidate],
    members: &[usize],
    keep: &Keep,
    now: OffsetDateTime,
    reasons: &mut [Vec<KeptFor>],
) {
    let come = || members.iter().copied().filter(|&at| candidates[at].time <= now);
    let good: Vec<usize> = come().filter(|&at| candidates[at].verdict == Verdict::Good).collect();
    places(candidates, &good, keep, reasons);
    let newest = good.first().map(|&at| &candidates[at]);
    for at in come() {
        let candidate = &candidates[at];
        if is_within(candidate, newest, keep) {
            reasons[at].push(KeptFor::Within);
        }
        let superseded = newest.is_some_and(|newest| order(newest) > order(candidate));
        if candidate.verdict != Verdict::Good && !superseded {
            reasons[at].push(KeptFor::NoNewerGood);
        }
    }
    if let Some(&at) = good.first() {
        reasons[at].push(KeptFor::LastGood);
    }
    for &at in members {
        let candidate = &candidates[at];
        if let Some(until) = candidate.locked_until.filter(|until| *until > now) {
            reasons[at].push(KeptFor::Locked(until));
        }
        if candidate.time > now {
            reasons[at].push(KeptFor::Future);
        }
        if keep.is_silent() {
            reasons[at].push(KeptFor::NoRule);
        }
    }
}

fn order(candidate: &Candidate) -> (OffsetDateTime, &str) {
    (candidate.time, &candidate.name)
}

/// Gives the places of `last` and of the periods to good archives, newest first.
fn places(candidates: &[Candidate], good: &[usize], keep: &Keep, reasons: &mut [Vec<KeptFor>]) {
    for (nth, &at) in (1..=keep.last).zip(good) {
        reasons[at].push(KeptFor::Last(nth));
    }
    for (rhythm, count) in
        Rhythm::ALL.into_iter().zip([keep.hourly, keep.daily, keep.weekly, keep.monthly, keep.yearly])
    {
        let (mut left, mut before) = (count, None);
        for &at in good {
            let period = period(rhythm, candidates[at].time);
            if left > 0 && before.as_ref() != Some(&period) {
                left -= 1;
                reasons[at].push(KeptFor::Period { rhythm, period: period.clone() });
            }
            before = Some(period);
        }
    }
}

fn is_within(candidate: &Candidate, newest: Option<&Candidate>, keep: &Keep) -> bool {
    let (Some(within), Some(newest)) = (keep.within, newest) else { return false };
    // What is longer than a time can say reaches back to the beginning.
    let span = time::Duration::try_from(within.0).unwrap_or(time::Duration::MAX);
    newest.time.checked_sub(span).is_none_or(|oldest| candidate.time >= oldest)
}
