//! The configuration for Terraform, read by a parser of its language: who may do what.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use dumprestore::{ArchiveConfig, BackupSet, CopyOutcome, Elsewhere, NodeBuilder};
use dumprestore_archive::{
    self as archive, ArchiveWriter, Compression, EntryName, Listed, Manifest, Node, Output, Tool,
    WriterOptions,
};
use dumprestore_driver::{BuildContext, Cancel, NodePath};
use dumprestore_store::{
    ArchiveOptions, Blueprint, BucketOptions, Cloud, Identities, Place, Retention, Shelf, StoreDestination,
    Target, WriteSettings, open,
};
use dumprestore_testkit::{S3Kind, S3Server, Trouble};
use hcl::{Block, Body, Expression};

fn blueprint(cloud: Cloud) -> Blueprint {
    let mut blueprint = Blueprint::new(cloud, "shop-archives", "eu-central-1");
    blueprint.prefix = "shop/daily".into();
    blueprint
}

fn parse(blueprint: &Blueprint) -> Body {
    let text = blueprint.hcl().unwrap();
    assert!(!text.contains('@'), "a value is missing: {text}");
    hcl::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// All blocks of that identifier, at whatever depth.
fn find<'a>(body: &'a Body, name: &str) -> Vec<&'a Block> {
    let below = body.blocks().flat_map(|block| {
        let own = (block.identifier() == name).then_some(block);
        own.into_iter().chain(find(block.body(), name)).collect::<Vec<_>>()
    });
    below.collect()
}

/// The one block with those labels.
fn block<'a>(body: &'a Body, labels: &[&str]) -> &'a Block {
    let is = |block: &&Block| block.labels().iter().map(|label| label.as_str()).eq(labels.iter().copied());
    let found: Vec<_> = body.blocks().filter(is).collect();
    assert_eq!(found.len(), 1, "{labels:?}");
    found[0]
}

fn value(body: &Body, name: &str) -> String {
    let found = body.attributes().find(|attribute| attribute.key() == name);
    let found = found.unwrap_or_else(|| panic!("there is no `{name}` in {body:?}"));
    match found.expr() {
        Expression::String(text) => text.clone(),
        other => other.to_string().trim_matches('"').to_owned(),
    }
}

fn texts(body: &Body, name: &str) -> BTreeSet<String> {
    let found = body.attributes().find(|attribute| attribute.key() == name).unwrap();
    let Expression::Array(all) = found.expr() else { panic!("{found:?}") };
    all.iter()
        .map(|one| match one {
            Expression::String(text) => text.clone(),
            other => other.to_string().trim_matches('"').to_owned(),
        })
        .collect()
}

fn set<const N: usize>(all: [&str; N]) -> BTreeSet<String> {
    all.into_iter().map(str::to_owned).collect()
}

/// All actions that the policy of a user allows, and where.
fn granted(body: &Body, user: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let policy = block(body, &["aws_iam_policy_document", user]);
    let statements = find(policy.body(), "statement");
    assert!(
        statements.iter().all(|one| one.body().attributes().all(|a| a.key() != "effect")),
        "all of them allow"
    );
    let gather = |name| statements.iter().flat_map(|one| texts(one.body(), name)).collect();
    (gather("actions"), gather("resources"))
}

#[test]
fn the_writer_may_call_what_a_dump_calls_and_can_neither_remove_nor_overwrite() {
    let body = parse(&blueprint(Cloud::Aws));
    let (actions, resources) = granted(&body, "writer");
    // Looking whether a name is free and which archives there are; uploading in parts; giving up; reading back.
    let called = set([
        "s3:ListBucket",
        "s3:ListBucketVersions",
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:ListBucketMultipartUploads",
        "s3:ListMultipartUploadParts",
        "s3:GetBucketVersioning",
        "s3:GetLifecycleConfiguration",
        "s3:GetBucketObjectLockConfiguration",
    ]);
    assert_eq!(actions, called);
    assert!(actions.iter().all(|action| !action.contains("Delete") && !action.contains('*')));
    assert_eq!(resources, set(["aws_s3_bucket.archives.arn", "${aws_s3_bucket.archives.arn}/shop/daily/*"]));
    let (sids, denied) = denials(&body);
    assert_eq!(sids, set(["OnlyOverTls", "WriterOverwritesNothing", "WriterRemovesNothing"]));
    for action in
        ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention", "s3:PutBucketPolicy"]
    {
        assert!(denied.contains(action), "{action}");
    }
}

