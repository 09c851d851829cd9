//! Listings as S3 gives them: exact keys, and the history of each in the order in which it came about.
//!
//! OpenDAL's listings lose both: blanks at the ends of a key, and how deletions stand among versions.

use std::time::SystemTime;

use opendal::{Buffer, Result};
use serde::Deserialize;

use super::call::{Call, Calls};
use super::xml;

/// One object, one version of one, or one deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Below the bucket's prefix. Empty for the object whose key is the prefix itself, with a slash at its end.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// As the server gives it.
    pub etag: Option<String>,
    /// The version's name, in a listing of versions: `null` if versions were off when it was written.
    pub version: Option<String>,
    /// When it was written; of an upload in parts, on most servers, when that was begun.
    pub modified: SystemTime,
    /// Whether it says that the object was deleted.
    pub deleted: bool,
    /// Where it is kept.
    pub storage_class: Option<String>,
}

/// Some of a listing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Page {
    /// In the order of the bytes of their keys; what is of one key, the newest first.
    pub listed: Vec<Listed>,
    /// Where to go on, if this is not all.
    pub next: Option<Marker>,
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    key: String,
    version: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "$value", default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
enum Item {
    EncodingType(String),
    IsTruncated(String),
    NextContinuationToken(String),
    NextKeyMarker(Text),
    NextVersionIdMarker(Text),
    Contents(Entry),
    Version(Entry),
    DeleteMarker(Entry),
    #[serde(other)]
    Other,
}

/// That may be empty.
#[derive(Deserialize, Default)]
struct Text {
    #[serde(rename = "$text", default)]
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    version_id: Option<String>,
    last_modified: String,
    #[serde(rename = "ETag")]
    etag: Option<String>,
    size: Option<u64>,
    storage_class: Option<String>,
    #[serde(default)]
    is_latest: bool,
}

/// A page as it came.
#[derive(Default)]
struct Raw {
    is_encoded: bool,
    is_truncated: bool,
    token: String,
    key: String,
    version: String,
    entries: Vec<(Entry, bool)>,
}

impl Raw {
    fn of(body: &Buffer) -> Result<Self> {
        let mut raw = Self::default();
        for item in xml::read::<Answer>(body)?.items {
            match item {
                Item::EncodingType(kind) => raw.is_encoded = kind == "url",
                Item::IsTruncated(truth) => raw.is_truncated = truth == "true",
                Item::NextContinuationToken(token) => raw.token = token,
                Item::NextKeyMarker(key) => raw.key = key.text,
                Item::NextVersionIdMarker(version) => raw.version = version.text,
                Item::Contents(entry) | Item::Version(entry) => raw.entries.push((entry, false)),
                Item::DeleteMarker(entry) => raw.entries.push((entry, true)),
                Item::Other => {}
            }
        }
        Ok(raw)
    }

    /// Not every server knows how to encode.
    fn key(&self, text: &str) -> Result<String> {
        match self.is_encoded {
            true => xml::key(text),
            false => Ok(text.to_owned()),
        }
    }

    fn listed(&self, prefix: &str) -> Result<Vec<Listed>> {
        let mut listed = Vec::with_capacity(self.entries.len());
        let mut latest = Vec::with_capacity(self.entries.len());
        for (entry, deleted) in &self.entries {
            let whole = self.key(&entry.key)?;
            // Some servers take no notice of the prefix.
            let Some(key) = whole.strip_prefix(prefix) else { continue };
            latest.push(entry.is_latest);
            listed.push(Listed {
                key: key.to_owned(),
                size: entry.size.unwrap_or(0),
                etag: entry.etag.clone(),
                version: entry.version_id.clone(),
                modified: xml::time(&entry.last_modified)?,
                deleted: *deleted,
                storage_class: entry.storage_class.clone(),
            });
        }
        Ok(in_order(listed, &latest))
    }
}

/// Some servers tell of deletions apart, after all versions. Then they are put back among them by their times, to the
/// second; where that does not tell, a version counts as the newer one.
fn in_order(listed: Vec<Listed>, latest: &[bool]) -> Vec<Listed> {
    let mut both: Vec<(Listed, bool)> = listed.into_iter().zip(latest.iter().copied()).collect();
    let is_amiss = |pair: &[(Listed, bool)]| {
        let ((before, _), (after, after_is_latest)) = (&pair[0], &pair[1]);
        match before.key.cmp(&after.key) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            // The time of what was uploaded in parts says little.
            std::cmp::Ordering::Equal => {
                let is_of_parts = before.etag.as_deref().is_some_and(|etag| etag.contains('-'));
                let is_late = after.deleted && !is_of_parts && after.modified > before.modified;
                *after_is_latest || is_late
            }
        }
    };
    if both.iter().any(|(one, _)| one.deleted) && both.windows(2).any(is_amiss) {
        both.sort_by(|(one, one_is_latest), (other, other_is_latest)| {
            let order = one.key.cmp(&other.key).then(other_is_latest.cmp(one_is_latest));
            order.then(other.modified.cmp(&one.modified)).then(one.deleted.cmp(&other.deleted))
        });
    }
    both.into_iter().map(|(one, _)| one).collect()
}

impl Calls {
    /// Objects whose whole key begins with `prefix`; their keys without it.
    pub(crate) async fn objects(&self, prefix: &str, after: Option<&Marker>) -> Result<Page> {
        let mut call = Call::of_bucket("ListObjectsV2", "list-type=2").with("encoding-type", "url");
        if !prefix.is_empty() {
            call = call.with("prefix", prefix);
        }
        if let Some(marker) = after {
            call = call.with("continuation-token", &marker.key);
        }
        let raw = Raw::of(&self.ask(&call).await?)?;
        let next = raw.is_truncated.then(|| Marker { key: raw.token.clone(), version: String::new() });
        check(Page { listed: raw.listed(prefix)?, next }, after)
    }

