//! Objects by their exact keys.
//!
//! OpenDAL's operator tidies paths: it takes `a//b` for `a/b` and `a ` for `a`, and refuses to write `a/`. Keys are no
//! paths, and a restore that took one object for another would be the end of the other. So what is done with live objects is
//! asked of the service below the operator, with all its layers, which takes keys as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dumprestore_bucket::opendal::raw::{
    OpCopy, OpDelete, OpRead, OpRename, OpStat, OpWrite, Service as _, oio,
    oio::{Copy as _, Delete as _, Read as _, ReadStream as _, Write as _},
};
use dumprestore_bucket::opendal::{self, Buffer, BytesRange, Capability, ErrorKind, Operator, options};
use dumprestore_bucket::{Bucket, Scheme};
use dumprestore_driver::{Error, Result};

use super::headers::{kept_by, to_write};
use super::place::Place;
use super::upload::{CHUNK, Upload};
use crate::key::can_be_asked_for;
use crate::line::Headers;
use crate::reading::{Read, Reader, Reading};
use crate::state::{State, quoted};

/// S3 copies so much at once.
const MOST_COPIED: u64 = 5 << 30;
/// Larger objects are copied in parts of at least that size, and at most that many.
const COPIED_PART: u64 = 256 << 20;
const MOST_PARTS: u64 = 9_000;

/// The objects of a node.
#[derive(Clone)]
pub(super) struct Objects {
    bucket: Bucket,
    reader: Reader,
    /// Where something is made that is then renamed, by stores that can't copy atomically.
    aside: Place,
    count: Arc<AtomicU64>,
}

/// What is copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct From<'a> {
    pub(super) key: &'a str,
    pub(super) version: Option<&'a str>,
    pub(super) size: u64,
}

impl<'a> From<'a> {
    pub(super) fn latest(key: &'a str, size: u64) -> Self {
        Self { key, version: None, size }
    }
}

impl Objects {
    pub(super) fn new(bucket: Bucket, aside: Place) -> Self {
        Self { reader: Reader::new(bucket.clone()), bucket, aside, count: Arc::default() }
    }

