//! What tells a place in a store from all others, whatever it is called.

use dumprestore_driver::Result;
use http::Uri;

use crate::endpoint::{Endpoint, checked_origin};
use crate::{BucketOptions, BucketUrl, Scheme};

const GOOGLE: &str = "https://storage.googleapis.com";

/// The server of a store, as its places begin: `HOST:PORT`. Nothing, for a folder.
///
/// # Errors
/// If the options name none, or one that can't be.
pub(crate) fn server(url: &BucketUrl, options: &BucketOptions) -> Result<Option<String>> {
    let origin = match url.scheme() {
        Scheme::S3 => Endpoint::new(url.name(), options, |name| std::env::var(name).ok())?.origin,
        Scheme::Gcs => checked_origin(options.endpoint.as_deref().unwrap_or(GOOGLE))?,
        Scheme::Azblob => crate::service::azure_endpoint(options)?,
        Scheme::Fs => return Ok(None),
    };
    Ok(Some(named(&origin)))
}

/// Whether whoever goes by the kind of store alone comes to that server.
pub(crate) fn is_usual(scheme: Scheme, server: &str) -> bool {
    match scheme {
        Scheme::S3 => AMAZON.contains(&server),
        Scheme::Gcs => server == "storage.googleapis.com",
        Scheme::Azblob => false,
        Scheme::Fs => true,
    }
}

/// A bucket of one name is in one region: all servers of a partition of AWS lead to the same.
const AMAZON: [&str; 3] = ["s3.amazonaws.com", "s3.us-gov.amazonaws.com", "s3.amazonaws.com.cn"];

/// The server at an origin, in one way of several that it can be written.
fn named(origin: &str) -> String {
    let Ok(uri) = origin.parse::<Uri>() else { return origin.to_owned() };
    let host = uri.host().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    if let Some(amazon) = of_amazon(&host) {
        return amazon.to_owned();
    }
    let host = match host.as_str() {
        "127.0.0.1" | "[::1]" => "localhost",
        host => host,
    };
    let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    let path = uri.path().trim_end_matches('/');
    match uri.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{host}:{port}{path}"),
        None => format!("{host}{path}"),
    }
}

fn of_amazon(host: &str) -> Option<&'static str> {
    let [usual, gov, china] = AMAZON;
    match () {
        () if host.ends_with(".amazonaws.com.cn") => Some(china),
        () if host.ends_with(".amazonaws.com") && host.contains("us-gov-") => Some(gov),
        () if host.ends_with(".amazonaws.com") => Some(usual),
        () => None,
    }
}

/// The place below a prefix.
pub(crate) fn identity(server: Option<&str>, name: &str, prefix: &str) -> String {
    match (server, prefix) {
        (None, path) => format!("fs://{path}"),
        (Some(server), "") => format!("{server}/{name}"),
        (Some(server), prefix) => format!("{server}/{name}/{prefix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, options: &BucketOptions) -> String {
        BucketUrl::parse(url).unwrap().identity(options).unwrap()
    }

    fn at(endpoint: &str) -> BucketOptions {
        BucketOptions {
            endpoint: Some(endpoint.to_owned()),
            region: Some("eu-west-1".to_owned()),
            ..BucketOptions::default()
        }
    }

    #[test]
    fn one_place_has_one_identity_however_its_server_is_written() {
        let amazon = BucketOptions { region: Some("eu-west-1".to_owned()), ..BucketOptions::default() };
        for options in
            [&amazon, &at("https://s3.eu-central-1.amazonaws.com"), &at("https://shop.s3.amazonaws.com/")]
        {
            assert_eq!(of("s3://shop/a/", options), "s3.amazonaws.com/shop/a");
        }
        for endpoint in ["https://MinIO.example.org", "minio.example.org:443/", "http://minio.example.org:80"]
        {
            assert_eq!(of("s3a://shop", &at(endpoint)), "minio.example.org/shop");
        }
        assert_eq!(
            of("s3://shop/a", &at("http://127.0.0.1:9000")),
            of("s3://shop/a", &at("http://localhost:9000"))
        );
        assert_eq!(
            of("gcs://shop/a", &BucketOptions::default()),
            of("s3://shop/a", &at("https://storage.googleapis.com"))
        );
        assert_eq!(of("file:///srv/a%20b", &BucketOptions::default()), "fs:///srv/a b");
    }

    #[test]
    fn places_of_two_servers_partitions_and_accounts_differ() {
        let account =
            |name: &str| BucketOptions { account_name: Some(name.to_owned()), ..BucketOptions::default() };
        let found = [
            of("s3://shop", &at("http://one:9000")),
            of("s3://shop", &at("http://one:9001")),
            of("s3://shop", &at("http://two:9000")),
            of("s3://shop", &at("http://one:9000/tenant")),
            of("s3://shop", &at("https://s3.cn-north-1.amazonaws.com.cn")),
            of("s3://shop", &at("https://s3.us-gov-west-1.amazonaws.com")),
            of("s3://shop", &at("https://s3.us-west-1.amazonaws.com")),
            of("azblob://shop", &account("one")),
            of("azblob://shop", &account("two")),
        ];
        for (at, one) in found.iter().enumerate() {
            assert!(!found[..at].contains(one), "{one}");
        }
    }

    #[test]
    fn an_address_says_of_which_server_it_is_unless_that_is_the_usual_one() {
        let address = |url: &str, options: &BucketOptions| {
            crate::Bucket::open(&BucketUrl::parse(url).unwrap(), options, std::path::Path::new("/"))
                .unwrap()
                .address()
        };
        assert_eq!(address("s3://shop/a", &at("https://s3.eu-west-1.amazonaws.com")), "s3://shop/a");
        let here = address("s3://shop/a", &at("http://localhost:9000"));
        assert_eq!(here, "s3://shop/a?endpoint=http://localhost:9000");
        let again = BucketOptions { region: Some("eu-west-1".to_owned()), ..BucketOptions::default() };
        assert_eq!(of(&here, &again), of("s3://shop/a", &at("http://localhost:9000")));
        let azure = BucketOptions {
            account_name: Some("one".to_owned()),
            anonymous: Some(true),
            ..BucketOptions::default()
        };
        assert_eq!(address("az://shop", &azure), "azblob://shop?endpoint=https://one.blob.core.windows.net");
    }
}
