//! A bucket of Amazon S3, and three users.

use super::blueprint::{UNFINISHED_DAYS, fill};
use super::{Blueprint, Retention};

pub(super) fn hcl(of: &Blueprint) -> String {
    let folder = of.folder();
    let (noncurrent, unfinished) = (of.noncurrent_days.to_string(), UNFINISHED_DAYS.to_string());
    let user = of.short_name(40);
    let mut text = BUCKET.to_owned();
    text += if of.kms_key.is_some() { KMS } else { SSE };
    text += LIFECYCLE;
    if of.retention.is_some() {
        text += LOCK;
    }
    text += POLICY;
    let with_key = |statement| of.kms_key.as_ref().map(|_| statement);
    text += &user_of("writer", &[LIST, LOOK, MAKE_AND_CHECK], with_key(KMS_WRITE));
    text += &user_of("restorer", &[LIST, READ], with_key(KMS_READ));
    text += &user_of("pruner", &[LIST, LOOK, READ_AND_REMOVE], with_key(KMS_READ));
    text += OUTPUTS;
    let (mode, days) = match of.retention {
        Some(Retention::Governance(days)) => ("GOVERNANCE", days.to_string()),
        Some(Retention::Compliance(days)) => ("COMPLIANCE", days.to_string()),
        None => ("", String::new()),
    };
    fill(
        &text,
        &[
            ("BUCKET", &of.bucket),
            ("REGION", &of.region),
            ("FOLDER", &folder),
            ("LOCKED", if of.retention.is_some() { "true" } else { "false" }),
            ("NONCURRENT", &noncurrent),
            ("UNFINISHED", &unfinished),
            ("MODE", mode),
            ("DAYS", &days),
            ("KEY", of.kms_key.as_deref().unwrap_or_default()),
            ("USER", &user),
        ],
    )
}

/// A user and its policy, which says all that it may do.
fn user_of(role: &str, statements: &[&str], key: Option<&str>) -> String {
    let statements: Vec<&str> = statements.iter().copied().chain(key).collect();
    fill(USER, &[("ROLE", role), ("STATEMENTS", &statements.join("\n"))])
}

const BUCKET: &str = r#"# A bucket for archives of dumprestore, and three users who can do what they must and no more.
#
#   terraform init && terraform apply
#   aws iam create-access-key --user-name @USER@-writer    # for each; no key is made here, for it would stand in the state
#
# writer: makes archives, lists them, and reads back what it has made to check it. It can't remove or overwrite one.
# restorer: reads. pruner: removes, so that a version stays for @NONCURRENT@ days, and writes nothing.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80"
    }
  }
}

provider "aws" {
  region = "@REGION@"
}

resource "aws_s3_bucket" "archives" {
  bucket              = "@BUCKET@"
  force_destroy       = false
  object_lock_enabled = @LOCKED@

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_public_access_block" "archives" {
  bucket                  = aws_s3_bucket.archives.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "archives" {
  bucket = aws_s3_bucket.archives.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "archives" {
  bucket = aws_s3_bucket.archives.id

  versioning_configuration {
    status = "Enabled"
  }
}

"#;

const SSE: &str = r#"resource "aws_s3_bucket_server_side_encryption_configuration" "archives" {
  bucket = aws_s3_bucket.archives.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

"#;

const KMS: &str = r#"resource "aws_s3_bucket_server_side_encryption_configuration" "archives" {
  bucket = aws_s3_bucket.archives.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = "@KEY@"
    }
  }
}

"#;

const LIFECYCLE: &str = r#"resource "aws_s3_bucket_lifecycle_configuration" "archives" {
  bucket = aws_s3_bucket.archives.id

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = @UNFINISHED@
    }
  }

  rule {
    id     = "noncurrent-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = @NONCURRENT@
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  depends_on = [aws_s3_bucket_versioning.archives]
}

"#;

const LOCK: &str = r#"resource "aws_s3_bucket_object_lock_configuration" "archives" {
  bucket = aws_s3_bucket.archives.id

  rule {
    default_retention {
      mode = "@MODE@"
      days = @DAYS@
    }
  }

  depends_on = [aws_s3_bucket_versioning.archives]
}

"#;

