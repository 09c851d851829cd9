//! The plan of a restore: what it changes, object by object, in an object of its own.

use std::collections::VecDeque;

use dumprestore_driver::{Error, Result};
use futures_util::Stream;
use futures_util::stream::try_unfold;
use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::objects::{From, Objects};
use super::upload::Upload;
use crate::line::Headers;

/// So many bytes of a plan are read at once.
const PIECE: u64 = 4 << 20;
/// No line is longer, whatever the key.
const LONGEST_LINE: usize = 64 << 10;

/// What is done with one object. It has a new one, or an old one, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) key: String,
    /// What is put there. Without it, the object goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) new: Option<New>,
    /// What was there, and is saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) old: Option<Old>,
    /// The name of the old object, and of one that came late.
    pub(super) name: String,
}

/// What is put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    /// The key that it is copied from.
    pub(super) from: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    pub(super) is: Identity,
}

/// What was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Old {
    pub(super) was: Identity,
}

impl New {
    pub(super) fn source(&self) -> From<'_> {
        From { key: &self.from, version: self.version.as_deref(), size: self.is.size }
    }
}

/// What is known of a whole plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    pub(super) steps: u64,
    pub(super) bytes: u64,
}

/// A plan that is being written.
pub(super) struct Writer {
    upload: Upload,
    extent: Extent,
}

impl Writer {
    pub(super) fn new(objects: &Objects, key: &str) -> Result<Self> {
        Ok(Self { upload: objects.upload(key, &Headers::default(), 1)?, extent: Extent::default() })
    }

    /// Adds a step. If that fails, the plan is given up.
    pub(super) async fn push(&mut self, step: &Step) -> Result<()> {
        let mut line = serde_json::to_vec(step)
            .map_err(|error| Error::defect("a step of a restore can't be written down").with_source(error))?;
        line.push(b'\n');
        self.extent.steps += 1;
        self.extent.bytes += line.len() as u64;
        self.upload.push(&line).await
    }

    pub(super) async fn finish(self) -> Result<Extent> {
        self.upload.finish().await?;
        Ok(self.extent)
    }

    /// Gives it up for that reason.
    pub(super) async fn give_up<T>(&mut self, why: Error) -> Result<T> {
        self.upload.give_up().await;
        Err(why)
    }
}

/// Reads a plan that lies there, in order.
///
/// # Errors
/// If it is not whole.
pub(super) fn read(objects: Objects, key: String, extent: Extent) -> impl Stream<Item = Result<Step>> {
    let reader =
        Reader { objects, key, extent, offset: 0, steps: 0, rest: Vec::new(), ready: VecDeque::new() };
    try_unfold(reader, async |mut reader| Ok(reader.next().await?.map(|step| (step, reader))))
}

struct Reader {
    objects: Objects,
    key: String,
    extent: Extent,
    offset: u64,
    steps: u64,
    /// Of a line whose end is not read yet.
    rest: Vec<u8>,
    ready: VecDeque<Step>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Step>> {
        while self.ready.is_empty() && self.offset < self.extent.bytes {
            self.fill().await?;
        }
        match self.ready.pop_front() {
            Some(step) => {
                self.steps += 1;
                Ok(Some(step))
            }
            None if self.steps == self.extent.steps && self.rest.is_empty() => Ok(None),
            None => Err(self.damaged()),
        }
    }

    async fn fill(&mut self) -> Result<()> {
        let size = PIECE.min(self.extent.bytes - self.offset);
        let from = From::latest(&self.key, self.extent.bytes);
        let piece = self.objects.read(from, self.offset, size).await?.to_vec();
        if piece.len() as u64 != size {
            return Err(self.damaged());
        }
        self.offset += size;
        self.rest.extend_from_slice(&piece);
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        for line in whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.ready
                .push_back(serde_json::from_slice(line).map_err(|error| self.damaged().with_source(error))?);
        }
        if self.rest.len() > LONGEST_LINE { Err(self.damaged()) } else { Ok(()) }
    }

    fn damaged(&self) -> Error {
        Error::environment("the plan of a restore in the bucket is not as it was written")
            .with_context("key", &self.key)
            .with_hint("somebody has changed it: the old objects lie beside it, under `old/`")
    }
}
