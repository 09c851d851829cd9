//! Signatures of requests, as AWS documents them (version 4): of our own, so that they judge those of others.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

use super::REGION;

const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'/');

/// A path as it stands in a request.
pub(super) fn path(text: &str) -> String {
    utf8_percent_encode(text, IN_PATH).to_string()
}

/// Names and values as they stand in a request: sorted, as a signature wants them.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let escaped = |text| utf8_percent_encode(text, IN_QUERY);
    let mut pairs: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    pairs.sort();
    pairs.join("&")
}

/// What is signed.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// As [`path`] gives it.
    pub(super) path: &'a str,
    /// As [`query`] gives it.
    pub(super) query: &'a str,
    /// With lower-case names.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: &'a [u8],
}

impl Request<'_> {
    /// Adds the headers that prove who sends it.
    pub(super) fn sign(&mut self, access_key: &str, secret_key: &str) {
        let time = OffsetDateTime::now_utc()
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
            .expect("a time that can be written");
        let digest = hex(&Sha256::digest(self.body));
        self.headers.push(("x-amz-date".to_owned(), time.clone()));
        self.headers.push(("x-amz-content-sha256".to_owned(), digest.clone()));
        self.headers.sort();
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let scope = format!("{}/{REGION}/s3/aws4_request", &time[..8]);
        let request = self.canonical(&names, &digest);
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(request)));
        let mut key = format!("AWS4{secret_key}").into_bytes();
        for part in scope.split('/') {
            key = mac(&key, part);
        }
        let signature = hex(&mac(&key, &text));
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        self.headers.push(("authorization".to_owned(), value));
    }

    fn canonical(&self, names: &str, digest: &str) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.method, self.path, self.query);
        for (name, value) in &self.headers {
            writeln!(text, "{name}:{}", value.trim()).expect("a string");
        }
        write!(text, "\n{names}\n{digest}").expect("a string");
        text
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string");
        text
    })
}