const POLICY: &str = r#"data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "OnlyOverTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.archives.arn, "${aws_s3_bucket.archives.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  # A request that would put something in the place of an archive does not ask that there be none.
  statement {
    sid       = "WriterOverwritesNothing"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.archives.arn}/*"]

    principals {
      type        = "AWS"
      identifiers = [aws_iam_user.writer.arn]
    }

    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["true"]
    }

    condition {
      test     = "Bool"
      variable = "s3:ObjectCreationOperation"
      values   = ["true"]
    }
  }

  # Whatever else these users are ever granted.
  statement {
    sid    = "WriterRemovesNothing"
    effect = "Deny"
    actions = [
      "s3:DeleteObject",
      "s3:DeleteObjectVersion",
      "s3:PutObjectRetention",
      "s3:PutObjectLegalHold",
      "s3:BypassGovernanceRetention",
      "s3:PutLifecycleConfiguration",
      "s3:PutBucketVersioning",
      "s3:PutBucketPolicy",
      "s3:DeleteBucketPolicy",
      "s3:DeleteBucket",
    ]
    resources = [aws_s3_bucket.archives.arn, "${aws_s3_bucket.archives.arn}/*"]

    principals {
      type        = "AWS"
      identifiers = [aws_iam_user.writer.arn, aws_iam_user.restorer.arn]
    }
  }
}

resource "aws_s3_bucket_policy" "archives" {
  bucket     = aws_s3_bucket.archives.id
  policy     = data.aws_iam_policy_document.bucket.json
  depends_on = [aws_s3_bucket_public_access_block.archives]
}

"#;

const USER: &str = r#"resource "aws_iam_user" "@ROLE@" {
  name = "@USER@-@ROLE@"
}

data "aws_iam_policy_document" "@ROLE@" {
@STATEMENTS@}

resource "aws_iam_user_policy" "@ROLE@" {
  name   = "archives"
  user   = aws_iam_user.@ROLE@.name
  policy = data.aws_iam_policy_document.@ROLE@.json
}

"#;

/// Whether a name is free, and which archives there are. This is not narrowed to the prefix: S3 says that a name is free only
/// to who may list without one.
const LIST: &str = r#"  statement {
    sid       = "List"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = [aws_s3_bucket.archives.arn]
  }
"#;

/// What is judged of a bucket.
const LOOK: &str = r#"  statement {
    sid = "Look"
    actions = [
      "s3:GetBucketVersioning",
      "s3:GetBucketObjectLockConfiguration",
      "s3:GetLifecycleConfiguration",
      "s3:ListBucketMultipartUploads",
    ]
    resources = [aws_s3_bucket.archives.arn]
  }
"#;

/// A dump uploads in parts, gives up uploads, and reads back the version that it has made.
const MAKE_AND_CHECK: &str = r#"  statement {
    sid = "MakeAndCheck"
    actions = [
      "s3:PutObject",
      "s3:AbortMultipartUpload",
      "s3:ListMultipartUploadParts",
      "s3:GetObject",
      "s3:GetObjectVersion",
    ]
    resources = ["${aws_s3_bucket.archives.arn}/@FOLDER@*"]
  }
"#;

const READ: &str = r#"  statement {
    sid       = "Read"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${aws_s3_bucket.archives.arn}/@FOLDER@*"]
  }
"#;

/// Who prunes reads what it judges about. Without `s3:DeleteObjectVersion` what it removes can be had back until it expires.
const READ_AND_REMOVE: &str = r#"  statement {
    sid = "ReadAndRemove"
    actions = [
      "s3:GetObject",
      "s3:GetObjectVersion",
      "s3:GetObjectRetention",
      "s3:GetObjectLegalHold",
      "s3:DeleteObject",
      "s3:AbortMultipartUpload",
    ]
    resources = ["${aws_s3_bucket.archives.arn}/@FOLDER@*"]
  }
"#;

/// Parts of an upload are decrypted when they are put together.
const KMS_WRITE: &str = r#"  statement {
    sid       = "Key"
    actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
    resources = ["@KEY@"]
  }
"#;

const KMS_READ: &str = r#"  statement {
    sid       = "Key"
    actions   = ["kms:Decrypt"]
    resources = ["@KEY@"]
  }
"#;

const OUTPUTS: &str = r#"output "archive_to" {
  description = "What stands under `archive.to`."
  value       = "s3://${aws_s3_bucket.archives.bucket}/@FOLDER@?region=@REGION@"
}

output "users" {
  description = "Who writes, who restores, who prunes."
  value = {
    writer   = aws_iam_user.writer.name
    restorer = aws_iam_user.restorer.name
    pruner   = aws_iam_user.pruner.name
  }
}
"#;