    /// Versions of objects, and deletions, whose whole key is `prefix` and then begins with `below`; their keys without
    /// `prefix`.
    pub(crate) async fn versions(&self, prefix: &str, below: &str, after: Option<&Marker>) -> Result<Page> {
        let mut call = Call::of_bucket("ListObjectVersions", "versions").with("encoding-type", "url");
        let all = format!("{prefix}{below}");
        if !all.is_empty() {
            call = call.with("prefix", &all);
        }
        if let Some(marker) = after {
            call = call.with("key-marker", &marker.key);
            if !marker.version.is_empty() {
                call = call.with("version-id-marker", &marker.version);
            }
        }
        let raw = Raw::of(&self.ask(&call).await?)?;
        let next = match (raw.is_truncated, raw.key.is_empty(), raw.entries.last()) {
            (false, ..) => None,
            (true, true, Some((last, _))) => {
                let version = last.version_id.clone().unwrap_or_default();
                Some(Marker { key: raw.key(&last.key)?, version })
            }
            (true, ..) => Some(Marker { key: raw.key(&raw.key)?, version: raw.version.clone() }),
        };
        check(Page { listed: raw.listed(prefix)?, next }, after)
    }
}

/// A server that goes on where it began would never come to an end, and one that has more and does not say where would
/// be cut off in silence.
fn check(page: Page, after: Option<&Marker>) -> Result<Page> {
    match &page.next {
        Some(next) if next.key.is_empty() || Some(next) == after => Err(xml::senseless()),
        _ => Ok(page),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_stay_where_they_stand_among_versions() {
        let body = br#"<?xml version="1.0"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Name>b</Name><Prefix>p/</Prefix><KeyMarker/><VersionIdMarker/><MaxKeys>1000</MaxKeys>
            <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
            <NextKeyMarker>p/a+b</NextKeyMarker><NextVersionIdMarker>v1</NextVersionIdMarker>
            <Version><Key>p/a+b</Key><VersionId>v3</VersionId><IsLatest>true</IsLatest>
              <LastModified>2026-01-31T12:00:02.000Z</LastModified><ETag>&quot;e3&quot;</ETag><Size>3</Size>
              <StorageClass>STANDARD</StorageClass><Owner><ID>x</ID></Owner></Version>
            <DeleteMarker><Key>p/a+b</Key><VersionId>v2</VersionId><IsLatest>false</IsLatest>
              <LastModified>2026-01-31T12:00:01.000Z</LastModified><Owner><ID>x</ID></Owner></DeleteMarker>
            <Version><Key>p/a+b</Key><VersionId>v1</VersionId><IsLatest>false</IsLatest>
              <LastModified>2026-01-31T12:00:00.000Z</LastModified><ETag>&quot;e1&quot;</ETag><Size>1</Size></Version>
            <Version><Key>p/b%01%20</Key><VersionId>null</VersionId><IsLatest>false</IsLatest>
              <LastModified>2026-01-31T12:00:00Z</LastModified><ETag>"e1"</ETag><Size>1</Size></Version>
            </ListVersionsResult>"#;
        let raw = Raw::of(&Buffer::from(&body[..])).unwrap();
        let listed = raw.listed("p/").unwrap();
        let told: Vec<_> = listed
            .iter()
            .map(|one| (one.key.as_str(), one.version.as_deref().unwrap(), one.deleted))
            .collect();
        let expected =
            [("a b", "v3", false), ("a b", "v2", true), ("a b", "v1", false), ("b\u{1} ", "null", false)];
        assert_eq!(told, expected);
        assert!(raw.is_truncated && raw.key(&raw.key).unwrap() == "p/a b" && raw.version == "v1");
    }

    #[test]
    fn deletions_that_are_told_apart_are_put_back() {
        let entry = |tag: &str, key: &str, id: &str, latest: bool, second: u32| {
            format!(
                "<{tag}><Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>{latest}</IsLatest>\
                 <LastModified>2026-01-31T12:00:{second:02}Z</LastModified><ETag>e</ETag><Size>1</Size></{tag}>"
            )
        };
        let order = |entries: &[String]| {
            let body = format!(
                "<ListVersionsResult><IsTruncated>false</IsTruncated>{}</ListVersionsResult>",
                entries.concat()
            );
            let listed = Raw::of(&Buffer::from(body)).unwrap().listed("").unwrap();
            listed.into_iter().map(|one| one.version.unwrap()).collect::<Vec<_>>().join(" ")
        };
        let apart = [
            entry("Version", "a", "a3", true, 9),
            entry("Version", "a", "a1", false, 3),
            entry("Version", "b", "b1", false, 5),
            entry("DeleteMarker", "a", "a2", false, 5),
            entry("DeleteMarker", "b", "b2", true, 5),
        ];
        assert_eq!(order(&apart), "a3 a2 a1 b2 b1");
        let one = [entry("Version", "a", "a1", false, 3), entry("DeleteMarker", "a", "a2", true, 3)];
        assert_eq!(order(&one), "a2 a1");
        let right = [entry("Version", "a", "a2", true, 3), entry("DeleteMarker", "a", "a1", false, 3)];
        assert_eq!(order(&right), "a2 a1");
    }

    #[test]
    fn an_empty_listing_is_one() {
        let body = b"<ListBucketResult><Name>b</Name><Prefix/><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>";
        let raw = Raw::of(&Buffer::from(&body[..])).unwrap();
        assert!(raw.listed("").unwrap().is_empty() && !raw.is_truncated);
    }
}
