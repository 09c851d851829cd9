//! Patterns for names, as users write them.

use globset::{GlobBuilder, GlobMatcher};

use crate::{Error, Result};

/// A name, or a pattern for names: `*` stands for any characters, `?` for one, `[ab]` for one of these, `{a,b}` for
/// either.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    glob: GlobMatcher,
}

impl Pattern {
    /// Reads one that `option` has, such as `exclude_tables`. Letter case counts.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is not well formed.
    pub fn new(option: &str, text: &str) -> Result<Self> {
        Self::compile(option, text, false)
    }

    /// The same for names that are the same in whatever letter case.
    ///
    /// # Errors
    /// As [`Pattern::new`].
    pub fn ignoring_case(option: &str, text: &str) -> Result<Self> {
        Self::compile(option, text, true)
    }

    fn compile(option: &str, text: &str, ignoring_case: bool) -> Result<Self> {
        let glob = GlobBuilder::new(text).case_insensitive(ignoring_case).build().map_err(|error| {
            Error::config(format!("`{option}` has a bad pattern `{}`", text.escape_debug()))
                .with_source(error)
        })?;
        Ok(Self { text: text.to_owned(), glob: glob.compile_matcher() })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether that name is meant.
    pub fn fits(&self, name: &str) -> bool {
        // A name may itself have characters that mean something in a pattern.
        self.text == name || self.glob.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_name_fits_itself_whatever_its_characters_mean(name in "[a*?/\\\\.{},!^ä-]{1,8}") {
            if let Ok(pattern) = Pattern::new("tables", &name) {
                prop_assert!(pattern.fits(&name));
                prop_assert_eq!(pattern.text(), name);
            }
        }
    }

    #[test]
    fn stars_and_question_marks_stand_for_other_characters() {
        let fits = |text: &str, name: &str| Pattern::new("tables", text).unwrap().fits(name);
        assert!(fits("log_*", "log_2024") && fits("log_*", "log_") && fits("*", "a/b.c"));
        assert!(fits("log_?", "log_1") && !fits("log_?", "log_10") && !fits("log_*", "a_log_1"));
        assert!(fits("{a,b}[12]", "b2") && !fits("{a,b}[12]", "b3"));
    }

    #[test]
    fn letter_case_counts_unless_it_is_to_be_ignored() {
        assert!(!Pattern::new("tables", "Log_*").unwrap().fits("log_1"));
        assert!(Pattern::ignoring_case("tables", "Log_*").unwrap().fits("LOG_1"));
    }

    #[test]
    fn a_bad_pattern_is_refused_with_the_name_of_its_option() {
        let error = Pattern::new("exclude_tables", "a[\n").unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Config);
        let error = error.to_string();
        assert!(error.contains("`exclude_tables`") && error.contains("`a[\\n`"), "{error}");
    }
}
