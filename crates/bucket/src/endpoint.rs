//! Where an S3 bucket is, and what its requests go to.

use dumprestore_driver::{Error, Result};

use crate::BucketOptions;

/// An S3 bucket's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `https://HOST:PORT`, without a slash at the end.
    pub(crate) origin: String,
    /// Whether the bucket's name goes into the path.
    pub(crate) path_style: bool,
    pub(crate) bucket: String,
    pub(crate) region: String,
}

/// Names of variables that every tool of AWS knows, the first that is set wins.
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

impl Endpoint {
    /// Of that bucket. `variable` looks into the environment.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if the region can't be told, or the endpoint is none.
    pub(crate) fn new(
        bucket: &str,
        options: &BucketOptions,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let first = |names: [&str; 2]| names.into_iter().find_map(&variable).filter(|v| !v.is_empty());
        let given = options.endpoint.clone().or_else(|| first(ENDPOINTS));
        let region = options.region.clone().or_else(|| first(REGIONS));
        let region = match (region, &given) {
            (Some(region), _) => checked_region(region)?,
            (None, Some(_)) => "us-east-1".to_owned(),
            (None, None) => return Err(no_region(bucket)),
        };
        // A name with a dot has no certificate.
        let path_style = options.path_style.unwrap_or(given.is_some() || bucket.contains('.'));
        let origin = match given {
            Some(endpoint) => checked_origin(&endpoint)?,
            None => format!("https://s3.{region}.{}", domain(&region)),
        };
        let origin = match without_bucket(&origin, bucket) {
            Some(without) if !path_style || without.contains("://s3.") || without.contains("://s3-") => {
                without
            }
            // The name of a bucket may well be that with which the host's begins.
            _ => origin,
        };
        Ok(Self { origin, path_style, bucket: bucket.to_owned(), region })
    }

    /// The URL of the bucket itself, without a slash at the end.
    pub(crate) fn bucket_url(&self) -> String {
        match self.path_style {
            true => format!("{}/{}", self.origin, self.bucket),
            false => self.origin.replacen("://", &format!("://{}.", self.bucket), 1),
        }
    }
}

/// Some give the host of the bucket rather than that of the store.
fn without_bucket(origin: &str, bucket: &str) -> Option<String> {
    let (scheme, rest) = origin.split_once(&format!("://{bucket}."))?;
    Some(format!("{scheme}://{rest}"))
}

fn domain(region: &str) -> &'static str {
    match region.starts_with("cn-") {
        true => "amazonaws.com.cn",
        false => "amazonaws.com",
    }
}

fn no_region(bucket: &str) -> Error {
    Error::config("the region of an S3 bucket is not told")
        .with_context("bucket", bucket)
        .with_hint("set `region` (or `AWS_REGION`); for a store that is not of AWS, set `endpoint` as well")
}

fn checked_region(region: String) -> Result<String> {
    match !region.is_empty() && region.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        true => Ok(region),
        false => Err(Error::config("this is no region").with_hint("such as `eu-west-1`")),
    }
}

/// `http://` or `https://`, a host, perhaps a port, perhaps a path; nothing that could hold a secret.
pub(crate) fn checked_origin(endpoint: &str) -> Result<String> {
    let wrong = |why: &str| {
        Err(Error::config(format!("`endpoint` {why}")).with_hint("such as `https://s3.example.org:9000`"))
    };
    let whole = match endpoint.contains("://") {
        true => endpoint.to_owned(),
        false => format!("https://{endpoint}"),
    };
    let whole = whole.trim_end_matches('/');
    let Ok(uri) = whole.parse::<http::Uri>() else {
        return wrong("is no URL");
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return wrong("is neither `http://` nor `https://`");
    }
    if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
        return wrong("has a login in it");
    }
    if uri.query().is_some() {
        return wrong("has parameters in it");
    }
    Ok(whole.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        bucket: &str,
        endpoint: Option<&str>,
        region: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Endpoint> {
        let options = BucketOptions {
            endpoint: endpoint.map(str::to_owned),
            region: region.map(str::to_owned),
            ..BucketOptions::default()
        };
        Endpoint::new(bucket, &options, |name| {
            variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn buckets_of_aws_have_hosts_of_their_own() {
        let url = |bucket, region| of(bucket, None, Some(region), &[]).unwrap().bucket_url();
        assert_eq!(url("shop", "eu-west-1"), "https://shop.s3.eu-west-1.amazonaws.com");
        assert_eq!(url("shop", "cn-north-1"), "https://shop.s3.cn-north-1.amazonaws.com.cn");
        assert_eq!(url("shop.example", "eu-west-1"), "https://s3.eu-west-1.amazonaws.com/shop.example");
    }

    #[test]
    fn an_endpoint_needs_no_region_and_has_buckets_in_its_path() {
        let found = of("shop", Some("127.0.0.1:9000/"), None, &[]).unwrap();
        assert_eq!(
            (found.bucket_url().as_str(), found.region.as_str()),
            ("https://127.0.0.1:9000/shop", "us-east-1")
        );
        let found = of("shop", Some("https://shop.s3.example.org"), None, &[]).unwrap();
        assert_eq!(found.bucket_url(), "https://s3.example.org/shop");
        // What a host is called by is no bucket.
        for host in ["https://storage.googleapis.com", "https://minio.example.org"] {
            let bucket = &host["https://".len()..host.find('.').unwrap()];
            let found = of(bucket, Some(host), None, &[]).unwrap();
            assert_eq!(found.bucket_url(), format!("{host}/{bucket}"));
        }
    }

    #[test]
    fn what_is_not_given_is_looked_for_in_the_environment() {
        let set = [("AWS_ENDPOINT_URL", "http://localhost:1"), ("AWS_DEFAULT_REGION", "r-1")];
        let found = of("shop", None, None, &set).unwrap();
        assert_eq!((found.bucket_url().as_str(), found.region.as_str()), ("http://localhost:1/shop", "r-1"));
        let found = of("shop", Some("https://given"), Some("r-2"), &set).unwrap();
        assert_eq!((found.origin.as_str(), found.region.as_str()), ("https://given", "r-2"));
        assert!(of("shop", None, None, &[("AWS_REGION", "")]).is_err());
    }

    #[test]
    fn an_endpoint_that_is_none_is_refused_and_not_shown() {
        for endpoint in
            ["ftp://host", "https://key:sEcReT@host", "https://host?token=sEcReT", "https://", "https://a b"]
        {
            let error = of("shop", Some(endpoint), None, &[]).unwrap_err();
            assert!(!format!("{error:?}").contains("sEcReT"), "{error:?}");
        }
    }
}
