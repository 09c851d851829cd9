//! What a store's error means, and what to do.

use std::error::Error as StdError;
use std::fmt;

use dumprestore_driver::{Error, ErrorKind};
use opendal::ErrorKind as Kind;

use crate::Scheme;
use crate::s3::Refusal;
use crate::service::{Kind as StoreKind, Store};
use crate::trouble::Trouble;

/// The error for people: what could not be done, on what, why, and what to do.
pub(crate) fn told(store: &Store, shown: &str, doing: &str, key: &str, error: &opendal::Error) -> Error {
    let said = Said::of(error);
    let object = match key {
        "" => shown.to_owned(),
        key => format!("{}/{key}", shown.trim_end_matches('/')),
    };
    let message = format!("can't {doing} `{object}`");
    let verdict = verdict(store, error, &said);
    let made = Error::new(verdict.kind, message).with_source(Cause(store.veil.over(&verdict.why)));
    match verdict.hint {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// Why, in words; the whole request and answer that an error of OpenDAL holds are left out.
#[derive(Debug)]
struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Cause {}

struct Verdict {
    kind: ErrorKind,
    why: String,
    hint: Option<String>,
}

impl Verdict {
    fn new(kind: ErrorKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

fn verdict(store: &Store, error: &opendal::Error, said: &Said) -> Verdict {
    if let Some(trouble) = trouble(error) {
        return unreachable(trouble);
    }
    if let Some(verdict) = no_credentials(store, error) {
        return verdict;
    }
    if let Some(verdict) = by_code(store, said) {
        return verdict;
    }
    by_kind(store, error, said)
}

/// Whether the store has answered, and what it says is about the one object.
pub(crate) fn is_of_object(error: &opendal::Error) -> bool {
    if error.is_temporary() || error.kind() != Kind::Unexpected || trouble(error).is_some() {
        return false;
    }
    let said = Said::of(error);
    match said.code.as_deref() {
        // Of a look there is the status alone. With a key of the owner's own (SSE-C), nothing else goes through.
        None => said.status() == Some(400) || said.whole.contains("header value must be valid"),
        Some("InvalidRequest" | "InvalidArgument" | "InvalidObjectState" | "BlobArchived") => true,
        Some(code) => code.starts_with("KMS."),
    }
}

fn causes(error: &opendal::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

fn trouble(error: &opendal::Error) -> Option<&Trouble> {
    causes(error).find_map(|cause| {
        let inside = cause.downcast_ref::<opendal::Error>().and_then(|error| trouble(error));
        cause.downcast_ref::<Trouble>().or(inside)
    })
}

fn unreachable(trouble: &Trouble) -> Verdict {
    let hint = match trouble {
        Trouble::Unreachable(_) => "check `endpoint`, the network, and that the server runs",
        Trouble::Tls(_) => {
            "check `endpoint`; if the server's certificate is of an authority of your own, name it with `ca_file`"
        }
        Trouble::Stalled(_) => "check the network and the server, or raise `timeout`",
        Trouble::Broken(_) => "check the network and the server, and run it again",
    };
    Verdict::new(ErrorKind::Environment, trouble.to_string()).hint(hint)
}

fn no_credentials(store: &Store, error: &opendal::Error) -> Option<Verdict> {
    let is_it = causes(error).any(|cause| {
        cause.is::<reqsign_core::Error>() && cause.to_string().contains("failed to load signing credential")
    });
    is_it.then(|| {
        let looked = match &store.kind {
            StoreKind::S3 { credentials, .. } => credentials.trouble().map(|trouble| format!("; {trouble}")),
            _ => None,
        };
        let why = format!("no credentials were found{}", looked.unwrap_or_default());
        Verdict::new(ErrorKind::Config, why).hint(credentials_hint(store.scheme))
    })
}

fn credentials_hint(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 => {
            "set `access_key_id` and `secret_access_key`, `profile`, or the environment as for the AWS command line; \
             for a public bucket, `anonymous`"
        }
        Scheme::Gcs => {
            "set `credential_file` or `GOOGLE_APPLICATION_CREDENTIALS`, or log in with `gcloud auth application-default \
             login`; for a public bucket, `anonymous`"
        }
        Scheme::Azblob => {
            "set `account_name` with `account_key` or `sas_token`; for a public container, `anonymous`"
        }
        Scheme::Fs => "run as a user who may do this",
    }
}

/// What S3 and Azure name in their errors.
fn by_code(store: &Store, said: &Said) -> Option<Verdict> {
    let verdict = |kind| Verdict::new(kind, said.text());
    Some(match said.code.as_deref()? {
        "NoSuchBucket" | "ContainerNotFound" => verdict(ErrorKind::Config)
            .hint("check the bucket's name, its account and `region`, or make the bucket"),
        "InvalidBucketName" | "InvalidUri" => verdict(ErrorKind::Config).hint("check the bucket's name"),
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "AuthenticationFailed" => {
            verdict(ErrorKind::Config)
                .hint("check the access key: its id, its secret, and whether it is for this server")
        }
        "ExpiredToken" | "TokenRefreshRequired" => verdict(ErrorKind::Environment)
            .hint("the session has ended: log in again, or take a key that lasts"),
        "RequestTimeTooSkewed" => verdict(ErrorKind::Environment).hint("set this machine's clock right"),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            verdict(ErrorKind::Config).hint(elsewhere(store, said))
        }
        "SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout" | "ServerBusy"
        | "TooManyRequests" => verdict(ErrorKind::Environment)
            .hint("the store has too much to do: run it again later, or lower `concurrency`"),
        "InvalidObjectState" | "BlobArchived" => {
            verdict(ErrorKind::Environment).hint("it is in cold storage: have the store bring it back first")
        }
        "InvalidStorageClass" => verdict(ErrorKind::Config).hint("check `storage_class`"),
        code if code.starts_with("KMS.") => verdict(ErrorKind::Config)
            .hint("check `kms_key_id`, and what the credentials may do with that key"),
        "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" => verdict(ErrorKind::Environment)
            .hint("what arrived is not what was sent: check the network, and run it again"),
        "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" => {
            verdict(ErrorKind::Environment).hint("make room in the store, and run it again")
        }
        _ => return None,
    })
}

fn elsewhere(store: &Store, said: &Said) -> String {
    let ours = store.region().unwrap_or("this");
    match said.region() {
        Some(region) => format!("the bucket is not in region `{ours}` but in `{region}`: set `region`"),
        None => format!("the bucket is in another region than `{ours}`: set `region`, and check `endpoint`"),
    }
}

fn by_kind(store: &Store, error: &opendal::Error, said: &Said) -> Verdict {
    let why = said.text();
    match error.kind() {
        Kind::NotFound => Verdict::new(ErrorKind::Environment, "there is no such object"),
        Kind::PermissionDenied => {
            let made = Verdict::new(ErrorKind::Environment, format!("not permitted: {why}"));
            match (store.scheme, said.permission()) {
                (Scheme::S3, Some(action)) => {
                    made.hint(format!("the credentials need `{action}` on this bucket"))
                }
                (Scheme::Fs, _) => made.hint("run as a user who may do this, or change the rights"),
                _ => made.hint("check what the credentials may do on this bucket"),
            }
        }
        Kind::RateLimited => {
            Verdict::new(ErrorKind::Environment, format!("the store has too much to do: {why}"))
                .hint("run it again later, or lower `concurrency`")
        }
        Kind::ConditionNotMatch => {
            Verdict::new(ErrorKind::Environment, "it is there already, or was changed meanwhile")
        }
        Kind::AlreadyExists => Verdict::new(ErrorKind::Environment, "it is there already"),
        Kind::ConfigInvalid => Verdict::new(ErrorKind::Config, why).hint("check the options of this store"),
        Kind::Unsupported => Verdict::new(ErrorKind::Unsupported, format!("this store can't do that: {why}")),
        _ if said.is_redirect() => {
            Verdict::new(ErrorKind::Config, "the server sends us elsewhere").hint(elsewhere(store, said))
        }
        _ => Verdict::new(ErrorKind::Environment, why),
    }
}

/// What an error of OpenDAL says, taken apart.
struct Said {
    code: Option<String>,
    message: String,
    /// All of it, requests included: to look into, never to show.
    whole: String,
}

impl Said {
    fn of(error: &opendal::Error) -> Self {
        if let Some(refusal) = Refusal::within(error) {
            let code = Some(refusal.code.clone()).filter(|code| !code.is_empty());
            let message = match &code {
                Some(_) => refusal.message.clone(),
                None => refusal.to_string(),
            };
            return Self {
                code,
                message,
                whole: format!("status: {} service_operation: {}", refusal.status, refusal.call),
            };
        }
        let text = error.message();
        let code = quoted(text, "code: \"").filter(|code| !code.is_empty());
        let message = match &code {
            Some(_) => quoted(text, "message: \"").unwrap_or_default(),
            None => text.to_owned(),
        };
        let last = causes(error).last().map(ToString::to_string);
        let message = match (message.is_empty(), &code, last) {
            (_, None, Some(cause)) if !cause.contains("://") => format!("{message}: {cause}"),
            _ => message,
        };
        Self { code, message, whole: error.to_string() }
    }

    fn text(&self) -> String {
        match (&self.code, self.message.is_empty()) {
            (Some(code), true) => format!("`{code}`"),
            (Some(code), false) => format!("`{code}`: {}", self.message),
            (None, true) => match self.status() {
                Some(status) => format!("the store says no more than status {status}"),
                None => "the store says no more".to_owned(),
            },
            (None, false) => self.message.clone(),
        }
    }

    fn status(&self) -> Option<u16> {
        let (_, status) = self.whole.split_once("status: ")?;
        status.get(..3)?.parse().ok()
    }

    fn is_redirect(&self) -> bool {
        matches!(self.status(), Some(301 | 302 | 307 | 308))
    }

    /// Where the bucket is, if the server says so.
    fn region(&self) -> Option<String> {
        let region = quoted(&self.whole, "\"x-amz-bucket-region\": \"")?;
        region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-').then_some(region)
    }

    /// What has to be allowed for the call that failed.
    fn permission(&self) -> Option<&'static str> {
        let (_, call) = self.whole.split_once("service_operation: ")?;
        let call = call.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
        let is_version = self.whole.contains("versionId=");
        Some(match call {
            "HeadObject" | "GetObject" if is_version => "s3:GetObjectVersion",
            "HeadObject" | "GetObject" => "s3:GetObject",
            "PutObject" | "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" => {
                "s3:PutObject"
            }
            "CopyObject" | "UploadPartCopy" => "s3:GetObject` and `s3:PutObject",
            "AbortMultipartUpload" => "s3:AbortMultipartUpload",
            "ListObjects" | "ListObjectsV2" => "s3:ListBucket",
            "ListObjectVersions" => "s3:ListBucketVersions",
            "DeleteObject" | "DeleteObjects" => "s3:DeleteObject",
            "GetBucketVersioning" => "s3:GetBucketVersioning",
            "GetBucketLifecycleConfiguration" => "s3:GetLifecycleConfiguration",
            "ListMultipartUploads" => "s3:ListBucketMultipartUploads",
            "GetObjectRetention" => "s3:GetObjectRetention",
            "GetObjectLegalHold" => "s3:GetObjectLegalHold",
            _ => return None,
        })
    }
}

/// The string that a `Debug` has after `name`.
fn quoted(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(name)?;
    let mut found = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some(found),
            '\\' => found.push(match chars.next()? {
                'n' | 'r' | 't' => ' ',
                other => other,
            }),
            other => found.push(other),
        }
    }
    None
}