fn denials(body: &Body) -> (BTreeSet<String>, BTreeSet<String>) {
    let statements = find(block(body, &["aws_iam_policy_document", "bucket"]).body(), "statement");
    assert!(statements.iter().all(|one| value(one.body(), "effect") == "Deny"));
    let sids = statements.iter().map(|one| value(one.body(), "sid")).collect();
    let of_writer = statements.iter().find(|one| value(one.body(), "sid") == "WriterRemovesNothing").unwrap();
    (sids, texts(of_writer.body(), "actions"))
}

#[test]
fn what_is_put_without_asking_that_there_be_nothing_is_refused_and_parts_of_uploads_are_not() {
    let body = parse(&blueprint(Cloud::Aws));
    let bucket = block(&body, &["aws_iam_policy_document", "bucket"]);
    let statement = find(bucket.body(), "statement")
        .into_iter()
        .find(|one| value(one.body(), "sid") == "WriterOverwritesNothing")
        .unwrap();
    assert_eq!(texts(statement.body(), "actions"), set(["s3:PutObject"]));
    let conditions: BTreeSet<_> = find(statement.body(), "condition")
        .into_iter()
        .map(|one| (value(one.body(), "test"), value(one.body(), "variable"), texts(one.body(), "values")))
        .collect();
    assert_eq!(
        conditions,
        BTreeSet::from([
            ("Null".into(), "s3:if-none-match".into(), set(["true"])),
            ("Bool".into(), "s3:ObjectCreationOperation".into(), set(["true"])),
        ])
    );
}

#[test]
fn the_restorer_only_reads_and_the_pruner_writes_nothing_and_leaves_versions() {
    let body = parse(&blueprint(Cloud::Aws));
    let (reads, _) = granted(&body, "restorer");
    assert_eq!(reads, set(["s3:ListBucket", "s3:ListBucketVersions", "s3:GetObject", "s3:GetObjectVersion"]));
    let (prunes, _) = granted(&body, "pruner");
    assert!(prunes.contains("s3:DeleteObject") && prunes.is_superset(&reads));
    for wrong in
        ["s3:DeleteObjectVersion", "s3:PutObject", "s3:BypassGovernanceRetention", "s3:PutObjectRetention"]
    {
        assert!(!prunes.contains(wrong), "{wrong}");
    }
    for user in ["writer", "restorer", "pruner"] {
        let own = block(&body, &["aws_iam_user_policy", user]);
        assert_eq!(value(own.body(), "policy"), format!("data.aws_iam_policy_document.{user}.json"));
        assert_eq!(
            value(block(&body, &["aws_iam_user", user]).body(), "name"),
            format!("shop-archives-{user}")
        );
    }
    assert!(
        body.blocks().all(|block| block.labels().iter().all(|label| label.as_str() != "aws_iam_access_key"))
    );
}

#[test]
fn the_bucket_is_private_versioned_encrypted_and_cleans_up() {
    let mut blueprint = blueprint(Cloud::Aws);
    blueprint.noncurrent_days = 45;
    let body = parse(&blueprint);
    let access = block(&body, &["aws_s3_bucket_public_access_block", "archives"]).body();
    for name in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"]
    {
        assert_eq!(value(access, name), "true");
    }
    let versioning = block(&body, &["aws_s3_bucket_versioning", "archives"]);
    assert_eq!(value(find(versioning.body(), "versioning_configuration")[0].body(), "status"), "Enabled");
    assert_eq!(
        value(find(&body, "apply_server_side_encryption_by_default")[0].body(), "sse_algorithm"),
        "AES256"
    );
    assert_eq!(
        value(find(&body, "abort_incomplete_multipart_upload")[0].body(), "days_after_initiation"),
        "7"
    );
    assert_eq!(value(find(&body, "noncurrent_version_expiration")[0].body(), "noncurrent_days"), "45");
    // No rule may remove what is current.
    let expirations = find(&body, "expiration");
    assert_eq!(expirations.len(), 1);
    assert!(expirations[0].body().attributes().all(|one| one.key() == "expired_object_delete_marker"));
    let bucket = block(&body, &["aws_s3_bucket", "archives"]);
    assert_eq!(value(bucket.body(), "force_destroy"), "false");
    assert_eq!(value(find(bucket.body(), "lifecycle")[0].body(), "prevent_destroy"), "true");
    let tls = find(block(&body, &["aws_iam_policy_document", "bucket"]).body(), "statement")[0].body();
    assert_eq!(texts(tls, "actions"), set(["s3:*"]));
    assert_eq!(value(find(tls, "condition")[0].body(), "variable"), "aws:SecureTransport");
    assert!(find(&body, "default_retention").is_empty());
}

