//! Archives and buckets for tests of stores.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses some of it; what fails ends the test")]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use dumprestore::{ArchiveCopy, Elsewhere};
use dumprestore_archive::{
    Archive, ArchiveWriter, Compression, EntryName, Listed, Manifest, Node, Output, Tool, WriterOptions,
};
use dumprestore_bucket::{Bucket, BucketOptions, BucketUrl};
use dumprestore_driver::{Cancel, Secret};
use dumprestore_store::{Identities, Object, Place, StoreDestination, Target, WriteSettings};
use dumprestore_testkit::{S3Bucket, S3Kind, S3Server, Trouble};
use time::OffsetDateTime;

pub(crate) const PLAIN: &str = "shop-20260131T120000Z.zip";

pub(crate) fn options(endpoint: &str, server: &S3Server) -> BucketOptions {
    let mut options = BucketOptions::default();
    options.endpoint = Some(endpoint.to_owned());
    options.access_key_id = Some(Secret::new(server.access_key()));
    options.secret_access_key = Some(Secret::new(server.secret_key()));
    options
}

/// A bucket of a real store, what stands before it, and the way there.
pub(crate) struct Scene {
    pub(crate) real: S3Bucket,
    pub(crate) trouble: Trouble,
    pub(crate) bucket: Bucket,
    pub(crate) state: tempfile::TempDir,
}

impl Scene {
    fn of(kind: S3Kind, real: S3Bucket, retries: usize) -> Self {
        let server = S3Server::shared(kind);
        let trouble = Trouble::before(&server.address());
        let url = BucketUrl::parse(&real.url("archives")).unwrap();
        let mut options = options(&trouble.endpoint(), server);
        options.retries = Some(retries);
        options.timeout = Some(5);
        let bucket = Bucket::open(&url, &options, Path::new("/")).unwrap();
        Self { real, trouble, bucket, state: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn new(kind: S3Kind) -> Self {
        Self::of(kind, S3Server::shared(kind).create_bucket(), 3)
    }

    /// One that tries often enough for any trouble that comes to an end.
    pub(crate) fn patient(kind: S3Kind) -> Self {
        Self::of(kind, S3Server::shared(kind).create_bucket(), 10)
    }

    pub(crate) fn versioned(kind: S3Kind) -> Self {
        Self::of(kind, S3Server::shared(kind).create_versioned_bucket(), 3)
    }

    pub(crate) fn object(&self, name: &str) -> Object {
        Object::new(self.bucket.clone(), name)
    }

    pub(crate) fn place(&self, name: &str) -> Place {
        Place::Object(self.object(name))
    }

    /// The object as its store has it.
    pub(crate) fn stored(&self, name: &str) -> Option<Vec<u8>> {
        self.real.get(&format!("archives/{name}"))
    }

    /// That there is nothing: no object, and no upload that nobody completes.
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.real.keys(""), Vec::<String>::new());
        self.assert_no_uploads();
    }

    pub(crate) fn assert_no_uploads(&self) {
        assert!(self.real.uploads("").is_empty(), "{:?}", self.real.uploads(""));
    }

    pub(crate) fn destination(&self, places: &[Place]) -> StoreDestination {
        let targets = places.iter().cloned().map(Target::new).collect();
        StoreDestination::new(targets, settings(), Cancel::default())
    }

    /// Writes an archive into these places.
    pub(crate) fn write(&self, places: &[Place], bytes: usize) -> Result<Vec<ArchiveCopy>, String> {
        let mut destination = self.destination(places);
        let opened = destination.open(self.state.path()).map_err(|error| error.to_string())?;
        archive("shop", bytes, opened.output).map_err(|error| error.to_string())?;
        Ok(destination.copies())
    }
}

pub(crate) fn settings() -> WriteSettings {
    let mut settings = WriteSettings::default();
    settings.set = "shop".to_owned();
    settings
}

/// Bytes that do not compress, the same at each call.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let word = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes.div_ceil(8)).flat_map(word).take(bytes).collect()
}

/// An archive of one node with a part of so many bytes that do not compress, as of a moment.
pub(crate) fn archive(set: &str, bytes: usize, output: Box<dyn Output>) -> dumprestore_archive::Result<()> {
    archive_as_of(set, bytes, OffsetDateTime::now_utc(), &|_| {}, output)
}

pub(crate) fn archive_as_of(
    set: &str,
    bytes: usize,
    moment: OffsetDateTime,
    change: &dyn Fn(&mut Manifest),
    output: Box<dyn Output>,
) -> dumprestore_archive::Result<()> {
    let writer = ArchiveWriter::create(output, WriterOptions::default())?;
    let mut part = writer.part(&EntryName::new("db", "data")?, Compression::Store)?;
    for piece in noise(bytes).chunks(300_000) {
        part.write_all(piece)?;
    }
    let receipt = part.finish()?;
    let tool = Tool { name: "tests".into(), version: "1.0".into() };
    let run = format!("run-{}", moment.unix_timestamp_nanos());
    let mut manifest = Manifest::new(tool, set, run, moment);
    manifest.cut = Some(moment);
    manifest.nodes.push(Node::new("db", "sqlite", 1));
    change(&mut manifest);
    writer.list("db", receipt.id, 0, &Listed::default())?;
    writer.seal(manifest).map(drop)
}

/// Every byte of the archive is what was written.
pub(crate) fn assert_whole(place: &Place) {
    let opened = dumprestore_store::open(place, &Identities::none()).unwrap();
    opened.archive().verify_bytes(&|_| {}, &|| false).unwrap();
}

pub(crate) fn assert_whole_bytes(bytes: Vec<u8>) {
    let opened = Archive::open(Arc::new(bytes)).unwrap();
    opened.verify(&Default::default(), &|_| {}, &|| false).unwrap();
}
