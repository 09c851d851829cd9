//! Looking at a store without touching it.

use dumprestore_bucket::opendal::raw::Service as _;
use dumprestore_bucket::opendal::{ErrorKind, options::StatOptions};
use dumprestore_bucket::{Bucket, LifecycleRule, Scheme, Versioning};
use dumprestore_driver::{Claim, Inspection, Problem, Result};

use crate::config::Mode;
use crate::key::can_be_asked_for;
use crate::site::Site;
use crate::snapshot::{named, no_versions};

/// What a plan should know of the node.
///
/// # Errors
/// If the store can't be reached or listed.
pub(crate) async fn look(site: &Site) -> Result<Inspection> {
    let bucket = &site.bucket;
    let mut inspection = Inspection::default();
    inspection.claims.push(claim(bucket));
    bucket.check().await?;
    let versioning = bucket.versioning().await?;
    inspection.facts.insert("url".to_owned(), bucket.shown().to_owned());
    inspection.facts.insert("versioning".to_owned(), named(&versioning).to_owned());
    if versioning == Versioning::Enabled {
        inspection.problems.extend(of_history(bucket).await);
    }
    match site.mode {
        Mode::Versions => inspection.problems.extend(of_versions(bucket, &versioning).await),
        Mode::Copy => inspection.problems.extend(of_copies(bucket, &versioning)),
    }
    Ok(inspection)
}

fn claim(bucket: &Bucket) -> Claim {
    match bucket.scheme() {
        Scheme::Fs => {
            let path = std::path::PathBuf::from(bucket.prefix());
            Claim::Path(path.canonicalize().unwrap_or(path))
        }
        _ => Claim::Prefix(bucket.identity()),
    }
}

/// What is asked of a bucket with versions, and of none else.
async fn of_history(bucket: &Bucket) -> Option<Problem> {
    let some = match bucket.list_versions("", None).await {
        Ok(some) => some,
        Err(error) => {
            let problem = Problem::no_dump(error.to_string());
            return Some(problem.with_hint(error.hint().unwrap_or("allow `s3:ListBucketVersions`")));
        }
    };
    let mut data = some.listed.into_iter().filter(|listed| !listed.deleted && can_be_asked_for(&listed.key));
    let listed = data.find(|listed| !listed.key.ends_with('/'))?;
    let options = StatOptions { version: listed.version, ..StatOptions::default() };
    let op = bucket.once();
    let error = op.service().stat(op.context(), &listed.key, options.into()).await.err()?;
    // It may have gone meanwhile, or be one that nobody can read.
    (error.kind() == ErrorKind::PermissionDenied).then(|| {
        Problem::no_dump(bucket.failed("look at a version of", &listed.key, error).to_string())
            .with_hint("allow `s3:GetObjectVersion`")
    })
}

fn of_copies(bucket: &Bucket, versioning: &Versioning) -> Option<Problem> {
    if bucket.scheme() == Scheme::Fs {
        return Some(
            Problem::warning(
                "a folder has no ETags: only references with a digest can be certified, unless writers are held back",
            )
            .with_hint("use `driver: filesystem` for a folder of this machine"),
        );
    }
    match versioning {
        Versioning::Unknown(why) if bucket.scheme() == Scheme::S3 => Some(
            Problem::warning(format!("the bucket is dumped as one that keeps no versions: {why}"))
                .with_hint("allow `s3:GetBucketVersioning` and `s3:ListBucketVersions`"),
        ),
        _ => None,
    }
}

/// What an archive without bytes depends on.
async fn of_versions(bucket: &Bucket, versioning: &Versioning) -> Vec<Problem> {
    if *versioning != Versioning::Enabled {
        let error = no_versions(versioning);
        return vec![Problem::no_dump(error.message()).with_hint(error.hint().unwrap_or_default())];
    }
    let shown = bucket.shown();
    let mut problems = vec![
        Problem::warning(format!(
            "the archive holds no object, only which versions there were: it can be restored for as long as `{shown}` has them"
        ))
        .with_hint("leave out `mode: versions` to have the bytes in the archive"),
    ];
    match bucket.lifecycle().await {
        Ok(rules) => {
            problems.extend(rules.iter().filter(|rule| rule.reaches(&whole(bucket))).flat_map(of_rule))
        }
        Err(error) => problems.push(
            Problem::warning(format!("it can't be told how long the versions are kept: {}", error.message()))
                .with_hint("allow `s3:GetLifecycleConfiguration`"),
        ),
    }
    problems
}

/// The prefix from the top of the bucket.
fn whole(bucket: &Bucket) -> String {
    match bucket.prefix() {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    }
}

fn of_rule(rule: &LifecycleRule) -> Vec<Problem> {
    let mut problems = Vec::new();
    let name = rule.id.escape_debug();
    if let Some(days) = rule.noncurrent_days {
        let kept = match rule.noncurrent_kept {
            Some(kept) => format!(", all but the newest {kept}"),
            None => String::new(),
        };
        let what = format!(
            "the lifecycle rule `{name}` deletes versions {days} days after they were replaced or deleted{kept}: an archive \
             that is older can't be restored whole"
        );
        problems.push(
            Problem::warning(what)
                .with_hint("keep such versions for longer than the archives, or leave out `mode: versions`"),
        );
    }
    if rule.transitions.iter().any(|move_| move_.noncurrent) {
        let what = format!(
            "the lifecycle rule `{name}` moves old versions to another storage class: from some of them they can't be copied \
             before they are brought back"
        );
        problems.push(Problem::warning(what));
    }
    problems
}
