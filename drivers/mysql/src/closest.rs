//! Suggestions for names that were mistyped.

/// The name that is most like the one that was typed, if any is like it.
pub(crate) fn closest(typed: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let typed = typed.to_lowercase();
    let likeness = |name: &str| {
        let name = name.to_lowercase();
        let short = name.split_once('.').map_or(name.as_str(), |(_, short)| short);
        strsim::jaro_winkler(&typed, &name).max(strsim::jaro_winkler(&typed, short))
    };
    names
        .map(|name| (likeness(&name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}
