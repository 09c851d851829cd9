//! `.env` files.

use std::path::Path;

use super::read_small;

/// What is read, in this order.
const FILES: [&str; 4] = [".env", ".env.local", ".env.production", ".env.development"];

/// The variables of one file.
#[derive(Debug)]
pub(super) struct DotEnv {
    pub(super) file: String,
    variables: Vec<(String, String)>,
}

impl DotEnv {
    /// Those in the folder that are there.
    pub(super) fn all(folder: &Path) -> Vec<Self> {
        FILES.iter().filter_map(|file| Self::read(folder, file)).collect()
    }

    /// The file of that name.
    pub(super) fn read(folder: &Path, file: &str) -> Option<Self> {
        let text = read_small(&folder.join(file))?;
        Some(Self { file: file.to_owned(), variables: text.lines().filter_map(variable).collect() })
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn variable(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    named.then(|| (name.to_owned(), unquoted(value.trim()).to_owned()))
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some((inside, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inside;
        }
    }
    value.split(" #").next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_shells_and_frameworks_read_them() {
        let of = |line: &str| variable(line).map(|(name, value)| format!("{name}={value}"));
        assert_eq!(of("export A=b").unwrap(), "A=b");
        assert_eq!(of("A = \"b # c\" # d").unwrap(), "A=b # c");
        assert_eq!(of("A=b#c # d").unwrap(), "A=b#c");
        assert_eq!(of("A='x=y'").unwrap(), "A=x=y");
        for none in ["# A=b", "", "A", "a-b=c", "=x"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
