//! Which node a name means, and which name was probably meant.

use dumprestore_driver::{Error, NodePath, Result, closest};

/// The node that `text` means: the sibling of that name (among the children of `parent`), the node of that whole
/// path, or else the only node whose path ends so.
///
/// # Errors
/// If no node is meant, or more than one.
pub(crate) fn find<'a>(
    text: &str,
    sibling_of: Option<&NodePath>,
    paths: &[&'a NodePath],
) -> Result<&'a NodePath> {
    let sibling = sibling_of.and_then(|node| sibling_path(node, text));
    let exact = paths.iter().find(|path| path.as_str() == text);
    let beside = sibling.and_then(|sibling| paths.iter().find(|path| path.as_str() == sibling));
    match (exact, beside) {
        (Some(exact), Some(beside)) if exact != beside => Err(ambiguous(text, &[exact, beside]).with_hint(
            "give one of the two another name: the path of the first can't be told from that of its namesake",
        )),
        (Some(one), _) | (None, Some(one)) => Ok(one),
        (None, None) => find_by_end(text, paths),
    }
}

fn sibling_path(node: &NodePath, name: &str) -> Option<String> {
    let (parent, _) = node.as_str().rsplit_once('.')?;
    Some(format!("{parent}.{name}"))
}

fn find_by_end<'a>(text: &str, paths: &[&'a NodePath]) -> Result<&'a NodePath> {
    let ends_so =
        |path: &&&NodePath| path.as_str().strip_suffix(text).is_some_and(|rest| rest.ends_with('.'));
    let found: Vec<&NodePath> = paths.iter().filter(ends_so).copied().collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(unknown(text, paths)),
        several => Err(ambiguous(text, several).with_hint("write the whole path")),
    }
}

fn ambiguous(text: &str, paths: &[&NodePath]) -> Error {
    Error::config(format!(
        "`{}` means more than one node: {}",
        text.escape_debug(),
        listed(paths.iter().copied())
    ))
}

fn unknown(text: &str, paths: &[&NodePath]) -> Error {
    let error = Error::config(format!("there is no node `{}`", text.escape_debug()));
    match closest(text, paths.iter().map(|path| path.as_str())) {
        Some(meant) => error.with_hint(format!("did you mean `{meant}`?")),
        None if paths.is_empty() => error,
        None => error.with_hint(format!("the nodes are {}", listed(paths.iter().copied()))),
    }
}

/// `a`, `b` and `c`, each in backticks; no more than a dozen.
pub(crate) fn listed<T: std::fmt::Display>(things: impl IntoIterator<Item = T>) -> String {
    const MOST: usize = 12;
    let all: Vec<String> = things.into_iter().map(|thing| format!("`{thing}`")).collect();
    match all.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [first @ .., last] if all.len() <= MOST => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", all[..MOST].join(", "), all.len() - MOST),
    }
}
