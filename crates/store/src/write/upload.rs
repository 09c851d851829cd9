//! A copy in a bucket: parts are uploaded several at once, and the object appears when the last one is there.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dumprestore_archive::Existing;
use dumprestore_bucket::opendal;
use dumprestore_driver::{Cancel, Error, ErrorKind, Result};
use opendal::options::{DeleteOptions, StatOptions, WriteOptions};
use opendal::{Buffer, ErrorKind as StoreErrorKind, Metadata, Writer};

use super::check::{Checked, Written};
use super::lane::Copying;
use super::pace::Pace;
use super::parts::PartSizes;
use crate::object::Object;
use crate::read::StoredArchive;
use crate::transfers;

/// Parts that are uploaded at once. Each is in memory; a line that is not filled by these is a rare one.
const AT_ONCE: usize = 4;
/// How long a request that is under way may still take when the upload is given up.
const GRACE: Duration = Duration::from_secs(10);
/// By what an upload is known as this one.
const MARK: &str = "dumprestore-upload";

/// How a copy is uploaded.
#[derive(Debug, Clone)]
pub(crate) struct UploadOptions {
    pub(crate) existing: Existing,
    /// Bytes of each part, if they have to be of one size.
    pub(crate) part_size: Option<u64>,
    pub(crate) pace: Option<Pace>,
    pub(crate) content_type: &'static str,
    /// What is kept beside the object, for people who look at the bucket.
    pub(crate) notes: Vec<(String, String)>,
    pub(crate) cancel: Cancel,
}

pub(crate) struct Upload {
    object: Object,
    /// None while a request that was given up holds it.
    writer: Option<Writer>,
    options: UploadOptions,
    parts: PartSizes,
    gathered: Vec<Bytes>,
    gathered_bytes: u64,
    mark: String,
}

impl Upload {
    /// Looks whether the name is free. Nothing is written yet.
    pub(crate) fn begin(object: Object, options: UploadOptions) -> Result<Self> {
        let looked = object.clone();
        let there = transfers::wait(async move { there(&looked).await })?;
        if options.existing == Existing::Keep && there.is_some() {
            return Err(taken(&object));
        }
        let random = RandomState::new();
        let mark = format!("{:016x}{:016x}", random.hash_one(1), RandomState::new().hash_one(2));
        let (opened, how) = (object.clone(), write_options(&object, &options, &mark));
        let writer = transfers::wait(async move {
            let writer = opened.bucket.operator().writer_options(&opened.key, how).await;
            writer.map_err(|error| opened.failed("upload", error))
        })?;
        let parts = PartSizes::new(options.part_size);
        Ok(Self {
            object,
            writer: Some(writer),
            options,
            parts,
            gathered: Vec::new(),
            gathered_bytes: 0,
            mark,
        })
    }

    /// Hands over what was gathered, as one part.
    fn hand_over(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let part = Buffer::from(std::mem::take(&mut self.gathered));
        let bytes = std::mem::take(&mut self.gathered_bytes);
        self.parts.current().ok_or_else(|| too_many_parts(&self.object))?;
        self.parts.advance();
        if let Some(pace) = &self.options.pace {
            pace.wait(bytes, &self.options.cancel)?;
        }
        self.with_writer(|mut writer| async move {
            let wrote = writer.write(part).await;
            (writer, wrote)
        })
    }

