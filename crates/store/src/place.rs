//! Where archives go to and come from: a folder, a file, a prefix of a bucket, or one object of it.

use std::fmt;
use std::path::{Path, PathBuf};

use dumprestore_bucket::{Bucket, BucketOptions, BucketUrl, Scheme};
use dumprestore_driver::{Error, Result};

use crate::object::Object;

/// How names of archives end; of those that are encrypted, too.
pub(crate) const ENDS: [&str; 2] = [".zip", ".zip.age"];

/// A place that archives are in, or one archive.
#[derive(Clone)]
#[non_exhaustive]
pub enum Place {
    /// A local folder.
    Folder(PathBuf),
    /// A local file.
    File(PathBuf),
    /// All that is below a prefix of a bucket.
    Prefix(Bucket),
    /// One object of a bucket.
    Object(Object),
}

impl Place {
    /// Whether this text is a URL, and no path.
    pub fn is_url(text: &str) -> bool {
        text.contains("://")
    }

    /// What a URL means: one archive if its last name ends in `.zip` or `.zip.age`, and else a prefix. `?version=ID` is a
    /// version of an object. `base` is where relative paths in the options start from.
    ///
    /// # Errors
    /// If it is no URL of a store, or has a login in it. Nothing is asked of the store.
    pub fn from_url(text: &str, options: &BucketOptions, base: &Path) -> Result<Self> {
        let (place, version) = split_version(text)?;
        let url = BucketUrl::parse(&place)?;
        if url.scheme() == Scheme::Fs {
            let path = PathBuf::from(url.prefix());
            return Ok(if is_archive_name(url.prefix()) { Self::File(path) } else { Self::Folder(path) });
        }
        if !is_archive_name(url.prefix()) {
            return match version {
                None => Bucket::open(&url, options, base).map(Self::Prefix),
                Some(_) => Err(Error::config("only an archive has versions, and this URL names none")
                    .with_context("url", url.shown())),
            };
        }
        let (parent, key) = split_key(&place);
        let bucket = Bucket::open(&BucketUrl::parse(&parent)?, options, base)?;
        let object = Object::new(bucket, key);
        Ok(Self::Object(match version {
            Some(version) => object.at_version(version),
            None => object,
        }))
    }

    /// Its name for people, without secrets.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder(path) | Self::File(path) => path.display().to_string(),
            Self::Prefix(bucket) => bucket.shown().to_owned(),
            Self::Object(object) => object.shown(),
        }
    }

    /// What tells it from all other places, as [`Bucket::identity`] does; for what is local, its path.
    pub fn identity(&self) -> String {
        match self {
            Self::Folder(path) | Self::File(path) => path.display().to_string(),
            Self::Prefix(bucket) => bucket.identity(),
            Self::Object(object) => format!("{}/{}", object.bucket.identity(), object.key()),
        }
    }

    /// What is local of it: nothing, or a path.
    pub fn local(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) | Self::File(path) => Some(path),
            Self::Prefix(_) | Self::Object(_) => None,
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.shown())
    }
}

/// Whether a name is one of an archive.
pub(crate) fn is_archive_name(name: &str) -> bool {
    ENDS.iter().any(|end| name.strip_suffix(end).is_some_and(|stem| !stem.is_empty() && !stem.ends_with('/')))
}

/// Takes `version=ID` out of what follows the `?`.
fn split_version(text: &str) -> Result<(String, Option<String>)> {
    let Some((place, query)) = text.split_once('?') else { return Ok((text.to_owned(), None)) };
    let (mut rest, mut version) = (Vec::new(), None);
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("version" | "versionId", id)) if !id.is_empty() => version = Some(id.to_owned()),
            Some(("version" | "versionId", _)) => return Err(Error::config("a URL names an empty version")),
            _ => rest.push(pair),
        }
    }
    let query = rest.join("&");
    Ok((if query.is_empty() { place.to_owned() } else { format!("{place}?{query}") }, version))
}

/// The URL of what an object lies in, with its options, and the object's last name.
fn split_key(url: &str) -> (String, String) {
    let (place, query) = url.split_once('?').map_or((url, None), |(place, query)| (place, Some(query)));
    let (parent, key) = place.rsplit_once('/').unwrap_or((place, ""));
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    (format!("{parent}{query}"), key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_into_what_lies_around_an_archive_and_its_name() {
        assert_eq!(
            split_key("s3://backups/shop/a.zip?region=eu-west-1"),
            ("s3://backups/shop?region=eu-west-1".into(), "a.zip".into())
        );
        assert_eq!(split_key("s3://backups/a.zip"), ("s3://backups".into(), "a.zip".into()));
        let version = split_version("s3://b/a.zip?region=x&version=3/L4kq&endpoint=http://h").unwrap();
        assert_eq!(version, ("s3://b/a.zip?region=x&endpoint=http://h".into(), Some("3/L4kq".into())));
        assert!(split_version("s3://b/a.zip?version=").is_err());
    }

    #[test]
    fn what_ends_as_an_archive_does_is_one() {
        for name in ["a.zip", "shop/a.zip", "a.b.zip.age"] {
            assert!(is_archive_name(name), "{name}");
        }
        for name in ["", "a", ".zip", "shop/.zip", "a.zip/", "a.zipped"] {
            assert!(!is_archive_name(name), "{name}");
        }
    }

    #[test]
    fn a_folder_is_a_place_like_any_other() {
        let place = |url| Place::from_url(url, &BucketOptions::default(), Path::new("/")).unwrap();
        assert!(
            matches!(place("fs:///srv/backups/"), Place::Folder(path) if path == Path::new("/srv/backups"))
        );
        assert!(
            matches!(place("file:///srv/a%20b.zip"), Place::File(path) if path == Path::new("/srv/a b.zip"))
        );
    }
}
