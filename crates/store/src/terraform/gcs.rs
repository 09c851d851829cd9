//! A bucket of Google Cloud Storage, and three service accounts.

use super::blueprint::{UNFINISHED_DAYS, fill};
use super::{Blueprint, Retention};

pub(super) fn hcl(of: &Blueprint) -> String {
    let folder = of.folder();
    let (noncurrent, unfinished) = (of.noncurrent_days.to_string(), UNFINISHED_DAYS.to_string());
    let soft = of.noncurrent_days.clamp(*SOFT_DELETE_DAYS.start(), *SOFT_DELETE_DAYS.end());
    let (undo, stays) = match of.retention {
        Some(_) => (SOFT_DELETE, soft),
        None => (VERSIONS, of.noncurrent_days),
    };
    let mut text = HEAD.replace("@UNDO@", undo);
    let (locked, seconds) = match of.retention {
        Some(Retention::Governance(days)) => ("false", u64::from(days) * 86_400),
        Some(Retention::Compliance(days)) => ("true", u64::from(days) * 86_400),
        None => ("", 0),
    };
    if of.retention.is_some() {
        text += RETENTION;
    }
    if of.kms_key.is_some() {
        text += KMS;
    }
    text += "}\n\n";
    text += ROLES;
    let condition = if folder.is_empty() { "" } else { CONDITION };
    for (role, about, named) in [
        ("writer", "makes archives", "google_project_iam_custom_role.writer.id"),
        ("restorer", "reads archives", "google_project_iam_custom_role.restorer.id"),
        ("pruner", "removes archives", "google_project_iam_custom_role.pruner.id"),
    ] {
        text += &fill(ACCOUNT, &[("ROLE", role), ("ABOUT", about), ("ID", named), ("CONDITION", condition)]);
    }
    text += OUTPUTS;
    fill(
        &text,
        &[
            ("BUCKET", &of.bucket),
            ("REGION", &of.region),
            ("FOLDER", &folder),
            ("NONCURRENT", &noncurrent),
            ("STAYS", &stays.to_string()),
            ("SOFT_SECONDS", &(u64::from(soft) * 86_400).to_string()),
            ("UNFINISHED", &unfinished),
            ("SECONDS", &seconds.to_string()),
            ("LOCKED", locked),
            ("KEY", of.kms_key.as_deref().unwrap_or_default()),
            ("NAME", &of.short_name(20)),
            ("ROLE_NAME", &of.short_name(40).replace('-', "_")),
        ],
    )
}

const HEAD: &str = r#"# A bucket for archives of dumprestore, and three service accounts who can do what they must and no more.
#
#   terraform init && terraform apply -var project=MY-PROJECT
#
# writer: makes archives, lists them, and reads back what it has made to check it. It can't remove or overwrite one: to
# overwrite an object takes the right to delete it.
# restorer: reads. pruner: removes, so that it can be brought back for @STAYS@ days, and writes nothing.
# No keys are made here, for they would stand in the state: attach the accounts to machines, or federate them.
# TLS: the clients of dumprestore speak nothing else. Google has no setting of a bucket that refuses the rest.

terraform {
  required_version = ">= 1.5"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 5.30"
    }
  }
}

variable "project" {
  description = "The project that the bucket belongs to."
  type        = string
}

provider "google" {
  project = var.project
  region  = "@REGION@"
}

resource "google_storage_bucket" "archives" {
  name                        = "@BUCKET@"
  location                    = "@REGION@"
  force_destroy               = false
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  lifecycle_rule {
    condition {
      age = @UNFINISHED@
    }

    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }

@UNDO@
  lifecycle {
    prevent_destroy = true
  }
"#;

/// What is removed stays for a while: as a version.
const VERSIONS: &str = r#"  versioning {
    enabled = true
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = @NONCURRENT@
      with_state                 = "ARCHIVED"
    }

    action {
      type = "Delete"
    }
  }
"#;

/// The same without versions, which Google has long refused for a bucket with a retention policy.
const SOFT_DELETE: &str = r#"  soft_delete_policy {
    retention_duration_seconds = @SOFT_SECONDS@
  }
"#;

/// Google keeps what was removed for so many days.
const SOFT_DELETE_DAYS: std::ops::RangeInclusive<u32> = 7..=90;

const RETENTION: &str = r#"
  retention_policy {
    retention_period = @SECONDS@
    is_locked        = @LOCKED@
  }
"#;

const KMS: &str = r#"
  encryption {
    default_kms_key_name = "@KEY@"
  }
"#;

const ROLES: &str = r#"resource "google_project_iam_custom_role" "lister" {
  role_id = "@ROLE_NAME@_lister"
  title   = "Lists archives of @BUCKET@"
  permissions = [
    "storage.buckets.get",
    "storage.objects.list",
    "storage.multipartUploads.list",
  ]
}

resource "google_project_iam_custom_role" "writer" {
  role_id = "@ROLE_NAME@_writer"
  title   = "Writes archives to @BUCKET@"
  permissions = [
    "storage.objects.create",
    "storage.objects.get",
    "storage.multipartUploads.create",
    "storage.multipartUploads.abort",
    "storage.multipartUploads.listParts",
  ]
}

resource "google_project_iam_custom_role" "restorer" {
  role_id     = "@ROLE_NAME@_restorer"
  title       = "Reads archives of @BUCKET@"
  permissions = ["storage.objects.get"]
}

resource "google_project_iam_custom_role" "pruner" {
  role_id = "@ROLE_NAME@_pruner"
  title   = "Removes archives of @BUCKET@"
  permissions = [
    "storage.objects.get",
    "storage.objects.delete",
    "storage.multipartUploads.abort",
  ]
}

"#;

/// Listing is asked of the bucket, the rest of objects: only that can be bound to a prefix.
const ACCOUNT: &str = r#"resource "google_service_account" "@ROLE@" {
  account_id   = "@NAME@-@ROLE@"
  display_name = "dumprestore: @ABOUT@"
}

resource "google_storage_bucket_iam_member" "@ROLE@_lists" {
  bucket = google_storage_bucket.archives.name
  role   = google_project_iam_custom_role.lister.id
  member = "serviceAccount:${google_service_account.@ROLE@.email}"
}

resource "google_storage_bucket_iam_member" "@ROLE@" {
  bucket = google_storage_bucket.archives.name
  role   = @ID@
  member = "serviceAccount:${google_service_account.@ROLE@.email}"
@CONDITION@}

"#;

const CONDITION: &str = r#"
  condition {
    title      = "archives-only"
    expression = "resource.name.startsWith(\"projects/_/buckets/@BUCKET@/objects/@FOLDER@\")"
  }
"#;

const OUTPUTS: &str = r#"output "archive_to" {
  description = "What stands under `archive.to`."
  value       = "gs://${google_storage_bucket.archives.name}/@FOLDER@"
}

output "accounts" {
  description = "Who writes, who restores, who prunes."
  value = {
    writer   = google_service_account.writer.email
    restorer = google_service_account.restorer.email
    pruner   = google_service_account.pruner.email
  }
}
"#;
