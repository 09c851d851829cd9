//! What a bucket deletes and moves by itself.

use opendal::Result;
use serde::Deserialize;

use super::call::{Call, Calls};
use super::refusal::Refusal;
use super::xml;

/// One rule by which a bucket deletes or moves objects by itself. Prefixes are those of the whole bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LifecycleRule {
    /// What it is called.
    pub id: String,
    /// Whether it is at work.
    pub enabled: bool,
    /// The beginning of the keys that it is about; nothing means all.
    pub prefix: String,
    /// The tags that an object must have, all of them.
    pub tags: Vec<(String, String)>,
    /// Objects must have more bytes.
    pub larger_than: Option<u64>,
    /// Objects must have fewer bytes.
    pub smaller_than: Option<u64>,
    /// When objects are deleted; where versions are kept, they are then no longer the current ones.
    pub expiration: Option<Expiration>,
    /// Whether delete markers are removed once nothing is left behind them.
    pub removes_lone_markers: bool,
    /// After how many days versions are deleted that are no longer current.
    pub noncurrent_days: Option<u32>,
    /// How many of those are kept all the same.
    pub noncurrent_kept: Option<u32>,
    /// After how many days unfinished uploads are aborted.
    pub abort_days: Option<u32>,
    /// Where objects are moved.
    pub transitions: Vec<Transition>,
}

/// When objects are deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiration {
    /// So many days after they were made.
    Days(u32),
    /// At that date, as S3 writes it.
    Date(String),
}

/// A move to another storage class.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// After how many days, if it goes by days.
    pub days: Option<u32>,
    /// To which class.
    pub class: String,
    /// Whether it is about versions that are no longer current.
    pub noncurrent: bool,
}

impl LifecycleRule {
    /// Whether objects below that prefix of the bucket may be among those that it is about.
    pub fn reaches(&self, prefix: &str) -> bool {
        self.enabled && (self.prefix.starts_with(prefix) || prefix.starts_with(&self.prefix))
    }

    /// Whether each object below that prefix of the bucket is among those that it is about.
    pub fn covers(&self, prefix: &str) -> bool {
        let all_kinds = self.tags.is_empty() && self.larger_than.is_none() && self.smaller_than.is_none();
        self.enabled && all_kinds && prefix.starts_with(&self.prefix)
    }
}

/// What a server says that has no rules.
const NONE: [&str; 2] = ["NoSuchLifecycleConfiguration", "NoSuchLifecycle"];

