//! What stays by a policy, compared with a model that is too simple to be wrong.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use dumprestore_store::{Candidate, Judgement, Keep, KeptFor, RemovedFor, Ruling, Verdict, judge};
use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

fn keep(yaml_like: serde_json::Value) -> Keep {
    serde_json::from_value(yaml_like).unwrap()
}

fn archive(name: &str, time: OffsetDateTime, verdict: Verdict) -> Candidate {
    Candidate { name: name.into(), set: "shop".into(), time, verdict, locked_until: None }
}

fn good(name: &str, time: OffsetDateTime) -> Candidate {
    archive(name, time, Verdict::Good)
}

fn kept(judgements: &[Judgement]) -> Vec<&str> {
    judgements.iter().filter(|one| one.ruling.keeps()).map(|one| one.name.as_str()).collect()
}

fn told(judgements: &[Judgement]) -> Vec<String> {
    judgements.iter().map(|one| format!("{}: {}", one.name, one.ruling)).collect()
}

#[test]
fn each_rule_keeps_the_newest_of_its_periods_and_says_so() {
    let candidates = [
        good("a", datetime!(2026-03-01 10:30 UTC)),
        good("b", datetime!(2026-03-01 10:10 UTC)),
        good("c", datetime!(2026-02-28 23:59 UTC)),
        good("d", datetime!(2026-02-23 00:00 UTC)),
        good("e", datetime!(2026-02-22 23:59 UTC)),
        good("f", datetime!(2025-06-01 00:00 UTC)),
    ];
    let keep = keep(
        serde_json::json!({ "last": 1, "hourly": 2, "daily": 2, "weekly": 2, "monthly": 2, "yearly": 3 }),
    );
    assert_eq!(
        told(&judge(&candidates, &keep, NOW)),
        [
            "a: last 1, hourly 2026-03-01T10, daily 2026-03-01, weekly 2026-W09, monthly 2026-03, yearly 2026, the newest good one",
            "b: no rule keeps it",
            "c: hourly 2026-02-28T23, daily 2026-02-28, monthly 2026-02",
            "d: no rule keeps it",
            "e: weekly 2026-W08",
            "f: yearly 2025",
        ]
    );
}

#[test]
fn a_streak_of_failures_pushes_no_good_archive_out() {
    let mut candidates = vec![good("old", NOW - Duration::days(40))];
    for day in 0..30 {
        let verdict = [Verdict::Failed, Verdict::Degraded, Verdict::Partial][day % 3];
        candidates.push(archive(&format!("bad-{day}"), NOW - Duration::days(day as i64), verdict));
    }
    let judgements = judge(&candidates, &keep(serde_json::json!({ "last": 1 })), NOW);
    assert_eq!(kept(&judgements).len(), 31, "those that are newer than the last good one stay as well");
    candidates.push(good("new", NOW));
    let judgements = judge(&candidates, &keep(serde_json::json!({ "last": 1 })), NOW);
    assert_eq!(kept(&judgements), ["new"]);
    assert_eq!(judgements[1].ruling, Ruling::Remove(RemovedFor::Superseded(Verdict::Failed)));
}

#[test]
fn where_dumps_have_stopped_nothing_goes_for_its_age() {
    let candidates = [
        good("a", NOW - Duration::days(400)),
        good("b", NOW - Duration::days(401)),
        archive("c", NOW - Duration::days(402), Verdict::Degraded),
        good("d", NOW - Duration::days(410)),
    ];
    assert_eq!(kept(&judge(&candidates, &keep(serde_json::json!({ "within": "7d" })), NOW)), ["a", "b", "c"]);
}

#[test]
fn one_wrong_clock_pushes_nothing_out() {
    let candidates = [good("real", NOW - Duration::days(1)), good("future", NOW + Duration::days(3650))];
    let judgements = judge(&candidates, &keep(serde_json::json!({ "last": 1, "within": "1h" })), NOW);
    assert_eq!(kept(&judgements), ["real", "future"]);
    assert_eq!(judgements[1].ruling, Ruling::Keep(vec![KeptFor::Future]));
}

#[test]
fn what_is_locked_stays_until_then() {
    let mut locked = good("locked", NOW - Duration::days(9));
    locked.locked_until = Some(NOW + Duration::minutes(61));
    let mut over = good("over", NOW - Duration::days(8));
    over.locked_until = Some(NOW);
    let judgements = judge(&[locked, over, good("new", NOW)], &keep(serde_json::json!({ "last": 1 })), NOW);
    assert_eq!(
        told(&judgements)[..2],
        ["locked: locked until 2026-03-01 13:01 UTC", "over: no rule keeps it"]
    );
}

#[test]
fn without_a_rule_everything_stays() {
    let candidates = [good("a", NOW), archive("b", NOW - Duration::days(900), Verdict::Failed)];
    assert_eq!(kept(&judge(&candidates, &Keep::default(), NOW)), ["a", "b"]);
}

#[test]
fn a_policy_is_refused_where_it_is_not_understood() {
    for (wrong, said) in [
        (serde_json::json!({ "dayly": 3 }), "unknown field `dayly`"),
        (serde_json::json!({ "last": -1 }), "invalid value"),
        (serde_json::json!({ "within": "soon" }), "`soon` is no span of time"),
    ] {
        let error = serde_json::from_value::<Keep>(wrong).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let keep = keep(serde_json::json!({ "last": 2, "within": "1y 6months" }));
    let written = serde_json::to_value(keep).unwrap();
    assert_eq!(serde_json::from_value::<Keep>(written).unwrap(), keep);
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        4 => Just(Verdict::Good),
        1 => Just(Verdict::Partial),
        1 => Just(Verdict::Degraded),
        1 => Just(Verdict::Failed)
    ]
}