#[test]
fn a_lock_and_a_key_of_ones_own_stand_where_they_are_asked_for() {
    let mut blueprint = blueprint(Cloud::Aws);
    blueprint.retention = Some(Retention::Compliance(14));
    blueprint.kms_key = Some("arn:aws:kms:eu-central-1:123456789012:key/abcd".into());
    let body = parse(&blueprint);
    let lock = find(&body, "default_retention")[0].body();
    assert_eq!((value(lock, "mode"), value(lock, "days")), ("COMPLIANCE".into(), "14".into()));
    assert_eq!(value(block(&body, &["aws_s3_bucket", "archives"]).body(), "object_lock_enabled"), "true");
    let encryption = find(&body, "apply_server_side_encryption_by_default")[0].body();
    assert_eq!(value(encryption, "sse_algorithm"), "aws:kms");
    assert!(granted(&body, "writer").0.is_superset(&set(["kms:GenerateDataKey", "kms:Decrypt"])));
    assert!(granted(&body, "restorer").0.contains("kms:Decrypt"));
    assert!(!granted(&body, "restorer").0.contains("kms:GenerateDataKey"));
}

#[test]
fn in_googles_cloud_the_writer_can_not_delete_which_overwriting_takes() {
    let mut blueprint = blueprint(Cloud::Gcs);
    blueprint.region = "europe-west3".into();
    let body = parse(&blueprint);
    let may = |role: &str| {
        let own = texts(block(&body, &["google_project_iam_custom_role", role]).body(), "permissions");
        let lists = texts(block(&body, &["google_project_iam_custom_role", "lister"]).body(), "permissions");
        own.union(&lists).cloned().collect::<BTreeSet<_>>()
    };
    assert!(may("writer").is_superset(&set([
        "storage.objects.create",
        "storage.objects.list",
        "storage.objects.get"
    ])));
    assert!(
        may("pruner").contains("storage.objects.delete") && !may("pruner").contains("storage.objects.create")
    );
    for role in ["writer", "restorer"] {
        assert!(
            may(role)
                .iter()
                .all(|one| !one.contains("delete") && !one.contains("update") && !one.contains("Iam"))
        );
    }
    assert!(!may("restorer").contains("storage.objects.create"));
    let bucket = block(&body, &["google_storage_bucket", "archives"]).body();
    assert_eq!(value(bucket, "public_access_prevention"), "enforced");
    assert_eq!(value(bucket, "uniform_bucket_level_access"), "true");
    assert_eq!(value(find(bucket, "versioning")[0].body(), "enabled"), "true");
    let rules = find(bucket, "lifecycle_rule");
    let actions: Vec<_> =
        rules.iter().map(|rule| value(find(rule.body(), "action")[0].body(), "type")).collect();
    assert_eq!(actions, ["AbortIncompleteMultipartUpload", "Delete"]);
    assert_eq!(value(find(rules[1].body(), "condition")[0].body(), "with_state"), "ARCHIVED");
    for role in ["writer", "restorer", "pruner"] {
        let member = block(&body, &["google_storage_bucket_iam_member", role]).body();
        assert_eq!(value(member, "role"), format!("google_project_iam_custom_role.{role}.id"));
        let bound = value(find(member, "condition")[0].body(), "expression");
        assert!(bound.contains("projects/_/buckets/shop-archives/objects/shop/daily/"), "{bound}");
    }
    blueprint.retention = Some(Retention::Governance(2));
    blueprint.kms_key = Some("projects/p/locations/l/keyRings/r/cryptoKeys/k".into());
    let body = parse(&blueprint);
    assert!(find(&body, "versioning").is_empty(), "Google takes no retention policy beside it");
    let undo = find(&body, "soft_delete_policy")[0].body();
    assert_eq!(value(undo, "retention_duration_seconds"), (30 * 86_400).to_string());
    let lock = find(&body, "retention_policy")[0].body();
    assert_eq!(
        (value(lock, "retention_period"), value(lock, "is_locked")),
        ("172800".into(), "false".into())
    );
    assert!(value(find(&body, "encryption")[0].body(), "default_kms_key_name").ends_with("cryptoKeys/k"));
}

