//! Whether a bucket keeps what is overwritten and deleted.

use opendal::Result;
use serde::Deserialize;

use super::call::{Call, Calls};
use super::refusal::Refusal;
use super::xml;

/// Whether a bucket keeps what is overwritten and deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Versioning {
    /// It keeps all of it.
    Enabled,
    /// It did once: what was kept then is still there, what is overwritten now is gone.
    Suspended,
    /// It never did.
    Off,
    /// It can't be told; with the reason.
    Unknown(String),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Status", default)]
    status: String,
}

impl Calls {
    pub(crate) async fn versioning(&self) -> Result<Versioning> {
        match self.ask(&Call::of_bucket("GetBucketVersioning", "versioning")).await {
            Ok(body) => Ok(match xml::read::<Answer>(&body)?.status.as_str() {
                "Enabled" => Versioning::Enabled,
                "Suspended" => Versioning::Suspended,
                "" => Versioning::Off,
                other => Versioning::Unknown(format!("the server says `{other}`")),
            }),
            Err(error) => match Refusal::within(&error) {
                Some(refusal) if refusal.is_forbidden() => Ok(Versioning::Unknown(
                    "not permitted: the credentials need `s3:GetBucketVersioning`".to_owned(),
                )),
                Some(refusal) if refusal.is_unknown_call() => {
                    Ok(Versioning::Unknown("this server has no versioning, or does not tell".to_owned()))
                }
                _ => Err(error),
            },
        }
    }
}
