//! Patterns for names, as users write them.

use wildmatch::WildMatch;

/// A name, or a pattern for names: `*` stands for any characters, `?` for one.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    ignoring_case: bool,
    compiled: WildMatch,
}

impl Pattern {
    /// A pattern for names whose letter case counts.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { compiled: WildMatch::new(&text), ignoring_case: false, text }
    }

    /// A pattern for names that are the same in whatever case their ASCII letters are.
    pub fn ignoring_ascii_case(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { compiled: WildMatch::new(&text.to_ascii_lowercase()), ignoring_case: true, text }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether that name is meant.
    pub fn fits(&self, name: &str) -> bool {
        match self.ignoring_case {
            true => self.compiled.matches(&name.to_ascii_lowercase()),
            false => self.compiled.matches(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_name_fits_itself_and_patterns_made_of_it(name in any::<String>(), at in any::<prop::sample::Index>()) {
            prop_assert!(Pattern::new(name.as_str()).fits(&name));
            prop_assert!(Pattern::ignoring_ascii_case(name.to_ascii_uppercase()).fits(&name));
            let mut characters: Vec<char> = name.chars().collect();
            if !characters.is_empty() {
                let at = at.index(characters.len());
                characters[at] = '?';
                prop_assert!(Pattern::new(String::from_iter(&characters)).fits(&name));
                characters.truncate(at);
                characters.push('*');
                prop_assert!(Pattern::new(String::from_iter(&characters)).fits(&name));
            }
        }

        #[test]
        fn a_name_fits_no_other_name(one in "[a.\\[\\]{},!^ä\\\\-]{0,3}", other in "[a.\\[\\]{},!^ä\\\\-]{0,3}") {
            prop_assert_eq!(Pattern::new(one.as_str()).fits(&other), one == other);
        }
    }

    #[test]
    fn stars_and_question_marks_stand_for_other_characters_and_for_no_more() {
        let fits = |text: &str, name: &str| Pattern::new(text).fits(name);
        assert!(fits("log_*", "log_2024") && fits("log_*", "log_") && fits("*", "a/b.c"));
        assert!(fits("log_?", "log_ä") && !fits("log_?", "log_10") && !fits("log_?", "log_"));
        assert!(!fits("log_*", "a_log_1") && !fits("*_log", "a_log_1"));
    }

    #[test]
    fn letter_case_counts_unless_it_is_to_be_ignored() {
        assert!(!Pattern::new("Log_*").fits("log_1"));
        assert!(Pattern::ignoring_ascii_case("Log_*").fits("LOG_1"));
        assert!(!Pattern::ignoring_ascii_case("É*").fits("é1"));
    }
}
