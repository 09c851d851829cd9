//! What holds of a driver whatever it dumps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dumprestore_driver::{ArchivedNode, Lanes, OldState, Severity, StageContext};
use serde_json::Value;

use super::ensure;
use crate::{Broken, Fault, Faulty, Seed, Step, StoredNode, World};

pub(crate) async fn the_fixture_can_fail(world: &World) -> Result<(), Broken> {
    let mut contents = Vec::new();
    for seed in [Seed::Ordinary, Seed::Empty, Seed::Hostile, Seed::Large, Seed::Ordinary] {
        world.fixture.seed(seed).await;
        contents.push(world.fixture.fingerprint().await);
    }
    ensure(contents.pop().as_ref() == contents.first(), || "`Seed::Ordinary` differs from itself".into())?;
    let distinct: std::collections::BTreeSet<&String> = contents.iter().collect();
    ensure(distinct.len() == contents.len(), || "two seeds have the same fingerprint".into())?;
    let mut last = world.fixture.fingerprint().await;
    for time in 1..=2 {
        world.fixture.mutate().await;
        let now = world.fixture.fingerprint().await;
        ensure(now != last, || format!("`mutate` changed nothing, the {time}. time"))?;
        last = now;
    }
    world.fixture.seed(Seed::Large).await;
    let large = world.dump().await?;
    let size: u64 = large.parts().map(|part| part.size).sum();
    ensure(size >= 1 << 20, || format!("`Seed::Large` gives only {size} bytes"))?;
    let can = world.driver.capabilities();
    ensure(can.lanes == Lanes::One || large.names().len() > 1, || {
        "`Seed::Large` gives only one part".into()
    })?;
    let referrer = world.fixture.referrer();
    ensure(can.linked.referrer == referrer.iter().any(|sample| !sample.finds.is_empty()), || {
        format!("`linked.referrer` is {}, but samples of references: {referrer:?}", can.linked.referrer)
    })?;
    let referent = world.fixture.referent();
    let sampled = referent.iter().any(|sample| !sample.there.is_empty() && !sample.missing.is_empty());
    ensure(can.linked.referent == sampled, || {
        format!("`linked.referent` is {}, but samples of referents: {referent:?}", can.linked.referent)
    })?;
    ensure(world.driver.capabilities() == can, || "the capabilities changed".into())
}

pub(crate) async fn the_options_are_documented_and_strict(world: &World) -> Result<(), Broken> {
    let kit = world.kit;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    ensure(!kit.kind.is_empty() && kit.kind.chars().all(plain), || {
        format!("`{}` is no name for a driver", kit.kind)
    })?;
    ensure(world.driver.kind() == kit.kind, || {
        format!("`kind` is {}, not {}", world.driver.kind(), kit.kind)
    })?;
    ensure(!kit.about.is_empty() && !kit.about.contains('\n'), || "`ABOUT` is not one line".into())?;
    let schema = (kit.schema)().to_value();
    let properties = schema.get("properties").and_then(Value::as_object);
    let properties = properties.ok_or_else(|| Broken::new(format!("the options are no struct: {schema}")))?;
    for (name, property) in properties {
        ensure(property.get("description").is_some(), || format!("option `{name}` has no doc comment"))?;
    }
    if let Some(target) = kit.target {
        ensure(properties.contains_key(target), || format!("`TARGET` is `{target}`, which is no option"))?;
    }
    let mut options = world.fixture.options();
    options["surely_not_an_option"] = Value::Bool(true);
    let refused = kit.driver(options, &world.base()).err();
    let refused = refused
        .ok_or_else(|| Broken::new("an unknown option was accepted: `deny_unknown_fields` is missing"))?;
    ensure(refused.to_string().contains("surely_not_an_option"), || {
        format!("an unknown option is refused without its name: {refused:?}")
    })
}

pub(crate) async fn every_format_that_is_read_is_read_and_another_is_refused_by_name(
    world: &World,
) -> Result<(), Broken> {
    let formats = world.driver.formats();
    ensure(formats.reads.contains(&formats.writes), || format!("it can't read what it writes: {formats:?}"))?;
    ensure(*formats.reads.end() == formats.writes, || {
        format!("it reads what nobody has written yet: {formats:?}")
    })?;
    let (archived, content, before) = world.dump_then(Seed::Ordinary, Seed::Hostile).await?;
    // The engine refuses other formats before it stages. A driver that looks for itself names what it refuses.
    let newer = formats.writes + 1;
    let staged = world.stage(&Arc::new(archived.with_format(newer))).await;
    if let Err(error) = staged {
        ensure(error.to_string().contains(&newer.to_string()), || {
            format!("a refusal without the format: {error:?}")
        })?;
    }
    world.expect(&before, "after an archive of a newer format").await?;
    world.restore(&archived, OldState::Drop).await?;
    world.expect_content(&content, "after a restore of its own format").await?;
    for format in formats.reads.filter(|format| *format < formats.writes) {
        let sample = world.fixture.older(format);
        let (folder, content) =
            sample.ok_or_else(|| Broken::new(format!("no sample of the older format {format}")))?;
        let older = Arc::new(StoredNode::open(&folder));
        ensure(older.format() == format, || {
            format!("the sample is of format {}, not {format}", older.format())
        })?;
        world.restore(&older, OldState::Drop).await?;
        world.expect_content(&content, &format!("after a restore of the older format {format}")).await?;
    }
    Ok(())
}