    /// Has the writer do something. If that is to be given up, and does not come to an end soon, it is left to itself.
    fn with_writer<T, F>(&mut self, work: impl FnOnce(Writer) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = (Writer, opendal::Result<T>)> + Send + 'static,
    {
        let writer = self.writer.take().ok_or_else(Error::cancelled)?;
        let cancel = self.options.cancel.clone();
        let (back, result) = transfers::wait(async move {
            let mut working = tokio::spawn(work(writer));
            let ended = tokio::select! {
                ended = &mut working => Some(ended),
                () = given_up(&cancel) => None,
            };
            match ended {
                Some(ended) => ended.map_err(|error| Error::defect("an upload panicked").with_source(error)),
                None => Err(Error::cancelled()),
            }
        })?;
        self.writer = Some(back);
        result.map_err(|error| self.object.failed("upload", error))
    }

    /// Completes the upload. A store may complete it and fail to say so: then what is there tells.
    fn complete(&mut self) -> Result<Metadata> {
        let writer = self.writer.take().ok_or_else(Error::cancelled)?;
        let (writer, closed) = transfers::wait(async move {
            let mut writer = writer;
            let closed = writer.close().await;
            Ok((writer, closed))
        })?;
        self.writer = Some(writer);
        let error = match closed {
            Ok(published) => return Ok(published),
            Err(error) => error,
        };
        if let Ok(Some(published)) = self.ours() {
            return Ok(published);
        }
        let refused = error.kind() == StoreErrorKind::ConditionNotMatch;
        let failure =
            if refused { taken(&self.object) } else { self.object.failed("complete the upload of", error) };
        self.remove_parts();
        // It may have been completed in between.
        match self.ours() {
            Ok(Some(published)) => Ok(published),
            Ok(None) => Err(failure),
            Err(_) => {
                Err(failure
                    .with_hint("the store can't be asked any more: the archive may be there all the same"))
            }
        }
    }

    /// What is there, if this upload has put it there.
    fn ours(&self) -> Result<Option<Metadata>> {
        let (object, mark) = (self.object.clone(), self.mark.clone());
        transfers::wait(async move {
            let there = there(&object).await?;
            Ok(there.filter(|there| is_marked(there, &mark)))
        })
    }

    fn remove_parts(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        // If it can't be aborted now, the next run does it, by what is noted down.
        let _aborted: Result<()> = transfers::wait(async move {
            let mut writer = writer;
            let aborting = tokio::time::timeout(GRACE, writer.abort());
            let _aborted = aborting.await;
            Ok(())
        });
    }

    /// Looks at the version that was published.
    fn check(&self, published: &Metadata, written: &Written) -> Result<Checked> {
        let mut object = self.object.clone();
        if object.bucket.operator().info().capability().read_with_version {
            object.version = published.version().filter(|version| *version != "null").map(str::to_owned);
        }
        let there = StoredArchive::open(&object)?;
        written.compare(Arc::new(there))
    }

    /// Removes what was published, if it is still this. The error that is under way says that nothing there is to be trusted;
    /// if it can't be removed, it says also that it is still there.
    fn take_back(&self, published: &Metadata, why: Error) -> Error {
        match self.remove(published) {
            Ok(()) => why,
            Err(error) => {
                let hint = format!("remove the object, it can't be trusted; that failed here: {error}");
                why.with_context("still there", self.object.shown()).with_hint(hint)
            }
        }
    }

    fn remove(&self, published: &Metadata) -> Result<()> {
        if self.ours()?.is_none() {
            return Ok(());
        }
        let object = self.object.clone();
        let version = published.version().filter(|version| *version != "null").map(str::to_owned);
        let can = object.bucket.operator().info().capability().delete_with_version;
        let options = DeleteOptions { version: version.filter(|_| can), ..DeleteOptions::default() };
        transfers::wait(async move {
            let removed = object.bucket.operator().delete_options(&object.key, options).await;
            removed.map_err(|error| object.failed("remove", error))
        })
    }
}

impl Copying for Upload {
    fn shown(&self) -> String {
        self.object.shown()
    }

    fn write(&mut self, block: Bytes) -> Result<()> {
        self.gathered_bytes += block.len() as u64;
        self.gathered.push(block);
        let size = self.parts.current().ok_or_else(|| too_many_parts(&self.object))?;
        if self.gathered_bytes >= size { self.hand_over() } else { Ok(()) }
    }

    fn publish(mut self: Box<Self>, written: &Written) -> Result<Checked> {
        if let Err(error) = self.hand_over() {
            self.remove_parts();
            return Err(error);
        }
        let published = self.complete()?;
        match self.check(&published, written) {
            Err(error) if error.kind() == ErrorKind::Archive => Err(self.take_back(&published, error)),
            checked => Ok(checked.unwrap_or_else(Checked::Unknown)),
        }
    }

    fn abort(mut self: Box<Self>) {
        self.remove_parts();
    }
}

async fn given_up(cancel: &Cancel) {
    cancel.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

async fn there(object: &Object) -> Result<Option<Metadata>> {
    match object.bucket.operator().stat_options(&object.key, StatOptions::default()).await {
        Ok(there) => Ok(Some(there)),
        Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(object.failed("look at", error)),
    }
}

fn is_marked(there: &Metadata, mark: &str) -> bool {
    there.user_metadata().is_some_and(|notes| notes.get(MARK) == Some(mark))
}

fn write_options(object: &Object, options: &UploadOptions, mark: &str) -> WriteOptions {
    let can = object.bucket.operator().info().capability();
    let mut notes: HashMap<String, String> = options.notes.iter().cloned().collect();
    notes.insert(MARK.to_owned(), mark.to_owned());
    WriteOptions {
        if_not_exists: options.existing == Existing::Keep && can.write_with_if_not_exists,
        user_metadata: can.write_with_user_metadata.then_some(notes),
        content_type: can.write_with_content_type.then(|| options.content_type.to_owned()),
        concurrent: AT_ONCE,
        ..WriteOptions::default()
    }
}

fn taken(object: &Object) -> Error {
    Error::environment(format!("`{}` exists", object.shown()))
        .with_hint("give the archive another name: none is overwritten")
}

fn too_many_parts(object: &Object) -> Error {
    Error::environment("the archive has more parts than a store takes")
        .with_context("archive", object.shown())
        .with_hint("give larger ones with `part_size`")
}
