//! The options of a `media` node.

use std::sync::Arc;

use dumprestore_bucket::{Bucket, BucketOptions, BucketUrl};
use dumprestore_driver::{BuildContext, Driver, DriverConfig, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::driver::Media;
use crate::filter::Filter;
use crate::site::Site;

/// Objects in a store, below a prefix.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MediaConfig {
    /// The store and the prefix: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `azblob://CONTAINER/PREFIX`, or `fs:///FOLDER`.
    pub url: String,
    /// Only what matches one of these patterns, and what lies below a folder that does. `*.jpg` is a name at any
    /// depth, `a/*.jpg` a key from its beginning, `**` crosses slashes.
    #[serde(default)]
    pub include: Vec<String>,
    /// Not what matches one of these patterns, nor what lies below it. A restore leaves it where it is.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// What a dump keeps of an object.
    #[serde(default)]
    pub mode: Mode,
    /// How to get to the store.
    #[serde(flatten)]
    pub store: BucketOptions,
}

/// What a dump keeps of an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Mode {
    /// Its bytes.
    #[default]
    Copy,
    /// Which version it was: the bytes stay in the bucket, whose versions must outlive the archive.
    Versions,
}

impl MediaConfig {
    /// The options with all but the URL as they are by default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            include: Vec::new(),
            exclude: Vec::new(),
            mode: Mode::default(),
            store: BucketOptions::default(),
        }
    }
}

impl DriverConfig for MediaConfig {
    const KIND: &'static str = "media";
    const ABOUT: &'static str = "media in a bucket: objects with what belongs to them";
    const TARGET: Option<&'static str> = Some("url");

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        let filter = Filter::new(&self.include, &self.exclude)?;
        let bucket = Bucket::open(&BucketUrl::parse(&self.url)?, &self.store, &cx.base)?;
        Ok(Arc::new(Media::new(Site { bucket, filter, mode: self.mode })))
    }
}
