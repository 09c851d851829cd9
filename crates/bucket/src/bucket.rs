//! A store and a prefix in it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use dumprestore_driver::{Error, Result};
use opendal::Operator;

use crate::service::Store;
use crate::url::{plain_prefix, shown};
use crate::{BucketOptions, BucketUrl, Scheme, fault};

/// A store and a prefix in it. Clones share its connections and its limits.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<Store>,
    prefix: String,
    operator: Operator,
    shown: String,
}

impl Bucket {
    /// The store at `url`. Relative paths in `options` start at `base`. Offline: credentials are looked for when the
    /// first request is made.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) for options that can't be, files of secrets that
    /// can't be read, or a folder that is not there.
    pub fn open(url: &BucketUrl, options: &BucketOptions, base: &Path) -> Result<Self> {
        Self::at(Arc::new(Store::new(url, options, base)?), url.prefix().to_owned())
    }

    fn at(store: Arc<Store>, prefix: String) -> Result<Self> {
        let operator = store.operator(&prefix)?;
        let shown = shown(store.scheme, &store.name, &prefix);
        Ok(Self { store, prefix, operator, shown })
    }

    /// The same store, deeper.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if that is no prefix: it has empty names, `.` or `..`.
    pub fn within(&self, prefix: &str) -> Result<Self> {
        let prefix = plain_prefix(prefix)?;
        let whole = match (self.prefix.as_str(), prefix.as_str()) {
            (_, "") => self.prefix.clone(),
            ("", deeper) => deeper.to_owned(),
            (above, deeper) => format!("{}/{deeper}", above.trim_end_matches('/')),
        };
        Self::at(Arc::clone(&self.store), whole)
    }

    /// The way to its objects, by keys below the prefix. Requests are tried again where that may help, and limited.
    ///
    /// OpenDAL takes blanks off the ends of a key, and leaves out its empty names: `a//b` becomes `a/b`.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// For people: the store and the prefix.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Which kind of store.
    pub fn scheme(&self) -> Scheme {
        self.store.scheme
    }

    /// Where in the store: without a slash at either end; for a folder, its absolute path.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The most requests under way at once.
    pub fn concurrency(&self) -> usize {
        self.store.concurrency()
    }

    /// An error for people: `can't {doing} …`, on that key (nothing: on the store itself), why, and what to do.
    ///
    /// `doing` is a verb, with what it is about: `read`, `write`, `list`.
    pub fn failed(&self, doing: &str, key: &str, error: opendal::Error) -> Error {
        fault::told(&self.store, &self.shown, doing, key, &error)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.shown)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
