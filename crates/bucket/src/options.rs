//! How to get to a store.

use std::path::PathBuf;

use dumprestore_driver::{Error, Result, Secret, closest};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::BucketUrl;

/// How to get to a store, beside its URL. All are optional.
///
/// To take these options among others, flatten them into a struct that denies unknown fields.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct BucketOptions {
    /// The server, if it is not the provider's own: `https://HOST:PORT`.
    pub endpoint: Option<String>,
    /// The region of an S3 bucket. `AWS_REGION` and `AWS_DEFAULT_REGION` unless given; `us-east-1` where there is an `endpoint`.
    pub region: Option<String>,
    /// Whether the bucket's name stands in the path rather than in the host's name. So it is unless given where there is an `endpoint`.
    pub path_style: Option<bool>,
    /// The id of an access key of S3.
    pub access_key_id: Option<Secret>,
    /// The secret of that access key.
    pub secret_access_key: Option<Secret>,
    /// The token of a session, if the access key is of one.
    pub session_token: Option<Secret>,
    /// The profile in `~/.aws` to take credentials from.
    pub profile: Option<String>,
    /// A role of AWS to assume with the credentials.
    pub role_arn: Option<String>,
    /// What the role asks for, if it asks for an external id.
    pub external_id: Option<String>,
    /// Whether to sign nothing: for public buckets.
    pub anonymous: Option<bool>,
    /// The account of Azure.
    pub account_name: Option<String>,
    /// A key of that account.
    pub account_key: Option<Secret>,
    /// A shared access signature of Azure, instead of a key.
    pub sas_token: Option<Secret>,
    /// A file with credentials of Google Cloud: of a service account, of a user, or of a workload identity.
    pub credential_file: Option<PathBuf>,
    /// The storage class of what is written: `STANDARD_IA`, `NEARLINE` and so on. The bucket's own unless given.
    pub storage_class: Option<String>,
    /// How S3 encrypts what is written: `AES256` or `aws:kms`. As the bucket says unless given.
    pub server_side_encryption: Option<String>,
    /// The key of KMS to encrypt with.
    pub kms_key_id: Option<String>,
    /// A file of certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The most requests under way at once. 16 unless given.
    pub concurrency: Option<usize>,
    /// How often a request is tried in all. 8 unless given.
    pub retries: Option<usize>,
    /// The longest that a server may stand still, in seconds: to connect, to take the next bytes, to answer, to send the next
    /// bytes. 60 unless given.
    pub timeout: Option<u64>,
}

/// Those that a URL may have too.
const IN_URL: [&str; 15] = [
    "endpoint",
    "region",
    "path_style",
    "profile",
    "role_arn",
    "external_id",
    "anonymous",
    "account_name",
    "storage_class",
    "server_side_encryption",
    "kms_key_id",
    "ca_file",
    "concurrency",
    "retries",
    "timeout",
];

impl BucketOptions {
    /// These, and those in the URL.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if the URL has one that is not known or not right,
    /// or that is among these as well.
    pub(crate) fn with_parameters(&self, url: &BucketUrl) -> Result<Self> {
        let mut all = self.clone();
        for (name, value) in url.parameters() {
            if !all.take(name, value)? {
                return Err(Error::config("an option is both in the URL of a store and beside it")
                    .with_context("option", name));
            }
        }
        Ok(all)
    }

