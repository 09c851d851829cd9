//! Both ends of references.

use std::sync::Arc;

use dumprestore_driver::{CutMode, Digest, Edge, NodePath, OldState, Reference, Unresolved, Why};
use serde_json::json;

use super::ensure;
use crate::world::dump_all;
use crate::{Broken, ReferentSample, ReferrerSample, Seed, Step, World};

pub(crate) async fn references_are_those_of_the_cut(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    declare(world)?;
    let mut dumping = world.open(&Arc::default()).await?;
    dumping.capture().await?;
    dumping.pin(CutMode::Open).await?;
    world.fixture.mutate().await;
    let mut result = Ok(());
    for sample in world.fixture.referrer() {
        result = result.and(finds(&sample, dumping.references(&edge(&sample)?)?, "at the pin"));
    }
    let dumped = dumping.stream(async || {}).await;
    dumping.release().await.1?;
    dumped?;
    result
}

pub(crate) async fn resolve_tells_what_is_missing(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    declare(world)?;
    let mut dumping = world.open(&Arc::default()).await?;
    dumping.capture().await?;
    dumping.pin(CutMode::Open).await?;
    let mut result = Ok(());
    for sample in world.fixture.referent() {
        let within = sample.within.clone();
        let answers = |references: &[Reference]| dumping.resolve(within.as_deref(), references);
        result = result.and(resolves(&sample, answers, "at the pin"));
    }
    dumping.release().await.1?;
    result
}

pub(crate) async fn what_resolved_at_the_cut_is_in_the_dump(world: &World) -> Result<(), Broken> {
    world.fixture.seed(Seed::Ordinary).await;
    declare(world)?;
    let mut dumping = world.open(&Arc::default()).await?;
    dumping.capture().await?;
    dumping.pin(CutMode::Open).await?;
    for sample in world.fixture.referent() {
        let unresolved = dumping.resolve(sample.within.as_deref(), &sample.there)?;
        ensure(unresolved.is_empty(), || format!("at the pin, these are not there: {unresolved:?}"))?;
    }
    world.fixture.mutate().await;
    let dumped = dumping.stream(async || world.fixture.mutate().await).await;
    let (node, released) = dumping.release().await;
    dumped?;
    released?;
    world.fixture.seed(Seed::Empty).await;
    world.restore(&Arc::new(node), OldState::Drop).await?;
    let mut again = world.open(&Arc::default()).await?;
    again.capture().await?;
    again.pin(CutMode::Open).await?;
    let mut result = Ok(());
    for sample in world.fixture.referent() {
        let unresolved = again.resolve(sample.within.as_deref(), &sample.there)?;
        result = result.and(ensure(unresolved.is_empty(), || {
            format!("these resolved at the cut, and were then restored without or otherwise: {unresolved:?}")
        }));
    }
    again.release().await.1?;
    result
}

pub(crate) async fn staged_data_answer_for_themselves(world: &World) -> Result<(), Broken> {
    let linked = world.driver.capabilities().linked;
    if !linked.referrer && !linked.referent {
        return Ok(());
    }
    world.fixture.seed(Seed::Ordinary).await;
    let mut dumping = world.open(&Arc::default()).await?;
    let dumped = dump_all(&mut dumping).await;
    let (node, released) = dumping.release().await;
    dumped?;
    released?;
    world.fixture.seed(Seed::Empty).await;
    let before = world.state().await;
    let mut restoring = world.staged(&Arc::new(node), Step::Prepare).await?;
    let mut result = Ok(());
    for sample in world.fixture.referrer() {
        result = result.and(finds(&sample, restoring.references(&edge(&sample)?)?, "in the staged data"));
    }
    for sample in world.fixture.referent() {
        let within = sample.within.clone();
        let answers = |references: &[Reference]| restoring.resolve(within.as_deref(), references);
        result = result.and(resolves(&sample, answers, "in the staged data"));
    }
    world.roll_back(restoring.staging(), &before).await?;
    result
}

pub(crate) async fn what_is_not_linked_is_refused(world: &World) -> Result<(), Broken> {
    let (driver, linked) = (&world.driver, world.driver.capabilities().linked);
    for nonsense in [json!(null), json!(17), json!([]), json!({ "surely_not_a_kind_of_keys": 1 })] {
        ensure(driver.check_keys(&nonsense).is_err(), || format!("`keys: {nonsense}` was accepted"))?;
    }
    for sample in world.fixture.referrer() {
        driver.check_keys(&sample.keys)?;
    }
    if !linked.referent {
        ensure(driver.check_within(Some("customer.id")).is_err(), || {
            "`in: customer.id` was accepted".into()
        })?;
    }
    for sample in world.fixture.referent() {
        driver.check_within(sample.within.as_deref())?;
    }
    Ok(())
}

/// What is declared is known before a dump is opened: what is read only once has to be looked through on the way.
fn declare(world: &World) -> Result<(), Broken> {
    world.fixture.referrer().iter().try_for_each(|sample| world.driver.check_keys(&sample.keys))?;
    let referent = world.fixture.referent();
    referent.iter().try_for_each(|sample| world.driver.check_within(sample.within.as_deref()))?;
    Ok(())
}

fn edge(sample: &ReferrerSample) -> Result<Edge, Broken> {
    let (from, to) = (NodePath::new("node")?, NodePath::new("other")?);
    Ok(Edge { from, to, keys: sample.keys.clone(), within: None })
}

fn finds(sample: &ReferrerSample, found: Vec<Reference>, when: &str) -> Result<(), Broken> {
    let mut expected = sample.finds.clone();
    expected.sort();
    expected.dedup();
    ensure(found == expected, || format!("{when}, `keys: {}` finds {found:?}, not {expected:?}", sample.keys))
}

fn resolves(
    sample: &ReferentSample,
    mut answers: impl FnMut(&[Reference]) -> dumprestore_driver::Result<Vec<Unresolved>>,
    when: &str,
) -> Result<(), Broken> {
    let mut asked = sample.there.clone();
    asked.extend(sample.missing.iter().cloned());
    let mut unresolved: Vec<Reference> =
        answers(&asked)?.into_iter().map(|answer| answer.reference).collect();
    unresolved.sort();
    let mut missing = sample.missing.clone();
    missing.sort();
    ensure(unresolved == missing, || {
        format!("{when}, {unresolved:?} don't resolve, rather than {missing:?}")
    })?;
    ensure(answers(&[])?.is_empty(), || format!("{when}, something is missing though nothing was asked"))?;
    // Another digest than that of the content is a torn link, and is named as such.
    let altered: Vec<Reference> = sample.there.iter().filter_map(with_other_digest).collect();
    let told = answers(&altered)?;
    let torn = told.len() == altered.len() && told.iter().all(|answer| matches!(answer.why, Why::Differs(_)));
    ensure(torn, || format!("{when}, of {altered:?} with wrong digests only these are told: {told:?}"))
}

fn with_other_digest(reference: &Reference) -> Option<Reference> {
    let mut bytes = *reference.digest?.as_bytes();
    bytes[0] ^= 1;
    Some(Reference { digest: Some(Digest::new(bytes)), ..reference.clone() })
}
