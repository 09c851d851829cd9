//! Patterns for paths, as users write them.

use std::path::Path;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::{Error, Result};

/// Some patterns for paths, or for keys that are like paths.
///
/// `*` and `?` stand for characters of one name, `**` for any number of names, `[ab]` and `{a,b}` for one of several. A
/// pattern with a `/` in it, other than at its end, stands for a path from its beginning; one without, for a name at any
/// depth.
#[derive(Debug, Clone)]
pub struct Globs(GlobSet);

impl Globs {
    /// Those patterns, which are the value of that option.
    ///
    /// # Errors
    /// If one of them is not a pattern, or they are too much together.
    pub fn new(option: &str, patterns: &[String]) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            set.add(glob(pattern).map_err(|error| {
                Error::config(format!("`{option}` has a pattern that is not one"))
                    .with_context("pattern", pattern.escape_debug())
                    .with_source(error)
                    .with_hint(
                        "`*` and `?` stay within a name, `**` crosses slashes, `[ab]` and `{a,b}` choose",
                    )
            })?);
        }
        let set = set.build().map_err(|error| {
            Error::config(format!("the patterns of `{option}` are too much")).with_source(error)
        })?;
        Ok(Self(set))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them means that path. What lies below such a path is not meant by that alone.
    pub fn fit(&self, path: impl AsRef<Path>) -> bool {
        !self.0.is_empty() && self.0.is_match(path)
    }
}

fn glob(pattern: &str) -> std::result::Result<Glob, globset::Error> {
    let trimmed = pattern.trim_end_matches('/');
    let anchored = match trimmed.strip_prefix('/') {
        Some(rest) => rest.to_owned(),
        None if trimmed.contains('/') => trimmed.to_owned(),
        None => format!("**/{trimmed}"),
    };
    GlobBuilder::new(&anchored).literal_separator(true).backslash_escape(true).build()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn globs(patterns: &[&str]) -> Result<Globs> {
        let owned: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Globs::new("exclude", &owned)
    }

    #[test]
    fn a_pattern_without_a_slash_is_a_name_at_any_depth() {
        let names = globs(&["*.tmp", "cache/"]).unwrap();
        assert!(["a.tmp", "deep/down/a.tmp", "cache", "x/cache"].iter().all(|path| names.fit(path)));
        assert!(["a.tmpl", "cache2", "cache/below", ""].iter().all(|path| !names.fit(path)));
        assert!(names.fit(OsStr::from_bytes(b"a\xff.tmp")));
    }

    #[test]
    fn a_pattern_with_a_slash_starts_at_the_beginning() {
        let paths = globs(&["/log", "a/*.bin", "b/**/x"]).unwrap();
        assert!(["log", "a/1.bin", "b/x", "b/c/d/x"].iter().all(|path| paths.fit(path)));
        assert!(["deep/log", "a/b/1.bin", "z/a/1.bin", "b"].iter().all(|path| !paths.fit(path)));
    }

    #[test]
    fn no_patterns_mean_nothing() {
        let none = globs(&[]).unwrap();
        assert!(none.is_empty() && !none.fit("a") && !none.fit(""));
    }

    #[test]
    fn what_is_no_pattern_is_told_by_its_option() {
        let error = globs(&["fine", "a["]).unwrap_err().to_string();
        assert!(error.contains("`exclude`") && error.contains("a["), "{error}");
    }
}