pub(crate) async fn inspect_changes_nothing(world: &World) -> Result<(), Broken> {
    for seed in [Seed::Ordinary, Seed::Empty, Seed::Hostile] {
        world.fixture.seed(seed).await;
        let before = world.state().await;
        let first = world.driver.inspect().await?;
        world.expect(&before, "after `inspect`").await?;
        let serious: Vec<_> = first.problems.iter().filter(|p| p.severity != Severity::Warning).collect();
        ensure(serious.is_empty(), || format!("problems in a source that is fine: {serious:?}"))?;
    }
    Ok(())
}

pub(crate) async fn secrets_appear_nowhere(world: &World) -> Result<(), Broken> {
    let secrets = world.fixture.secrets();
    let watch = Watch::start(secrets.clone());
    let mut seen: Vec<(&str, String)> = vec![("target", world.driver.target())];
    world.fixture.seed(Seed::Ordinary).await;
    let inspection = world.driver.inspect().await?;
    seen.push((
        "inspection",
        format!("{inspection:?} {}", serde_json::to_string(&inspection).unwrap_or_default()),
    ));
    let archived = world.dump().await?;
    seen.push(("facts", format!("{:?}", archived.facts())));
    seen.push(("ledger", format!("{:?}", archived.ledger())));
    for part in archived.parts() {
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut archived.read(&part.name)?, &mut content).expect("a stored part");
        seen.push(("a part", format!("{} {}", part.name, String::from_utf8_lossy(&content))));
    }
    let cx = StageContext::new(world.run());
    seen.push(("changes", format!("{:?}", world.driver.changes(archived.clone(), &cx).await?)));
    for step in [Step::Stage, Step::Begin, Step::Load, Step::Prepare, Step::Commit, Step::Finish] {
        let mut restoring = world.staged(&archived, step).await?;
        seen.push(("a token", restoring.staging().journal().to_string()));
        seen.push(("the ledger of a restore", format!("{:?}", restoring.staging().ledger())));
        seen.push(("the staging's address", format!("{:?}", restoring.staging().address())));
        if step != Step::Finish {
            seen.extend(
                restoring.staging().rollback().await.err().map(|e| ("an error", format!("{e} {e:?}"))),
            );
        }
    }
    world.fixture.seed(Seed::Ordinary).await;
    errors(world, &mut seen).await;
    seen.push(("the command line of a process", watch.stop()));
    for secret in &secrets {
        for (what, text) in &seen {
            ensure(!text.contains(secret.as_str()), || format!("a secret is seen in {what}"))?;
        }
    }
    Ok(())
}

/// Errors of all kinds that are easily had.
async fn errors(world: &World, seen: &mut Vec<(&'static str, String)>) {
    let ends = (0..12).flat_map(|moment| [Fault::Fail, Fault::Cancel].map(|fault| (moment, fault)));
    for (moment, fault) in world.tried(ends) {
        let failed = world.dump_with(&Arc::new(Faulty::at(moment, fault)), 1).await.err();
        seen.extend(failed.map(|e| ("an error", format!("{e} {e:?} {:?}", e.hint()))));
    }
    if world.fixture.remove().await {
        let failed = world.dump().await.err();
        seen.extend(failed.map(|e| ("an error", format!("{e} {e:?} {:?}", e.hint()))));
        match world.driver.inspect().await {
            Ok(inspection) => seen.push(("inspection", format!("{inspection:?}"))),
            Err(e) => seen.push(("an error", format!("{e} {e:?} {:?}", e.hint()))),
        }
    }
}

/// Looks at the command lines of all processes while a driver works.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<String>,
}

impl Watch {
    fn start(secrets: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(secrets.is_empty()));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = String::new();
            while !stopped.load(Ordering::SeqCst) {
                for line in command_lines() {
                    if secrets.iter().any(|secret| line.contains(secret.as_str())) {
                        seen.push_str(&line);
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        Self { stop, thread }
    }

    fn stop(self) -> String {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the watch does not panic")
    }
}

fn command_lines() -> impl Iterator<Item = String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| {
        let line = std::fs::read(process.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    })
}
