//! One object of a bucket.

use std::fmt;

use dumprestore_bucket::{Bucket, opendal};
use dumprestore_driver::Error;

/// An object of a bucket, and one version of it if that is meant.
#[derive(Clone)]
pub struct Object {
    pub(crate) bucket: Bucket,
    pub(crate) key: String,
    pub(crate) version: Option<String>,
}

impl Object {
    /// The object under that key, below the bucket's prefix.
    pub fn new(bucket: Bucket, key: impl Into<String>) -> Self {
        Self { bucket, key: key.into(), version: None }
    }

    /// The same, as it was in that version.
    pub fn at_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Its key, below the bucket's prefix.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its name for people.
    pub fn shown(&self) -> String {
        let folder = self.bucket.shown();
        let slash = if folder.ends_with('/') { "" } else { "/" };
        let version = self.version.as_ref().map(|version| format!("?version={version}"));
        format!("{folder}{slash}{}{}", self.key, version.unwrap_or_default())
    }

    pub(crate) fn failed(&self, doing: &str, error: opendal::Error) -> Error {
        self.bucket.failed(doing, &self.key, error)
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({})", self.shown())
    }
}