#[test]
fn a_prefix_of_nothing_is_all_of_the_bucket() {
    for cloud in [Cloud::Aws, Cloud::Gcs] {
        let mut blueprint = blueprint(cloud);
        blueprint.prefix = "/".into();
        let body = parse(&blueprint);
        match cloud {
            Cloud::Aws => assert!(granted(&body, "writer").1.contains("${aws_s3_bucket.archives.arn}/*")),
            _ => assert!(
                find(&body, "google_storage_bucket_iam_member").is_empty()
                    && !blueprint.hcl().unwrap().contains("startsWith")
            ),
        }
    }
}

#[test]
fn names_that_would_mean_more_than_they_say_are_refused() {
    for wrong in ["shop/*", "a?", "${aws:username}", "%{if}", "a\"b", "a\\b", "a\nb"] {
        let mut blueprint = blueprint(Cloud::Aws);
        blueprint.prefix = wrong.into();
        assert!(blueprint.hcl().unwrap_err().to_string().starts_with("the prefix can't be"), "{wrong}");
        blueprint.prefix = String::new();
        blueprint.kms_key = Some(wrong.into());
        assert!(blueprint.hcl().is_err(), "{wrong}");
        blueprint.kms_key = None;
        blueprint.region = wrong.into();
        assert!(blueprint.hcl().is_err(), "{wrong}");
        blueprint.region = "eu-central-1".into();
        blueprint.bucket = wrong.into();
        assert!(blueprint.hcl().is_err(), "{wrong}");
    }
    for (noncurrent, retention) in
        [(0, None), (1, Some(Retention::Governance(0))), (1, Some(Retention::Compliance(40_000)))]
    {
        let mut blueprint = blueprint(Cloud::Aws);
        blueprint.noncurrent_days = noncurrent;
        blueprint.retention = retention;
        assert!(blueprint.hcl().is_err());
    }
}

/// The right that a request takes, as AWS has them.
fn right(request: &str) -> &'static str {
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let asks = |name: &str| query.split('&').any(|one| one.split('=').next() == Some(name));
    let of_bucket = path.trim_matches('/').split('/').count() == 1;
    match (method, of_bucket) {
        ("GET", true) if asks("versions") => "s3:ListBucketVersions",
        ("GET", true) if asks("uploads") => "s3:ListBucketMultipartUploads",
        ("GET", true) if asks("versioning") => "s3:GetBucketVersioning",
        ("GET", true) if asks("lifecycle") => "s3:GetLifecycleConfiguration",
        ("GET", true) if asks("object-lock") => "s3:GetBucketObjectLockConfiguration",
        ("GET" | "HEAD", true) => "s3:ListBucket",
        ("GET", false) if asks("uploadId") => "s3:ListMultipartUploadParts",
        ("GET" | "HEAD", false) if asks("versionId") => "s3:GetObjectVersion",
        ("GET" | "HEAD", false) => "s3:GetObject",
        ("PUT" | "POST", false) => "s3:PutObject",
        ("DELETE", false) if asks("uploadId") => "s3:AbortMultipartUpload",
        ("DELETE", false) if asks("versionId") => "s3:DeleteObjectVersion",
        ("DELETE", false) => "s3:DeleteObject",
        _ => panic!("nobody knows what `{request}` takes"),
    }
}

/// An archive of some ten megabytes: more than one part of an upload.
fn sample() -> Vec<u8> {
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);
    impl Output for Memory {
        fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        }
        fn publish(self: Box<Self>) -> archive::Result<()> {
            Ok(())
        }
        fn abort(self: Box<Self>) {}
    }
    let memory = Memory::default();
    let writer = ArchiveWriter::create(Box::new(memory.clone()), WriterOptions::default()).unwrap();
    let mut part = writer.part(&EntryName::new("db", "all").unwrap(), Compression::Store).unwrap();
    (0..10).for_each(|at| part.write_all(&vec![at; 1 << 20]).unwrap());
    let receipt = part.finish().unwrap();
    writer.list("db", receipt.id, 0, &Listed::default()).unwrap();
    let tool = Tool { name: "tests".into(), version: "1.0".into() };
    let mut manifest = Manifest::new(tool, "shop", "run-1", time::OffsetDateTime::now_utc());
    manifest.nodes.push(Node::new("db", "sqlite", 1));
    writer.seal(manifest).unwrap();
    memory.0.lock().unwrap().clone()
}

