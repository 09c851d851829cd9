//! What can't be deleted, and until when.

use std::time::SystemTime;

use http::Method;
use opendal::Result;
use serde::Deserialize;

use super::call::{Call, Calls};
use super::refusal::Refusal;
use super::xml;

/// How strictly a version of an object is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockMode {
    /// Whoever has a special permission can delete it all the same.
    Governance,
    /// Nobody can.
    Compliance,
}

/// What keeps a version of an object from being deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lock {
    /// How strictly, and until when.
    pub retention: Option<(LockMode, SystemTime)>,
    /// Whether it is kept until somebody lifts that by hand.
    pub legal_hold: bool,
}

impl Lock {
    /// Whether the version can't be deleted at that moment.
    pub fn holds_at(&self, moment: SystemTime) -> bool {
        self.legal_hold || self.retention.is_some_and(|(_, until)| moment < until)
    }
}

/// Whether a bucket can lock what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Locking {
    /// It can, and what is written is locked for so many days unless whoever writes it says otherwise.
    Enabled {
        /// How strictly, and for how many days, if there is such a rule.
        by_default: Option<(LockMode, u32)>,
    },
    /// It can't.
    Off,
    /// It can't be told; with the reason.
    Unknown(String),
}

const DAYS_OF_A_YEAR: u32 = 365;

/// What servers say about buckets and objects without locks.
const NONE: [&str; 4] = [
    "ObjectLockConfigurationNotFoundError",
    "NoSuchObjectLockConfiguration",
    "NoSuchObjectLockConfigurationError",
    "InvalidRequest",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    #[serde(default)]
    object_lock_enabled: String,
    rule: Option<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    default_retention: Option<DefaultRetention>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DefaultRetention {
    mode: String,
    days: Option<u32>,
    years: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Retention {
    mode: Option<String>,
    retain_until_date: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Hold {
    #[serde(default)]
    status: String,
}

fn mode(text: &str) -> LockMode {
    match text {
        "GOVERNANCE" => LockMode::Governance,
        // Whatever it is, it is taken for the stricter one.
        _ => LockMode::Compliance,
    }
}

impl Calls {
    pub(crate) async fn locking(&self) -> Result<Locking> {
        let answer = match self.ask(&Call::of_bucket("GetObjectLockConfiguration", "object-lock")).await {
            Ok(body) => xml::read::<Configuration>(&body)?,
            Err(error) => {
                return match Refusal::within(&error) {
                    Some(refusal) if refusal.is_about_nothing(&NONE) => Ok(Locking::Off),
                    Some(refusal) if refusal.is_unknown_call() => Ok(Locking::Off),
                    Some(refusal) if refusal.is_forbidden() => Ok(Locking::Unknown(
                        "not permitted: the credentials need `s3:GetBucketObjectLockConfiguration`"
                            .to_owned(),
                    )),
                    _ => Err(error),
                };
            }
        };
        if answer.object_lock_enabled != "Enabled" {
            return Ok(Locking::Off);
        }
        let rule = answer.rule.and_then(|rule| rule.default_retention);
        let by_default = rule.and_then(|rule| {
            let years = rule.years.and_then(|years| years.checked_mul(DAYS_OF_A_YEAR));
            Some((mode(&rule.mode), rule.days.or(years)?))
        });
        Ok(Locking::Enabled { by_default })
    }

    /// What locks that version, or the current one, of the object with that whole key.
    ///
    /// A server that knows of a lock says so whenever it is asked for the object; one that does not say so may only
    /// have kept it from those credentials, so that it has to be asked.
    pub(crate) async fn lock(&self, key: &str, version: Option<&str>) -> Result<Lock> {
        let call = |name, method, about| {
            let call = Call::new(name, method, key, about);
            match version {
                Some(version) => call.with("versionId", version),
                None => call,
            }
        };
        let headers = self.headers(&call("HeadObject", Method::HEAD, "")).await?;
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let retention = match (said("x-amz-object-lock-mode"), said("x-amz-object-lock-retain-until-date")) {
            (Some(text), Some(until)) => Some((mode(text), xml::time(until)?)),
            _ => self.retention(&call("GetObjectRetention", Method::GET, "retention")).await?,
        };
        let legal_hold = match said("x-amz-object-lock-legal-hold") {
            Some(status) => status == "ON",
            None => {
                let hold: Option<Hold> =
                    self.if_any(&call("GetObjectLegalHold", Method::GET, "legal-hold")).await?;
                hold.is_some_and(|hold| hold.status == "ON")
            }
        };
        Ok(Lock { retention, legal_hold })
    }

    async fn retention(&self, call: &Call) -> Result<Option<(LockMode, SystemTime)>> {
        let told: Option<Retention> = self.if_any(call).await?;
        match told {
            Some(Retention { mode: Some(text), retain_until_date: Some(until) }) => {
                Ok(Some((mode(&text), xml::time(&until)?)))
            }
            _ => Ok(None),
        }
    }

    /// `None` if there is nothing of what was asked for, or if the server gives the object itself, as those do that know
    /// of no such thing.
    async fn if_any<T: serde::de::DeserializeOwned>(&self, call: &Call) -> Result<Option<T>> {
        match self.ask(call).await.and_then(|body| xml::read(&body)) {
            Ok(read) => Ok(Some(read)),
            Err(error) if xml::is_senseless(&error) => Ok(None),
            Err(error) => match Refusal::within(&error) {
                Some(refusal) if refusal.is_about_nothing(&NONE) || refusal.is_unknown_call() => Ok(None),
                _ => Err(error),
            },
        }
    }
}