/// Crowded in hours and days, thinner in years; some in the future, some at the very same moment.
fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let minutes =
        prop_oneof![0..300i64, 0..20_000i64, 0..3_000_000i64, -3000..1i64, (0..40i64).prop_map(|d| d * 1440)];
    let one = (minutes, 0..2u8, verdicts(), prop::option::weighted(0.1, -500..500i64));
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let one = |(at, (minutes, set, verdict, lock)): (usize, (i64, u8, Verdict, Option<i64>))| Candidate {
            name: format!("{:02}", (at * 17) % 41),
            set: format!("set-{set}"),
            time: NOW - Duration::minutes(minutes),
            verdict,
            locked_until: lock.map(|lock| NOW + Duration::minutes(lock)),
        };
        all.into_iter().enumerate().map(one).collect()
    })
}

fn policies() -> impl Strategy<Value = Keep> {
    let within =
        prop::option::weighted(0.3, 0..4000u64).prop_map(|hours| hours.map(|hours| format!("{hours}h")));
    ([0..4u32, 0..4u32, 0..4u32, 0..4u32, 0..4u32, 0..4u32], within).prop_map(|(counts, within)| {
        let names = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];
        let mut written: serde_json::Map<_, _> =
            names.into_iter().zip(counts).map(|(name, count)| (name.to_owned(), count.into())).collect();
        written.extend(within.map(|within| ("within".to_owned(), within.into())));
        keep(written.into())
    })
}

/// The start of the period, by arithmetic on days: nothing of how the crate names periods.
fn period_start(rule: usize, moment: OffsetDateTime) -> i64 {
    let seconds = moment.unix_timestamp();
    let day = seconds.div_euclid(86_400);
    match rule {
        0 => seconds.div_euclid(3600),
        1 => day,
        // 1970-01-01 was a Thursday: three days after a Monday.
        2 => (day + 3).div_euclid(7),
        3 => day - i64::from(moment.day()),
        _ => day - i64::from(moment.ordinal()),
    }
}

/// Who stays: one archive after the other is asked how many there are before it.
fn model(all: &[Candidate], keep: &Keep) -> BTreeSet<String> {
    let newer = |a: &Candidate, b: &Candidate| (a.time, &a.name) > (b.time, &b.name);
    let stays = |one: &&Candidate| {
        let goods: Vec<&Candidate> =
            all.iter().filter(|c| c.set == one.set && c.verdict == Verdict::Good && c.time <= NOW).collect();
        let newest = goods.iter().find(|c| !goods.iter().any(|other| newer(other, c)));
        let of_age = one.time <= NOW;
        let wanted = one.verdict == Verdict::Good && of_age && {
            let before: Vec<_> = goods.iter().filter(|c| newer(c, one)).collect();
            let by_period = [keep.hourly, keep.daily, keep.weekly, keep.monthly, keep.yearly];
            let by_period = by_period.into_iter().enumerate().any(|(rule, count)| {
                let seen: BTreeSet<i64> = before.iter().map(|c| period_start(rule, c.time)).collect();
                !seen.contains(&period_start(rule, one.time)) && (seen.len() as u32) < count
            });
            before.is_empty() || (before.len() as u32) < keep.last || by_period
        };
        let within = keep.within.is_some_and(|span| {
            newest.is_some_and(|n| n.time - one.time <= Duration::try_from(span.0).unwrap())
        });
        let bad_but_needed = one.verdict != Verdict::Good && !newest.is_some_and(|n| newer(n, one));
        let locked = one.locked_until.is_some_and(|until| until > NOW);
        keep.is_silent() || !of_age || wanted || within || bad_but_needed || locked
    };
    all.iter().filter(stays).map(|one| format!("{}/{}", one.set, one.name)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_stays_is_what_the_model_says(all in candidates(), keep in policies()) {
        let judgements = judge(&all, &keep, NOW);
        let stays: BTreeSet<String> = all.iter().zip(&judgements).filter(|(_, j)| j.ruling.keeps())
            .map(|(c, j)| { assert_eq!(c.name, j.name); format!("{}/{}", c.set, c.name) }).collect();
        prop_assert_eq!(&stays, &model(&all, &keep));
        for judgement in &judgements {
            if let Ruling::Keep(reasons) = &judgement.ruling {
                prop_assert!(!reasons.is_empty());
            }
        }
    }

    #[test]
    fn the_newest_good_archive_of_each_set_stays_and_judging_again_removes_nothing(all in candidates(), keep in policies()) {
        let judgements = judge(&all, &keep, NOW);
        let left: Vec<Candidate> = all.iter().zip(&judgements).filter(|(_, j)| j.ruling.keeps()).map(|(c, _)| c.clone()).collect();
        let mut newest: BTreeMap<&str, &Candidate> = BTreeMap::new();
        for one in all.iter().filter(|c| c.verdict == Verdict::Good) {
            let known = newest.entry(&one.set).or_insert(one);
            if (one.time, &one.name) > (known.time, &known.name) { *known = one; }
        }
        for one in newest.values() {
            prop_assert!(left.contains(one));
        }
        prop_assert!(judge(&left, &keep, NOW).iter().all(|j| j.ruling.keeps()));
    }

    #[test]
    fn the_order_of_the_list_changes_nothing(all in candidates(), keep in policies(), turn in 0..40usize) {
        let mut turned = all.clone();
        turned.rotate_left(if all.is_empty() { 0 } else { turn % all.len() });
        turned.reverse();
        let sorted = |all: &[Candidate]| {
            let mut judged = judge(all, &keep, NOW);
            judged.sort_by(|a, b| a.name.cmp(&b.name));
            judged
        };
        prop_assert_eq!(sorted(&all), sorted(&turned));
    }
}
