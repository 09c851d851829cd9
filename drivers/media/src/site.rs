//! Where a node's objects are, and which of them are its own.

use std::path::{Path, PathBuf};

use dumprestore_bucket::{Bucket, Scheme};

use crate::config::Mode;
use crate::filter::Filter;

/// What dump and restore have in common.
#[derive(Clone)]
pub(crate) struct Site {
    /// At the node's prefix.
    pub(crate) bucket: Bucket,
    pub(crate) filter: Filter,
    /// What a dump keeps. A restore goes by what the archive has.
    pub(crate) mode: Mode,
}

impl Site {
    /// Without these places of archives, by their canonical names, and without these files and folders, if it is a folder that
    /// they lie in: archives, and what the engine keeps.
    pub(crate) fn without(mut self, places: &[String], ours: &[PathBuf]) -> Self {
        let below = format!("{}/", self.bucket.identity());
        let keys = places.iter().filter_map(|place| place.strip_prefix(&below));
        self.filter = self.filter.without(keys.map(str::to_owned).collect());
        if self.bucket.scheme() == Scheme::Fs {
            let folder = PathBuf::from(self.bucket.prefix());
            let keys = ours.iter().flat_map(|path| keys_of(path, &folder)).collect();
            self.filter = self.filter.without(keys);
        }
        self
    }
}

/// The key of a path below a folder, as both are written and as links lead.
fn keys_of(path: &Path, folder: &Path) -> Vec<String> {
    let below = |path: &Path, folder: &Path| {
        let key = path.strip_prefix(folder).ok()?.to_str()?;
        Some(key.to_owned()).filter(|key| !key.is_empty())
    };
    [below(path, folder), below(&resolved(path), &resolved(folder))].into_iter().flatten().collect()
}

/// With all links resolved, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let exists = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    exists
        .and_then(|(above, real)| path.strip_prefix(above).ok().map(|rest| real.join(rest)))
        .unwrap_or_else(|| path.to_owned())
}
