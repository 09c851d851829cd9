//! What a bucket is to be like.

use dumprestore_bucket::{BucketUrl, Scheme};
use dumprestore_driver::{Error, Result};

use crate::place::Place;
use crate::settings::SetPlace;

/// Whose bucket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cloud {
    /// Amazon S3.
    Aws,
    /// Google Cloud Storage.
    Gcs,
}

/// For how long nobody can remove an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retention {
    /// Who has a right of its own for it can, and can take the rule away.
    Governance(u32),
    /// Nobody can, whoever it is, also not with the account's root login.
    Compliance(u32),
}

/// A bucket for archives, with those who write, read and prune them.
///
/// # Behavior
/// - The bucket is private, versioned and encrypted, and answers over TLS only. Unfinished uploads are removed after a
///   week, and what was removed or overwritten stays as a noncurrent version for [`noncurrent_days`](Self::noncurrent_days).
/// - The *writer* can make archives, list them, and read back what it has made to check it; it can neither remove nor
///   overwrite any. The *restorer* only reads. The *pruner* removes, so that versions stay, and can't write.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Blueprint {
    /// Whose it is.
    pub cloud: Cloud,
    /// The bucket's name.
    pub bucket: String,
    /// Below which archives are; all of the bucket if it is empty.
    pub prefix: String,
    /// Where the bucket is, such as `eu-central-1`.
    pub region: String,
    /// Days after which removed and overwritten archives are gone for good. At least 1.
    pub noncurrent_days: u32,
    /// For how long each archive can't be removed, if so: in days from 1.
    pub retention: Option<Retention>,
    /// The key of the cloud's key service that encrypts; the cloud's own if nothing is said. An ARN, or a resource name.
    pub kms_key: Option<String>,
}

/// Days for which removed archives stay, if nobody says otherwise.
const NONCURRENT_DAYS: u32 = 30;
/// Days after which an upload that was not completed is removed. A dump takes less.
pub(super) const UNFINISHED_DAYS: u32 = 7;

impl Blueprint {
    /// That bucket, with what is usual.
    pub fn new(cloud: Cloud, bucket: impl Into<String>, region: impl Into<String>) -> Self {
        Self {
            cloud,
            bucket: bucket.into(),
            prefix: String::new(),
            region: region.into(),
            noncurrent_days: NONCURRENT_DAYS,
            retention: None,
            kms_key: None,
        }
    }

    /// The configuration, as `terraform fmt` would leave it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if a name can't be one of that cloud, or would mean
    /// something else in a policy than it says.
    pub fn hcl(&self) -> Result<String> {
        self.check()?;
        Ok(match self.cloud {
            Cloud::Aws => super::aws::hcl(self),
            Cloud::Gcs => super::gcs::hcl(self),
        })
    }

    fn check(&self) -> Result<()> {
        let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
        if !(3..=222).contains(&self.bucket.len()) || !self.bucket.chars().all(of_name) {
            return Err(refused(
                "the bucket's name",
                &self.bucket,
                "lower case letters, digits, `-` and `.`",
            ));
        }
        if self.region.is_empty() || !self.region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(refused("the region", &self.region, "such as `eu-central-1` or `europe-west3`"));
        }
        // `*`, `?`, `$` and `%` have a meaning in policies and in HCL.
        let of_prefix = |c: char| c.is_alphanumeric() || "/-_.=+ ,()".contains(c);
        if !self.prefix.chars().all(of_prefix) {
            return Err(refused("the prefix", &self.prefix, "letters, digits, `/`, `-`, `_` and `.`"));
        }
        let of_key = |c: char| c.is_ascii_alphanumeric() || ":/-_.".contains(c);
        if let Some(key) = self.kms_key.as_ref().filter(|key| key.is_empty() || !key.chars().all(of_key)) {
            return Err(refused("the key", key, "an ARN, or `projects/.../cryptoKeys/NAME`"));
        }
        let days = match self.retention {
            Some(Retention::Governance(days) | Retention::Compliance(days)) => days,
            None => 1,
        };
        if self.noncurrent_days == 0 || days == 0 || days > 36_500 {
            return Err(Error::config("days are counted from 1, and to 36500 at the most"));
        }
        Ok(())
    }

    /// The prefix with a `/` at its end, or nothing.
    pub(super) fn folder(&self) -> String {
        match self.prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }

    /// A name for users and roles, which have narrower bounds than buckets.
    pub(super) fn short_name(&self, most: usize) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = self.bucket.chars().map(plain).take(most).collect();
        name.trim_matches('-').to_owned()
    }
}

fn refused(what: &str, value: &str, wanted: &str) -> Error {
    Error::config(format!("{what} can't be `{}`", value.escape_debug())).with_hint(format!("it has {wanted}"))
}

/// Puts values in the place of `@NAME@`.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value))
}

impl Blueprint {
    /// The bucket that archives of a set go to, if they go to one of a cloud that is known here. The region is left empty
    /// where the configuration does not say it.
    ///
    /// # Errors
    /// If the place can't be taken apart.
    pub fn of(place: &SetPlace) -> Result<Option<Self>> {
        let bucket = match &place.place {
            Place::Prefix(bucket) => bucket,
            Place::Object(object) => &object.bucket,
            Place::Folder(_) | Place::File(_) => return Ok(None),
        };
        let cloud = match bucket.scheme() {
            Scheme::S3 => Cloud::Aws,
            Scheme::Gcs => Cloud::Gcs,
            _ => return Ok(None),
        };
        let url = BucketUrl::parse(bucket.shown())?;
        let region = place.options.region.clone().unwrap_or_default();
        let mut blueprint = Self::new(cloud, url.name(), region);
        url.prefix().clone_into(&mut blueprint.prefix);
        blueprint.kms_key.clone_from(&place.options.kms_key_id);
        Ok(Some(blueprint))
    }
}