impl Calls {
    pub(crate) async fn lifecycle(&self) -> Result<Vec<LifecycleRule>> {
        match self.ask(&Call::of_bucket("GetBucketLifecycleConfiguration", "lifecycle")).await {
            Ok(body) => {
                let answer: Answer = xml::read(&body)?;
                Ok(answer.rules.into_iter().map(LifecycleRule::from).collect())
            }
            Err(error) if Refusal::within(&error).is_some_and(|refusal| refusal.is_about_nothing(&NONE)) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Rule", default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(default)]
    status: String,
    prefix: Option<String>,
    filter: Option<Filter>,
    expiration: Option<Expires>,
    noncurrent_version_expiration: Option<Noncurrent>,
    abort_incomplete_multipart_upload: Option<Abort>,
    #[serde(rename = "Transition", default)]
    transitions: Vec<Moves>,
    #[serde(rename = "NoncurrentVersionTransition", default)]
    noncurrent_transitions: Vec<Moves>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    prefix: Option<String>,
    #[serde(rename = "Tag", default)]
    tags: Vec<Tag>,
    object_size_greater_than: Option<u64>,
    object_size_less_than: Option<u64>,
    and: Option<Box<Filter>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Expires {
    days: Option<u32>,
    date: Option<String>,
    #[serde(default)]
    expired_object_delete_marker: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Noncurrent {
    noncurrent_days: Option<u32>,
    newer_noncurrent_versions: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Abort {
    days_after_initiation: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Moves {
    days: Option<u32>,
    noncurrent_days: Option<u32>,
    #[serde(default)]
    storage_class: String,
}

impl From<Rule> for LifecycleRule {
    fn from(rule: Rule) -> Self {
        let mut made = Self {
            id: rule.id,
            enabled: rule.status == "Enabled",
            prefix: rule.prefix.unwrap_or_default(),
            abort_days: rule.abort_incomplete_multipart_upload.and_then(|abort| abort.days_after_initiation),
            ..Self::default()
        };
        if let Some(filter) = rule.filter {
            made.narrow(filter);
        }
        if let Some(expires) = rule.expiration {
            made.removes_lone_markers = expires.expired_object_delete_marker;
            made.expiration = expires.days.map(Expiration::Days).or(expires.date.map(Expiration::Date));
        }
        if let Some(noncurrent) = rule.noncurrent_version_expiration {
            made.noncurrent_days = noncurrent.noncurrent_days;
            made.noncurrent_kept = noncurrent.newer_noncurrent_versions;
        }
        let current = rule.transitions.into_iter().map(|moves| (moves, false));
        let noncurrent = rule.noncurrent_transitions.into_iter().map(|moves| (moves, true));
        made.transitions = current.chain(noncurrent).map(Transition::from).collect();
        made
    }
}

impl LifecycleRule {
    fn narrow(&mut self, filter: Filter) {
        if let Some(prefix) = filter.prefix {
            self.prefix = prefix;
        }
        self.tags.extend(filter.tags.into_iter().map(|tag| (tag.key, tag.value)));
        self.larger_than = filter.object_size_greater_than.or(self.larger_than);
        self.smaller_than = filter.object_size_less_than.or(self.smaller_than);
        if let Some(and) = filter.and {
            self.narrow(*and);
        }
    }
}

impl From<(Moves, bool)> for Transition {
    fn from((moves, noncurrent): (Moves, bool)) -> Self {
        Self { days: moves.days.or(moves.noncurrent_days), class: moves.storage_class, noncurrent }
    }
}

#[cfg(test)]
mod tests {
    use opendal::Buffer;

    use super::*;

    #[test]
    fn each_part_of_a_rule_is_read() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
            <LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ID>all of it</ID>
            <Filter><And><Prefix>a/</Prefix><Tag><Key>k</Key><Value/></Tag>
            <ObjectSizeGreaterThan>500</ObjectSizeGreaterThan><ObjectSizeLessThan>64000</ObjectSizeLessThan></And></Filter>
            <Status>Enabled</Status><Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration>
            <NoncurrentVersionExpiration><NewerNoncurrentVersions>5</NewerNoncurrentVersions>
            <NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration>
            <Transition><Days>0</Days><StorageClass>GLACIER_IR</StorageClass></Transition>
            <NoncurrentVersionTransition><NoncurrentDays>3</NoncurrentDays><StorageClass>GLACIER</StorageClass>
            </NoncurrentVersionTransition></Rule>
            <Rule><Prefix>old style/</Prefix><Status>Enabled</Status>
            <Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration></Rule>
            </LifecycleConfiguration>"#;
        let answer: Answer = xml::read(&Buffer::from(&body[..])).unwrap();
        let rules: Vec<_> = answer.rules.into_iter().map(LifecycleRule::from).collect();
        let first = LifecycleRule {
            id: "all of it".to_owned(),
            enabled: true,
            prefix: "a/".to_owned(),
            tags: vec![("k".to_owned(), String::new())],
            larger_than: Some(500),
            smaller_than: Some(64000),
            expiration: Some(Expiration::Date("2030-01-01T00:00:00Z".to_owned())),
            noncurrent_days: Some(30),
            noncurrent_kept: Some(5),
            transitions: vec![
                Transition { days: Some(0), class: "GLACIER_IR".to_owned(), noncurrent: false },
                Transition { days: Some(3), class: "GLACIER".to_owned(), noncurrent: true },
            ],
            ..LifecycleRule::default()
        };
        let second = LifecycleRule {
            enabled: true,
            prefix: "old style/".to_owned(),
            removes_lone_markers: true,
            ..LifecycleRule::default()
        };
        assert_eq!(rules, [first, second]);
        assert!(!rules[0].covers("a/b") && rules[0].reaches("a/b"));
    }
}
