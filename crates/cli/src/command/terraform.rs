//! `terraform`.

use clap::{Args, ValueEnum};
use dumprestore::{Error, Result};
use dumprestore_store::{ArchiveSettings, Blueprint, Cloud, Retention};
use serde_json::json;

use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore terraform > archives.tf                       the bucket of `archive.to`
  dumprestore terraform --cloud aws --bucket shop-archives --region eu-central-1
  dumprestore terraform --lock-days 14                      nobody removes an archive for two weeks

Terraform and OpenTofu read it. The bucket is private, versioned and encrypted. Its writer can neither remove nor overwrite an archive; a restorer reads; a pruner removes so that a version stays. No keys are made: they would stand in the state of Terraform.";

/// Print configuration for Terraform: a bucket for archives, and who may do what there
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Terraform {
    /// Whose bucket it is; by default as `archive.to` says
    #[arg(long, value_name = "CLOUD", requires = "bucket")]
    cloud: Option<CloudName>,
    /// The bucket's name
    #[arg(long, value_name = "NAME", requires = "cloud")]
    bucket: Option<String>,
    /// Below which archives are
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Where the bucket is, such as `eu-central-1`
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Days after which removed archives are gone for good
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    noncurrent_days: u32,
    /// Days for which no archive can be removed
    #[arg(long, value_name = "DAYS")]
    lock_days: Option<u32>,
    /// With `--lock-days`: nobody can take the lock away, whoever it is
    #[arg(long, requires = "lock_days")]
    compliance: bool,
    /// The key of the cloud's key service that encrypts
    #[arg(long, value_name = "ARN|NAME")]
    kms_key: Option<String>,
}

/// Whose bucket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CloudName {
    Aws,
    Gcs,
}

impl Terraform {
    pub(crate) fn run(self, session: &Session) -> Result<Ended> {
        let mut blueprint = self.named(session)?;
        blueprint.prefix = self.prefix.unwrap_or(blueprint.prefix);
        blueprint.region = self.region.unwrap_or(blueprint.region);
        blueprint.kms_key = self.kms_key.or(blueprint.kms_key);
        blueprint.noncurrent_days = self.noncurrent_days;
        blueprint.retention = self.lock_days.map(|days| match self.compliance {
            true => Retention::Compliance(days),
            false => Retention::Governance(days),
        });
        if blueprint.region.is_empty() {
            return Err(Error::config("it has to be said where the bucket is")
                .with_hint("name it: `--region eu-central-1`"));
        }
        let text = blueprint.hcl()?;
        session.console.print(text.trim_end())?;
        session.ended(Exit::Ok, &json!({ "hcl": text }))
    }

    fn named(&self, session: &Session) -> Result<Blueprint> {
        if let (Some(cloud), Some(bucket)) = (self.cloud, &self.bucket) {
            let cloud = match cloud {
                CloudName::Aws => Cloud::Aws,
                CloudName::Gcs => Cloud::Gcs,
            };
            return Ok(Blueprint::new(cloud, bucket, ""));
        }
        let set = session.load()?;
        let settings = set.archive().and_then(|archive| archive.settings::<ArchiveSettings>());
        for place in settings.iter().flat_map(|settings| &settings.places) {
            if let Some(blueprint) = Blueprint::of(place)? {
                return Ok(blueprint);
            }
        }
        Err(Error::config("`archive.to` names no bucket of S3 or Google Cloud Storage")
            .with_hint("name one: `--cloud aws --bucket NAME --region REGION`"))
    }
}
