//! What the journal has of a restore.

use dumprestore_bucket::Bucket;
use dumprestore_driver::{Error, Extras, Result, StageContext, Token};
use serde::{Deserialize, Serialize};

/// Enough to find the rest in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) run: String,
    /// Where it went, as [`Bucket::identity`] has it: elsewhere there is nothing of it to be found.
    pub(super) place: String,
    pub(super) extras: Extras,
    /// The run whose old objects are put back, if that is what is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<String>,
}

/// What is kept for `:previous`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// The run that kept it.
    pub(super) kept: String,
    /// Where.
    pub(super) place: String,
}

impl Entry {
    /// # Errors
    /// If the run has a name that is none.
    pub(super) fn of(cx: &StageContext, bucket: &Bucket) -> Result<Self> {
        check_run(&cx.run)?;
        Ok(Self { run: cx.run.clone(), place: bucket.identity(), extras: cx.extras, previous: None })
    }

    pub(super) fn token(&self) -> Token {
        let previous = self.previous.as_deref();
        match previous {
            None => serde_json::json!({ "run": self.run, "place": self.place, "extras": self.extras }),
            Some(previous) => serde_json::json!({
                "run": self.run, "place": self.place, "extras": self.extras, "previous": previous
            }),
        }
    }

    /// # Errors
    /// If the token is not one of this driver, or of a restore into another place.
    pub(super) fn parse(token: &Token, bucket: &Bucket) -> Result<Self> {
        let entry: Self = serde_json::from_value(token.clone()).map_err(foreign)?;
        check_run(&entry.run)?;
        check_place(&entry.place, bucket)?;
        entry.previous.as_deref().map_or(Ok(()), check_run)?;
        Ok(entry)
    }
}

impl Kept {
    pub(super) fn token(&self) -> Token {
        serde_json::json!({ "kept": self.kept, "place": self.place })
    }

    /// # Errors
    /// If the token is not one of this driver, or of what is kept in another place.
    pub(super) fn parse(token: &Token, bucket: &Bucket) -> Result<Self> {
        let kept: Self = serde_json::from_value(token.clone()).map_err(foreign)?;
        check_run(&kept.kept)?;
        check_place(&kept.place, bucket)?;
        Ok(kept)
    }
}

/// Everything below a folder of that name is removed in the end: it must be one name, and not none.
fn check_run(run: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match run.is_empty() || !run.chars().all(fine) || run.starts_with('.') {
        false => Ok(()),
        true => Err(Error::defect("the name of a run is none").with_context("run", run.escape_debug())),
    }
}

/// At another server nothing would be found, and that would pass for a restore that is over.
fn check_place(then: &str, bucket: &Bucket) -> Result<()> {
    let now = bucket.identity();
    match then == now {
        true => Ok(()),
        false => Err(Error::config("an earlier restore of this node went to another place than it has now")
            .with_context("then", then)
            .with_context("now", now)
            .with_hint("set `url`, and `endpoint` or `account_name`, as they were then")),
    }
}

fn foreign(error: serde_json::Error) -> Error {
    Error::defect("the journal's token is not one of a `media` node").with_source(error)
}

#[cfg(test)]
mod tests {
    use dumprestore_bucket::{BucketOptions, BucketUrl};

    use super::*;

    #[test]
    fn a_token_comes_back_and_no_other_passes() {
        let here = bucket("http://one:9000");
        let mut entry = Entry::of(&StageContext::new("20260101t000000z-1"), &here).unwrap();
        assert_eq!(Entry::parse(&entry.token(), &here).unwrap(), entry);
        entry.previous = Some("20250101t000000z-1".to_owned());
        assert_eq!(Entry::parse(&entry.token(), &here).unwrap(), entry);
        let kept = Kept { kept: "a".to_owned(), place: here.identity() };
        assert_eq!(Kept::parse(&kept.token(), &here).unwrap(), kept);
        assert!(Entry::parse(&kept.token(), &here).is_err() && Kept::parse(&entry.token(), &here).is_err());
        for run in ["", "..", "a/b", ".x", "a b"] {
            let token = serde_json::json!({ "kept": run, "place": here.identity() });
            assert!(Kept::parse(&token, &here).is_err(), "{run}");
        }
    }

    #[test]
    fn a_token_is_of_one_server_only() {
        let (here, there) = (bucket("http://one:9000"), bucket("http://two:9000"));
        let entry = Entry::of(&StageContext::new("20260101t000000z-1"), &here).unwrap();
        let error = Entry::parse(&entry.token(), &there).unwrap_err();
        assert!(error.to_string().contains("one:9000/shop/media"), "{error}");
        let kept = Kept { kept: "a".to_owned(), place: here.identity() };
        assert!(Kept::parse(&kept.token(), &there).is_err() && Kept::parse(&kept.token(), &here).is_ok());
    }

    fn bucket(endpoint: &str) -> Bucket {
        let options: BucketOptions =
            serde_json::from_value(serde_json::json!({ "endpoint": endpoint })).unwrap();
        Bucket::open(&BucketUrl::parse("s3://shop/media").unwrap(), &options, std::path::Path::new("/"))
            .unwrap()
    }
}