    /// The run that works on them.
    pub(super) fn run(&self) -> &str {
        self.aside.run()
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(super) fn operator(&self) -> &Operator {
        self.bucket.operator()
    }

    /// Whether it is a folder of this machine. (OpenDAL says of every store that it can do what folders can: it imitates that.)
    pub(super) fn is_folder(&self) -> bool {
        self.bucket.scheme() == Scheme::Fs
    }

    pub(super) fn can(&self) -> Capability {
        self.operator().service().capability()
    }

    pub(super) fn failed(&self, doing: &str, key: &str, error: opendal::Error) -> Error {
        self.bucket.failed(doing, key, error)
    }

    /// Refuses keys that a request can't name: it would go to another object.
    pub(super) fn check_key(&self, key: &str) -> Result<()> {
        match can_be_asked_for(key) {
            true => Ok(()),
            false => Err(Error::unsupported(
                "an object whose key is `/`, or has `.` or `..` between slashes, can't be restored",
            )
            .with_context("key", key.escape_debug())
            .with_hint("leave it out with `exclude`")),
        }
    }

    /// What is there, if anything is.
    pub(super) async fn look(&self, key: &str) -> Result<Option<Read>> {
        match self.reader.look(key).await? {
            Reading::Whole(found) => Ok(Some(found)),
            Reading::Gone => Ok(None),
            Reading::Changed => Err(self.gone(key)),
            Reading::Refused(why) => {
                Err(Error::environment(why).with_context("key", key.escape_debug()).with_hint(
                    "a restore must be allowed to read what it replaces: it keeps a copy of it until the end",
                ))
            }
        }
    }

    /// The same of a version.
    pub(super) async fn look_at(&self, key: &str, version: Option<&str>) -> Result<Option<Read>> {
        let Some(version) = version else { return self.look(key).await };
        let options = options::StatOptions { version: Some(version.to_owned()), ..Default::default() };
        let op = self.operator();
        match op.service().stat(op.context(), key, OpStat::from(options)).await {
            Ok(found) => {
                let found = found.into_metadata();
                Ok(Some(Read { state: State::of(&found), headers: Headers::of(&found) }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("look at a version of", key, error)),
        }
    }

    /// Begins to write an object. It is not there before the upload is finished.
    pub(super) fn upload(&self, key: &str, with: &Headers, concurrent: usize) -> Result<Upload> {
        let writer = self.writer(key, with, concurrent)?;
        Ok(Upload::new(self.clone(), key, writer))
    }

    fn writer(&self, key: &str, with: &Headers, concurrent: usize) -> Result<oio::Writer> {
        let op = self.operator();
        let can = self.can();
        let options = to_write(kept_by(with, &can), concurrent);
        OpWrite::from_options(&can, options)
            .and_then(|(args, _)| op.service().write(op.context(), key, args))
            .map_err(|error| self.failed("write", key, error))
    }

    /// Writes a small object of ours.
    pub(super) async fn put(&self, key: &str, content: Vec<u8>) -> Result<()> {
        let written = self.operator().write(key, content).await;
        written.map(drop).map_err(|error| self.failed("write", key, error))
    }

    /// How large an object of ours is, if it is there.
    pub(super) async fn get_size(&self, key: &str) -> Result<Option<u64>> {
        match self.operator().stat(key).await {
            Ok(found) => Ok(Some(found.content_length())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("look at", key, error)),
        }
    }

    /// Reads a small object of ours, if it is there.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self.operator().read(key).await {
            Ok(content) => Ok(Some(content.to_vec())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", key, error)),
        }
    }

    /// Reads a piece of an object.
    pub(super) async fn read(&self, from: From<'_>, offset: u64, size: u64) -> Result<Buffer> {
        let op = self.operator();
        let version = from.version.map(str::to_owned);
        let args = options::ReadOptions { version, ..Default::default() };
        let (_, args, _): (BytesRange, OpRead, _) = args.into();
        let read = async {
            let reader = op.service().read(op.context(), from.key, args)?;
            let (_, mut stream) = reader.open(BytesRange::new(offset, Some(size))).await?;
            stream.read_all().await
        };
        read.await.map_err(|error| self.failed("read", from.key, error))
    }

    /// Copies an object with all that belongs to it, atomically as readers of the new one see it.
    pub(super) async fn copy(&self, from: From<'_>, to: &str) -> Result<()> {
        let can = self.can();
        if !can.copy {
            return self.copy_through_us(from, to).await;
        }
        if self.is_folder() {
            // There, a copy is seen while it is written.
            let aside = self.aside.aside(self.count.fetch_add(1, Ordering::Relaxed));
            self.copy_at_once(from, &aside).await?;
            return self.rename(&aside, to).await;
        }
        let most = can.copy_multi_max_size.map_or(MOST_COPIED, |most| most as u64);
        match from.size > most && can.write_can_copy_from {
            true => self.copy_in_parts(from, to).await,
            false => self.copy_at_once(from, to).await,
        }
    }

    async fn copy_at_once(&self, from: From<'_>, to: &str) -> Result<()> {
        let op = self.operator();
        let options = options::CopyOptions {
            source_version: from.version.map(str::to_owned),
            source_content_length_hint: Some(from.size),
            ..Default::default()
        };
        let copied = async {
            let args = OpCopy::from_options(&self.can(), options)?;
            let mut copier = op.service().copy(op.context(), from.key, to, args)?;
            match copier.close().await {
                Ok(_) => Ok(()),
                Err(error) => {
                    // What failed is told; that it is cleaned up as well is seen to when the restore is over.
                    let _cleaned = copier.abort().await;
                    Err(error)
                }
            }
        };
        copied.await.map_err(|error| self.failed("copy", from.key, error))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let op = self.operator();
        let renamed = op.service().rename(op.context(), from, to, OpRename::new()).await;
        renamed.map(drop).map_err(|error| self.failed("write", to, error))
    }

    /// In parts, for which the store knows nothing of what belongs to the object: that is set anew.
    async fn copy_in_parts(&self, from: From<'_>, to: &str) -> Result<()> {
        let found = self.look_at(from.key, from.version).await?.ok_or_else(|| self.gone(from.key))?;
        let before = self.look(to).await?;
        let mut writer = self.writer(to, &found.headers, 4)?;
        if let Err(error) = self.copy_parts(&mut writer, from, &found).await {
            let _cleaned = writer.abort().await;
            return Err(error);
        }
        let Err(error) = writer.close().await else { return Ok(()) };
        // The store may have done it, and its answer be lost: asked again, it knows of no such upload.
        if let Ok(Some(now)) = self.look(to).await
            && now.state.size == found.state.size
            && before.is_none_or(|before| !before.state.is(&now.state))
        {
            return Ok(());
        }
        let _cleaned = writer.abort().await;
        Err(self.failed("copy", from.key, error))
    }

    async fn copy_parts(&self, writer: &mut oio::Writer, from: From<'_>, found: &Read) -> Result<()> {
        let size = found.state.size;
        let part = COPIED_PART.max(size.div_ceil(MOST_PARTS));
        let failed = |error| self.failed("copy", from.key, error);
        let mut offset = 0;
        while offset < size {
            let options = options::ReadOptions {
                version: from.version.map(str::to_owned),
                if_match: found.state.etag.as_deref().map(quoted),
                ..Default::default()
            };
            let (_, args, _): (BytesRange, OpRead, _) = options.into();
            let range = BytesRange::new(offset, Some(part.min(size - offset)));
            writer.copy_from(from.key, args, range).await.map_err(failed)?;
            offset += part;
        }
        Ok(())
    }

    /// By way of this machine, where the store can't.
    async fn copy_through_us(&self, from: From<'_>, to: &str) -> Result<()> {
        let found = self.look_at(from.key, from.version).await?.ok_or_else(|| self.gone(from.key))?;
        let mut upload = self.upload(to, &found.headers, 1)?;
        let size = found.state.size;
        let mut offset = 0;
        while offset < size {
            let piece = match self.read(from, offset, (CHUNK as u64).min(size - offset)).await {
                Ok(piece) if !piece.is_empty() => piece,
                Ok(_) => return upload.abandon(self.gone(from.key)).await,
                Err(error) => return upload.abandon(error).await,
            };
            offset += piece.len() as u64;
            upload.push(&piece.to_vec()).await?;
        }
        upload.finish().await
    }

    fn gone(&self, key: &str) -> Error {
        Error::environment("an object is gone that was there a moment ago")
            .with_context("key", format!("{key:?}"))
    }

    /// Deletes an object. That it is not there is fine.
    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        let mut deletes = self.deletes()?;
        deletes.push(key, None).await?;
        deletes.finish().await
    }

    /// Begins to delete many.
    pub(super) fn deletes(&self) -> Result<Deletes> {
        let op = self.operator();
        let deleter = op.service().delete(op.context());
        let deleter = deleter.map_err(|error| self.failed("delete", "", error))?;
        Ok(Deletes { objects: self.clone(), deleter, last: None })
    }
}

/// Deletes under way: some at once, where the store can do that.
pub(super) struct Deletes {
    objects: Objects,
    deleter: oio::Deleter,
    /// One of them.
    last: Option<(String, Option<String>)>,
}

impl Deletes {
    pub(super) async fn push(&mut self, key: &str, version: Option<&str>) -> Result<()> {
        let version = version.map(str::to_owned);
        let pushed = push(&self.objects, &mut self.deleter, key, version.clone()).await;
        self.last = Some((key.to_owned(), version));
        match pushed {
            Ok(()) => Ok(()),
            Err(error) => Err(self.refused(error).await),
        }
    }

    pub(super) async fn finish(mut self) -> Result<()> {
        match self.deleter.close().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.refused(error).await),
        }
    }

    /// Of many of which none could be deleted, OpenDAL does not say why: one is asked for alone.
    async fn refused(&self, error: opendal::Error) -> Error {
        let Some((key, version)) = &self.last else { return self.objects.failed("delete", "", error) };
        let alone = async {
            let op = self.objects.operator();
            let mut deleter = op.service().delete(op.context())?;
            push(&self.objects, &mut deleter, key, version.clone()).await?;
            deleter.close().await
        };
        match alone.await {
            Err(reason) if error.kind() == ErrorKind::Unexpected => {
                self.objects.failed("delete", key, reason)
            }
            _ => self.objects.failed("delete", key, error),
        }
    }
}

async fn push(
    objects: &Objects,
    deleter: &mut oio::Deleter,
    key: &str,
    version: Option<String>,
) -> opendal::Result<()> {
    let options = options::DeleteOptions { version, ..Default::default() };
    deleter.delete(key, OpDelete::from_options(&objects.can(), options)?).await
}
