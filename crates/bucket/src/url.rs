//! Which store, and where in it.

use std::fmt;
use std::str::FromStr;

use dumprestore_driver::{Error, Result, looks_secret};
use percent_encoding::percent_decode_str;

use crate::{BucketOptions, identity};

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// S3, and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azblob,
    /// A folder of this machine.
    Fs,
}

impl Scheme {
    /// As it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azblob => "azblob",
            Self::Fs => "fs",
        }
    }
}

/// A store, and a prefix in it: `s3://bucket/prefix`, `gs://bucket/prefix`, `azblob://container/prefix`, `fs:///folder`.
///
/// Also understood: `s3a://`, `gcs://`, `az://`, `file:///folder`. The prefix is taken as it is, up to a `?`; only
/// `file://` knows percent-encoding. After the `?` there may be options that are no secrets, such as
/// `region=eu-west-1&endpoint=https://…`. Credentials have no place in a URL, and are refused.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketUrl {
    scheme: Scheme,
    name: String,
    prefix: String,
    parameters: Vec<(String, String)>,
}

impl BucketUrl {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if it is none, or has credentials in it. No such
    /// error shows what it found.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(Error::config("this is no URL of a store").with_hint(KNOWN));
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        refuse_login(place)?;
        let parameters = parameters(query)?;
        let (scheme, name, prefix) = match scheme.to_ascii_lowercase().as_str() {
            "s3" | "s3a" => named(Scheme::S3, place)?,
            "gs" | "gcs" => named(Scheme::Gcs, place)?,
            "azblob" | "az" => named(Scheme::Azblob, place)?,
            "fs" => (Scheme::Fs, String::new(), folder(place)?),
            "file" => (Scheme::Fs, String::new(), folder(&decoded(place)?)?),
            _ => return Err(Error::config("a store of that kind is not known").with_hint(KNOWN)),
        };
        Ok(Self { scheme, name, prefix, parameters })
    }

    /// Whether this text looks like the URL of a store, rather than like a path.
    pub fn looks_like(text: &str) -> bool {
        let known = ["s3", "s3a", "gs", "gcs", "azblob", "az", "fs", "file"];
        text.split_once("://").is_some_and(|(scheme, _)| known.iter().any(|k| scheme.eq_ignore_ascii_case(k)))
    }

    /// Which kind of store.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The bucket or container; nothing for a folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where in it: without a slash at either end, and nothing if it is all of the bucket. For a folder, its absolute path.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The options in it, each a name with its value.
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// What tells this place from all others: `HOST:PORT/BUCKET/PREFIX`, or `fs:///FOLDER`. What lies below it begins with it and a
    /// slash. Offline, and without a secret; a folder's links are not resolved.
    ///
    /// All servers of Amazon's are one, `s3.amazonaws.com`; other servers that go by several names can't be told to be one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) for options that can't be.
    pub fn identity(&self, options: &BucketOptions) -> Result<String> {
        let server = identity::server(self, &options.with_parameters(self)?)?;
        Ok(identity::identity(server.as_deref(), &self.name, &self.prefix))
    }

    /// For people: the store and the prefix, without options.
    pub fn shown(&self) -> String {
        shown(self.scheme, &self.name, &self.prefix)
    }
}

/// A place, for people.
pub(crate) fn shown(scheme: Scheme, name: &str, prefix: &str) -> String {
    match (scheme, prefix) {
        (Scheme::Fs, prefix) => format!("fs://{prefix}"),
        (scheme, "") => format!("{}://{name}", scheme.as_str()),
        (scheme, prefix) => format!("{}://{name}/{prefix}", scheme.as_str()),
    }
}

const KNOWN: &str =
    "write `s3://bucket/prefix`, `gs://bucket/prefix`, `azblob://container/prefix` or `fs:///folder`";

/// What stands before an `@` in the first segment is a login, however it is written.
fn refuse_login(place: &str) -> Result<()> {
    let host = place.split('/').next().unwrap_or_default();
    match host.contains('@') {
        true => Err(Error::config("the URL of a store has a login in it").with_hint(
            "give credentials as options (`access_key_id`, `secret_access_key`, `account_key`, …), or by the environment",
        )),
        false => Ok(()),
    }
}

fn named(scheme: Scheme, place: &str) -> Result<(Scheme, String, String)> {
    let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '$');
    if name.is_empty() || !name.chars().all(fine) || name.starts_with('.') {
        return Err(
            Error::config("the URL of a store names no bucket, or one that can't be").with_hint(KNOWN)
        );
    }
    // What has more of them is another prefix, which would not be found.
    if prefix.starts_with('/') || prefix.ends_with("//") {
        return Err(odd_prefix(prefix));
    }
    Ok((scheme, name.to_owned(), plain_prefix(prefix)?))
}

fn odd_prefix(prefix: &str) -> Error {
    Error::config("a prefix in a store has an empty name, `.`, `..` or blanks at the end of a name")
        .with_context("prefix", format!("{prefix:?}"))
}

/// A prefix without slashes at its ends, if it is one that names what it says.
pub(crate) fn plain_prefix(prefix: &str) -> Result<String> {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() {
        return Ok(String::new());
    }
    let odd = |name: &str| name.is_empty() || name == "." || name == ".." || name.trim() != name;
    if prefix.split('/').any(odd) || prefix.chars().any(char::is_control) {
        return Err(odd_prefix(prefix));
    }
    Ok(prefix.to_owned())
}

