//! What the journal has of a restore.

use dumprestore_driver::{Error, Extras, Result, StageContext, Token};
use serde::{Deserialize, Serialize};

/// Enough to find the rest in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) run: String,
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
}

impl Entry {
    /// # Errors
    /// If the run has a name that is none.
    pub(super) fn of(cx: &StageContext) -> Result<Self> {
        check_run(&cx.run)?;
        Ok(Self { run: cx.run.clone(), extras: cx.extras, previous: None })
    }

    pub(super) fn token(&self) -> Token {
        let previous = self.previous.as_deref();
        match previous {
            None => serde_json::json!({ "run": self.run, "extras": self.extras }),
            Some(previous) => {
                serde_json::json!({ "run": self.run, "extras": self.extras, "previous": previous })
            }
        }
    }

    /// # Errors
    /// If the token is not one of this driver.
    pub(super) fn parse(token: &Token) -> Result<Self> {
        let entry: Self = serde_json::from_value(token.clone()).map_err(foreign)?;
        check_run(&entry.run)?;
        entry.previous.as_deref().map_or(Ok(()), check_run)?;
        Ok(entry)
    }
}

impl Kept {
    pub(super) fn token(&self) -> Token {
        serde_json::json!({ "kept": self.kept })
    }

    /// # Errors
    /// If the token is not one of this driver.
    pub(super) fn parse(token: &Token) -> Result<Self> {
        let kept: Self = serde_json::from_value(token.clone()).map_err(foreign)?;
        check_run(&kept.kept)?;
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

fn foreign(error: serde_json::Error) -> Error {
    Error::defect("the journal's token is not one of a `media` node").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_and_no_other_passes() {
        let mut entry = Entry::of(&StageContext::new("20260101t000000z-1")).unwrap();
        assert_eq!(Entry::parse(&entry.token()).unwrap(), entry);
        entry.previous = Some("20250101t000000z-1".to_owned());
        assert_eq!(Entry::parse(&entry.token()).unwrap(), entry);
        let kept = Kept { kept: "a".to_owned() };
        assert_eq!(Kept::parse(&kept.token()).unwrap(), kept);
        assert!(Entry::parse(&kept.token()).is_err() && Kept::parse(&entry.token()).is_err());
        for run in ["", "..", "a/b", ".x", "a b"] {
            assert!(Kept::parse(&serde_json::json!({ "kept": run })).is_err(), "{run}");
        }
    }
}
