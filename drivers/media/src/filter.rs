//! Which keys are ours: `include` and `exclude`.

use dumprestore_driver::{Globs, Result};

use crate::ours::is_ours;

/// Decides which objects belong to the node.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    include: Option<Globs>,
    exclude: Globs,
    /// Keys that are left out, with what lies below them.
    left_out: Vec<String>,
}

impl Filter {
    /// # Errors
    /// If a pattern is not one.
    pub(crate) fn new(include: &[String], exclude: &[String]) -> Result<Self> {
        let include = match include {
            [] => None,
            patterns => Some(Globs::new("include", patterns)?),
        };
        Ok(Self { include, exclude: Globs::new("exclude", exclude)?, left_out: Vec::new() })
    }

    /// The same, without these and what lies below them.
    pub(crate) fn without(mut self, keys: Vec<String>) -> Self {
        self.left_out.extend(keys);
        self
    }

    /// Whether a folder is left out with all that lies in it.
    pub(crate) fn excludes(&self, folder: &str) -> bool {
        folders(folder).chain([folder]).any(|way| self.exclude.fit(way))
    }

    /// Whether the object of that key is dumped and restored. What is not is neither dumped nor touched by a restore.
    pub(crate) fn takes(&self, key: &str) -> bool {
        let mut ways = folders(key).chain([key]);
        let lies_in = |left: &String| {
            key.strip_prefix(left.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.left_out.iter().any(lies_in) {
            return false;
        }
        if key.is_empty() || is_ours(key) || ways.clone().any(|way| self.exclude.fit(way)) {
            return false;
        }
        self.include.as_ref().is_none_or(|include| ways.any(|way| include.fit(way)))
    }
}

/// The folders that a key would lie in, from the top, if it were a path.
fn folders(key: &str) -> impl Iterator<Item = &str> + Clone {
    key.match_indices('/').map(|(at, _)| &key[..at]).filter(|folder| !folder.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let owned = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        Filter::new(&owned(include), &owned(exclude)).unwrap()
    }

    #[test]
    fn patterns_mean_what_they_mean_for_a_folder() {
        let none = filter(&[], &["*.tmp", "cache", "/log", "b/**/x"]);
        for key in ["a.tmp", "deep/down/a.tmp", "cache/below", "x/cache", "log", "log/", "b/c/d/x", "x.tmp/"]
        {
            assert!(!none.takes(key), "{key}");
        }
        for key in ["a.tmpl", "cache2", "deep/log", "b//y", "/a"] {
            assert!(none.takes(key), "{key}");
        }
        let some = filter(&["media", "*.jpg"], &["*.tmp"]);
        assert!(some.takes("media/a/b.txt") && some.takes("x/y.jpg") && some.takes("media/"));
        assert!(!some.takes("media/a/b.tmp") && !some.takes("media2/b.txt"));
    }

    #[test]
    fn what_a_restore_staged_is_never_taken() {
        let all = filter(&[".dumprestore", "*"], &[]);
        assert!(!all.takes(".dumprestore/run/new/1") && !all.takes("shop/.dumprestore/restore.json"));
        assert!(all.takes(".dumprestore") && !all.takes(""));
    }

    #[test]
    fn what_is_no_pattern_is_refused_by_its_option() {
        let error = Filter::new(&[], &["a[".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`exclude`") && error.contains("a["), "{error}");
    }
}