fn write(place: &Place, bytes: &[u8], publish: bool) -> Vec<CopyOutcome> {
    let state = tempfile::tempdir().unwrap();
    let settings = WriteSettings::default();
    let mut destination =
        StoreDestination::new(vec![Target::new(place.clone())], settings, Cancel::default());
    let mut output = destination.open(state.path()).unwrap().output;
    bytes.chunks(1 << 20).for_each(|some| output.write_all(some).unwrap());
    match publish {
        true => output.publish().unwrap(),
        false => output.abort(),
    }
    destination.copies().into_iter().map(|copy| copy.outcome).collect()
}

const FIRST: &str = "shop-20260101T030000Z.zip";
const SECOND: &str = "shop-20260102T030000Z.zip";

#[test]
fn what_dumps_restores_and_prunes_really_ask_of_a_bucket_their_users_may() {
    let server = S3Server::start(S3Kind::Moto);
    let bucket = server.create_versioned_bucket();
    let trouble = Trouble::before(&server.address());
    let options: BucketOptions = serde_json::from_value(serde_json::json!({
        "endpoint": trouble.endpoint(), "region": server.region(),
        "access_key_id": server.access_key(), "secret_access_key": server.secret_key(),
    }))
    .unwrap();
    let place = |name: &str| {
        Place::from_url(&bucket.url(&format!("shop/daily/{name}")), &options, Path::new("/")).unwrap()
    };
    let bytes = sample();
    assert_eq!(write(&place(FIRST), &bytes, true), [CopyOutcome::Verified]);
    // An upload in parts begins with its second part.
    write(&place(SECOND), &bytes.repeat(2), false);
    let written: BTreeSet<_> = trouble.seen().iter().map(|request| right(request).to_owned()).collect();
    let (may, _) = granted(&parse(&blueprint(Cloud::Aws)), "writer");
    assert!(written.is_subset(&may), "{:?}", written.difference(&may));
    for needed in ["s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject"] {
        assert!(written.contains(needed), "{needed}: {written:?}");
    }
    let asked = |since: usize| {
        trouble.seen()[since..].iter().map(|request| right(request).to_owned()).collect::<BTreeSet<_>>()
    };
    let before = trouble.seen().len();
    let opened = open(&place(FIRST), &Identities::none()).unwrap();
    opened.archive().verify(&Default::default(), &|_| (), &|| false).unwrap();
    let (may, _) = granted(&parse(&blueprint(Cloud::Aws)), "restorer");
    assert!(
        !asked(before).is_empty() && asked(before).is_subset(&may),
        "{:?}",
        asked(before).difference(&may)
    );
    assert!(bucket.uploads("").is_empty());

    assert_eq!(write(&place(SECOND), &sample(), true), [CopyOutcome::Verified]);
    let before = trouble.seen().len();
    let shelf = shelf(&server, &trouble.endpoint(), &bucket.url("shop/daily"));
    let keep = serde_json::from_value(serde_json::json!({ "last": 1 })).unwrap();
    let pruned: Vec<_> = shelf
        .plan_prune(&keep, &Cancel::default())
        .unwrap()
        .iter()
        .flat_map(|plan| plan.perform(&Cancel::default()).removed)
        .collect();
    assert_eq!(pruned, [bucket.url(&format!("shop/daily/{FIRST}"))]);
    let (may, _) = granted(&parse(&blueprint(Cloud::Aws)), "pruner");
    assert!(asked(before).is_subset(&may), "{:?}", asked(before).difference(&may));
    assert!(asked(before).contains("s3:DeleteObject"));
    assert_eq!(bucket.keys(""), [format!("shop/daily/{SECOND}")]);
    assert!(bucket.versions("").len() > 2, "what was removed stays as a version");
}

/// The places of a set that has one node.
fn shelf(server: &S3Server, endpoint: &str, url: &str) -> Shelf {
    let folder = std::env::temp_dir();
    let options: ArchiveOptions = serde_json::from_value(serde_json::json!({ "to": {
        "url": url, "endpoint": endpoint, "region": server.region(),
        "access_key_id": server.access_key(), "secret_access_key": server.secret_key(),
    } }))
    .unwrap();
    let archive = options.build(&BuildContext::new(NodePath::new("set").unwrap(), &folder)).unwrap();
    let command: dumprestore_command::CommandConfig =
        serde_json::from_value(serde_json::json!({ "dump": ["true"], "restore": ["true"] })).unwrap();
    let set = BackupSet::builder("shop").base(&folder).archive(archive);
    let set = set.node(NodeBuilder::new("db").config(command)).build().unwrap();
    Shelf::of(&set, Identities::none())
}
