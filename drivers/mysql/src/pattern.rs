//! Patterns of the user's for names.

use dumprestore_driver::{Error, Result};
use globset::{Glob, GlobMatcher};

/// A name, or a pattern with `*` and `?`. Letter case counts.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: String,
    glob: GlobMatcher,
}

impl Pattern {
    /// Reads one that `option` has.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](dumprestore_driver::ErrorKind::Config) if it is not well formed.
    pub(crate) fn new(option: &str, text: &str) -> Result<Self> {
        let glob = Glob::new(text).map_err(|error| {
            Error::config(format!("`{option}` has a bad pattern `{}`", text.escape_debug()))
                .with_source(error)
        })?;
        Ok(Self { text: text.to_owned(), glob: glob.compile_matcher() })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether that name is meant.
    pub(crate) fn fits(&self, name: &str) -> bool {
        // A name may itself have characters that mean something in a pattern.
        self.text == name || self.glob.is_match(name)
    }
}