fn folder(path: &str) -> Result<String> {
    if !path.starts_with('/') {
        return Err(Error::config("the URL of a folder needs its absolute path")
            .with_hint("with three slashes: `fs:///folder`"));
    }
    Ok(format!("/{}", plain_prefix(path)?))
}

fn decoded(path: &str) -> Result<String> {
    percent_decode_str(path)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Error::config("the URL of a folder is not UTF-8"))
}

fn parameters(query: &str) -> Result<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = name.to_ascii_lowercase().replace('-', "_");
        if is_secret(&name) {
            return Err(Error::config("the URL of a store has a secret in it")
                .with_context("parameter", name)
                .with_hint("give it as an option, as `${VARIABLE}` or `file:PATH`"));
        }
        if found.iter().any(|(known, _)| *known == name) {
            return Err(
                Error::config("the URL of a store has a parameter twice").with_context("parameter", name)
            );
        }
        found.push((name, decoded(value)?));
    }
    Ok(found)
}

/// Signatures of Azure and of signed URLs look like nothing, so they are known by name.
fn is_secret(name: &str) -> bool {
    looks_secret(name)
        || matches!(name, "sig" | "signature" | "account_key" | "x_amz_signature" | "x_amz_credential")
}

impl FromStr for BucketUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Debug for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketUrl({})", self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str) -> (Scheme, String, String) {
        let url = BucketUrl::parse(text).unwrap();
        (url.scheme(), url.name().to_owned(), url.prefix().to_owned())
    }

    #[test]
    fn urls_are_taken_apart() {
        let pairs = [
            ("s3://shop", Scheme::S3, "shop", ""),
            ("S3://shop/", Scheme::S3, "shop", ""),
            ("s3a://shop/a/b/", Scheme::S3, "shop", "a/b"),
            ("s3://shop/50%25 off/ü", Scheme::S3, "shop", "50%25 off/ü"),
            ("gs://shop.example/a", Scheme::Gcs, "shop.example", "a"),
            ("gcs://shop/a", Scheme::Gcs, "shop", "a"),
            ("az://media/a", Scheme::Azblob, "media", "a"),
            ("azblob://$web", Scheme::Azblob, "$web", ""),
            ("fs:///srv/50%25", Scheme::Fs, "", "/srv/50%25"),
            ("file:///srv/a%20b", Scheme::Fs, "", "/srv/a b"),
        ];
        for (text, scheme, name, prefix) in pairs {
            assert_eq!(parts(text), (scheme, name.to_owned(), prefix.to_owned()), "{text}");
            assert!(BucketUrl::looks_like(text));
        }
        let url =
            BucketUrl::parse("s3://shop/a?region=eu-west-1&Path-Style&endpoint=http%3A%2F%2Fh:1").unwrap();
        let expected = [("region", "eu-west-1"), ("path_style", ""), ("endpoint", "http://h:1")];
        assert_eq!(url.parameters(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_no_url_of_a_store_is_refused() {
        let wrong = [
            "",
            "shop",
            "/srv",
            "s3:",
            "s3://",
            "s3:///a",
            "ftp://shop",
            "s3://sh op",
            "s3://.shop",
            "s3://shop/a//b",
            "s3://shop//a",
            "s3://shop//",
            "s3://shop/a//",
            "s3://shop/../a",
            "s3://shop/./a",
            "s3://shop/ a",
            "s3://shop/a\nb",
            "fs://srv",
            "file://host/srv",
            "s3://shop?region=a&region=b",
            "file:///a%FF",
        ];
        for text in wrong {
            assert!(BucketUrl::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_is_too_odd(text in "\\PC*", tail in "\\PC*") {
            let _ = BucketUrl::parse(&text);
            let _ = BucketUrl::parse(&format!("s3://shop/{tail}"));
            let _ = BucketUrl::parse(&format!("file://{tail}"));
        }

        #[test]
        fn what_is_shown_leads_to_the_same_place(prefix in "([a-zü%+#&][a-z ü%+#&]{0,3}[a-z]/){0,4}") {
            for start in ["s3://shop/", "gs://shop/", "azblob://media/", "fs:///"] {
                let url = BucketUrl::parse(&format!("{start}{prefix}")).unwrap();
                prop_assert_eq!(BucketUrl::parse(&url.shown()).unwrap(), url);
            }
        }

        #[test]
        fn no_secret_in_a_url_is_ever_shown(secret in "[a-zA-Z0-9/+]{12,20}", which in 0_usize..7) {
            let text = match which {
                0 => format!("s3://key:{secret}@shop/a"),
                1 => format!("s3://{}@shop/a", secret.replace('/', "+")),
                2 => format!("s3://shop/a?secret_access_key={secret}"),
                3 => format!("s3://shop/a?X-Amz-Signature={secret}"),
                4 => format!("azblob://shop/a?sv=2024&sig={secret}"),
                5 => format!("azblob://shop/a?account_key={secret}"),
                _ => format!("s3://shop/a?session-token={secret}"),
            };
            let error = match BucketUrl::parse(&text) {
                Err(error) => error,
                // The slash ends what could be a login: it is a bucket's name then, and an odd one.
                Ok(url) => return Err(TestCaseError::fail(url.shown())),
            };
            let told = format!("{error} {error:?} {}", error.hint().unwrap_or_default());
            prop_assert!(!told.contains(&secret), "{}", told);
        }
    }
}
