//! How far a restore has come, as the bucket tells it.

use dumprestore_bucket::opendal::{ErrorKind, options::WriteOptions};
use dumprestore_driver::{Error, NodePath, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::objects::Objects;
use super::place::{MARK, Place};
use super::plan::Extent;

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

/// Says that it is this run's turn.
///
/// # Errors
/// If it is another's.
pub(super) async fn take_turn(objects: &Objects, run: &str, node: &NodePath) -> Result<()> {
    let mark = encode(&Mark { run: run.to_owned(), node: node.clone() })?;
    let options =
        WriteOptions { if_not_exists: objects.can().write_with_if_not_exists, ..Default::default() };
    let written = objects.operator().write_options(MARK, mark.clone(), options).await;
    match written {
        Ok(_) => {}
        // Somebody else has come first, or our own first try was not heard of; the next look tells.
        Err(error) if error.kind() == ErrorKind::ConditionNotMatch => {}
        // The store does not know the condition.
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            check_turn(objects, run).await?;
            objects.put(MARK, mark).await?;
        }
        Err(error) => return Err(objects.failed("write", MARK, error)),
    }
    check_turn(objects, run).await?;
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
    Error::new(dumprestore_driver::ErrorKind::Locked, "another restore into this bucket is under way, or was interrupted")
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
