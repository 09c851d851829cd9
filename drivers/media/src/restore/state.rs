//! How far a restore has come, as the bucket tells it.

use std::time::Duration;

use dumprestore_bucket::Bucket;
use dumprestore_bucket::opendal::{ErrorKind as StoreKind, options::WriteOptions};
use dumprestore_driver::{Error, ErrorKind, NodePath, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::objects::Objects;
use super::place::{MARK, Place};
use super::plan::Extent;

/// So long others take from their look at the mark to their own, where nothing keeps them from writing it.
const OTHERS: Duration = Duration::from_millis(250);

/// What is done with the objects of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) node: NodePath,
    pub(super) step: Step,
    /// Whether a copy has the ETag of what it is a copy of, in this bucket.
    pub(super) copies_keep_etags: bool,
    /// Of the plan, once there is one.
    pub(super) plan: Extent,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    Begun,
    Prepared,
    Committing,
    Committed,
    /// All old objects are back; what was staged is being removed.
    RolledBack,
    /// It is over; old objects are kept.
    Kept,
    /// It is over; what was staged and the old objects are being removed.
    Dropping,
}

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    run: String,
    node: NodePath,
}

impl State {
    pub(super) async fn read(objects: &Objects, place: &Place) -> Result<Option<Self>> {
        read(objects, &place.state()).await
    }

    pub(super) async fn write(&self, objects: &Objects, place: &Place) -> Result<()> {
        objects.put(&place.state(), encode(self)?).await
    }
}

/// Refuses if another restore is under way.
pub(super) async fn check_turn(objects: &Objects, run: &str) -> Result<()> {
    match read::<Mark>(objects, MARK).await? {
        Some(mark) if mark.run != run => Err(taken(&mark)),
        _ => Ok(()),
    }
}

/// Refuses if a restore is under way into a prefix that this one lies in. What may not be seen there is not.
pub(super) async fn check_above(objects: &Objects) -> Result<()> {
    for above in objects.bucket().above()? {
        match above.operator().read(MARK).await {
            Ok(_) => {
                return Err(Error::new(
                    ErrorKind::Locked,
                    "another restore into a prefix that this one lies in is under way, or was interrupted",
                )
                .with_context("there", above.shown())
                .with_context("key", MARK)
                .with_hint("wait for it, or run `dumprestore recover` where it was run"));
            }
            Err(error) if matches!(error.kind(), StoreKind::NotFound | StoreKind::PermissionDenied) => {}
            Err(error) => return Err(above.failed("read", MARK, error)),
        }
    }
    Ok(())
}

/// The folder below the prefix that another restore goes into, if that is what a live key says.
pub(super) fn turn_below(key: &str) -> Option<&str> {
    key.strip_suffix(MARK)?.strip_suffix('/')
}

pub(super) fn taken_below(key: &str) -> Error {
    Error::new(
        ErrorKind::Locked,
        "another restore into a part of this prefix is under way, or was interrupted",
    )
    .with_context("key", key.escape_debug())
    .with_hint(
        "wait for it, or run `dumprestore recover` where it was run; or leave that part out with `exclude`",
    )
}

/// The run whose commit has been begun here and is not over, if there is one; `true` if all of it is in place.
///
/// # Errors
/// If the store can't be asked.
pub(crate) async fn under_way(bucket: &Bucket) -> Result<Option<(String, bool)>> {
    match bucket.operator().exists(MARK).await {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        // Who may not see it may not see what else is ours.
        Err(error) if error.kind() == StoreKind::PermissionDenied => return Ok(None),
        Err(error) => return Err(bucket.failed("look at", MARK, error)),
    }
    let objects = Objects::new(bucket.clone(), Place::of("none"));
    let Some(mark) = read::<Mark>(&objects, MARK).await? else { return Ok(None) };
    let state = State::read(&objects, &Place::of(&mark.run)).await?;
    Ok(match state.map(|state| state.step) {
        Some(Step::Committing) => Some((mark.run, false)),
        Some(Step::Committed) => Some((mark.run, true)),
        _ => None,
    })
}

/// Says that it is this run's turn.
///
/// # Errors
/// If it is another's.
pub(super) async fn take_turn(objects: &Objects, run: &str, node: &NodePath) -> Result<()> {
    let mark = encode(&Mark { run: run.to_owned(), node: node.clone() })?;
    let options =
        WriteOptions { if_not_exists: objects.can().write_with_if_not_exists, ..Default::default() };
    check_turn(objects, run).await?;
    let written = objects.operator().write_options(MARK, mark.clone(), options.clone()).await;
    match written {
        Ok(_) => {}
        // Somebody else has come first, or our own first try was not heard of; the next look tells.
        Err(error) if error.kind() == StoreKind::ConditionNotMatch => {}
        // The store does not know the condition.
        Err(error) if error.kind() == StoreKind::Unsupported => {
            check_turn(objects, run).await?;
            objects.put(MARK, mark.clone()).await?;
        }
        Err(error) => return Err(objects.failed("write", MARK, error)),
    }
    check_turn(objects, run).await?;
    // A store that takes it a second time passes over the condition: whoever writes last has the turn then, and the others see that
    // once they have written.
    let again = objects.operator().write_options(MARK, mark, options).await;
    if !matches!(&again, Err(error) if error.kind() == StoreKind::ConditionNotMatch) {
        tokio::time::sleep(OTHERS).await;
        check_turn(objects, run).await?;
    }
    match read::<Mark>(objects, MARK).await? {
        Some(_) => Ok(()),
        None => Err(Error::environment("what was written to the bucket a moment ago is not there")
            .with_context("key", MARK)
            .with_hint("does somebody clean up `.dumprestore/` in that bucket?")),
    }
}

/// Whether it is this run's turn.
pub(super) async fn is_turn_of(objects: &Objects, run: &str) -> Result<bool> {
    Ok(read::<Mark>(objects, MARK).await?.is_some_and(|mark| mark.run == run))
}

/// Ends the turn of this run, if it is its.
pub(super) async fn end_turn(objects: &Objects, run: &str) -> Result<()> {
    match is_turn_of(objects, run).await? {
        true => objects.delete(MARK).await,
        false => Ok(()),
    }
}

fn taken(mark: &Mark) -> Error {
    Error::new(ErrorKind::Locked, "another restore into this bucket is under way, or was interrupted")
        .with_context("run", mark.run.escape_debug())
        .with_context("of node", &mark.node)
        .with_hint(format!(
            "wait for it, or run `dumprestore recover` where it was run; if that can't be, the old objects are in \
             `.dumprestore/{}/old/`, and `{MARK}` is what stands in the way",
            mark.run.escape_debug()
        ))
}

async fn read<T: DeserializeOwned>(objects: &Objects, key: &str) -> Result<Option<T>> {
    let Some(content) = objects.get(key).await? else { return Ok(None) };
    let found = serde_json::from_slice(&content).map_err(|error| {
        Error::environment("an object of ours in the bucket makes no sense")
            .with_source(error)
            .with_context("key", key)
            .with_hint("was it written by a newer dumprestore? use that one")
    })?;
    Ok(Some(found))
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| {
        Error::defect("what is to be noted in the bucket can't be written down").with_source(error)
    })
}