    /// `false`: it is there already.
    fn take(&mut self, name: &str, value: &str) -> Result<bool> {
        let text = || value.to_owned();
        Ok(match name {
            "endpoint" => put(&mut self.endpoint, text()),
            "region" => put(&mut self.region, text()),
            "path_style" => put(&mut self.path_style, truth(name, value)?),
            "profile" => put(&mut self.profile, text()),
            "role_arn" => put(&mut self.role_arn, text()),
            "external_id" => put(&mut self.external_id, text()),
            "anonymous" => put(&mut self.anonymous, truth(name, value)?),
            "account_name" => put(&mut self.account_name, text()),
            "storage_class" => put(&mut self.storage_class, text()),
            "server_side_encryption" => put(&mut self.server_side_encryption, text()),
            "kms_key_id" => put(&mut self.kms_key_id, text()),
            "ca_file" => put(&mut self.ca_file, value.into()),
            "concurrency" => put(&mut self.concurrency, number(name, value)?),
            "retries" => put(&mut self.retries, number(name, value)?),
            "timeout" => put(&mut self.timeout, number(name, value)? as u64),
            _ => return Err(unknown(name)),
        })
    }
}

fn put<T>(place: &mut Option<T>, value: T) -> bool {
    let free = place.is_none();
    if free {
        *place = Some(value);
    }
    free
}

fn truth(name: &str, value: &str) -> Result<bool> {
    match value {
        "" | "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(wrong(name, "it is `true` or `false`")),
    }
}

fn number(name: &str, value: &str) -> Result<usize> {
    value.parse().map_err(|_| wrong(name, "it is a number"))
}

fn wrong(name: &str, hint: &str) -> Error {
    Error::config("a parameter in the URL of a store has a value that it can't have")
        .with_context("parameter", name)
        .with_hint(hint)
}

fn unknown(name: &str) -> Error {
    let error =
        Error::config("a parameter in the URL of a store is not known").with_context("parameter", name);
    match closest(name, IN_URL) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error.with_hint(format!("there are: {}", IN_URL.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[allow(dead_code)]
        url: String,
        #[serde(flatten)]
        options: BucketOptions,
    }

    #[test]
    fn flattened_among_others_they_let_no_unknown_one_pass() {
        let read = serde_json::from_str::<Outer>;
        let outer = read(r#"{"url": "s3://a", "region": "r-1", "secret_access_key": "hush-hush"}"#).unwrap();
        assert_eq!(outer.options.region.as_deref(), Some("r-1"));
        assert!(!format!("{outer:?}").contains("hush"));
        assert!(read(r#"{"url": "s3://a", "regoin": "r-1"}"#).unwrap_err().to_string().contains("regoin"));
    }

    #[test]
    fn every_option_is_documented() {
        let reference = include_str!("../../../docs/configuration.md");
        let (_, table) = reference.split_once("| store | default |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let named: Vec<&str> = table.lines().filter_map(|line| line.split('|').nth(1)).collect();
        let schema = schemars::schema_for!(BucketOptions);
        for option in schema.pointer("/properties").unwrap().as_object().unwrap().keys() {
            let count = named.iter().filter(|names| names.contains(&format!("`{option}`"))).count();
            assert_eq!(count, 1, "`{option}`");
        }
    }

    fn with(url: &str, options: &BucketOptions) -> Result<BucketOptions> {
        options.with_parameters(&BucketUrl::parse(url).unwrap())
    }

    #[test]
    fn options_may_stand_in_the_url_but_not_twice() {
        let none = BucketOptions::default();
        let found = with("s3://a?region=r-1&path_style=false&retries=3&timeout=9&anonymous", &none).unwrap();
        assert_eq!(
            (found.region.as_deref(), found.path_style, found.anonymous),
            (Some("r-1"), Some(false), Some(true))
        );
        assert_eq!((found.retries, found.timeout), (Some(3), Some(9)));
        assert!(with("s3://a?region=r-1", &found).is_err());
        assert!(with("s3://a?retries=some", &none).is_err());
        assert!(with("s3://a?path_style=maybe", &none).is_err());
        let error = with("s3://a?regoin=r-1", &none).unwrap_err();
        assert_eq!(error.hint(), Some("did you mean `region`?"));
        for name in IN_URL {
            let value = if ["concurrency", "retries", "timeout"].contains(&name) { "2" } else { "on" };
            with(&format!("s3://a?{name}={value}"), &none).unwrap();
        }
    }
}
