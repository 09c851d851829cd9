//! Which paths are ours: `include`, `exclude`, and what is never part of a dump.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dumprestore_driver::{Globs, Result};

use crate::path;

/// What a path is to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Part {
    /// Dumped and restored.
    Ours,
    /// A folder that is not ours, with things below it that may be.
    Through,
    /// Neither dumped nor touched by a restore.
    Foreign,
}

/// Decides what is ours.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    include: Option<Globs>,
    exclude: Globs,
    ours: Vec<Vec<u8>>,
}

impl Filter {
    /// # Errors
    /// If a pattern is not one.
    pub(crate) fn new(include: &[String], exclude: &[String]) -> Result<Self> {
        let include = match include {
            [] => None,
            patterns => Some(Globs::new("include", patterns)?),
        };
        Ok(Self { include, exclude: Globs::new("exclude", exclude)?, ours: Vec::new() })
    }

    /// The same, leaving out files and folders that belong to the run, as far as they lie below `root`.
    pub(crate) fn without(mut self, root: &Path, ours: &[PathBuf]) -> Self {
        let real = |path: &PathBuf| crate::root::real_path(path).unwrap_or_else(|_| path.clone());
        let below =
            |path: PathBuf| path.strip_prefix(root).ok().map(|path| path.as_os_str().as_bytes().to_vec());
        self.ours.extend(ours.iter().map(real).filter_map(below));
        self
    }

    /// Whether everything is ours, whatever its name.
    pub(crate) fn takes_all(&self) -> bool {
        self.include.is_none() && self.exclude.is_empty() && self.ours.is_empty()
    }

    /// What the thing at `path` is, if the folder it is in is not foreign. `inside` says whether that folder was
    /// included by name, and everything in it with it.
    pub(crate) fn part(&self, path: &[u8], is_folder: bool, inside: Part) -> Part {
        let name = OsStr::from_bytes(path);
        if self.exclude.fit(name) || self.is_of_a_run(path) {
            return Part::Foreign;
        }
        let included = match &self.include {
            None => true,
            Some(include) => inside == Part::Ours && !path.is_empty() || include.fit(name),
        };
        match (included, is_folder) {
            (true, _) => Part::Ours,
            (false, true) => Part::Through,
            (false, false) => Part::Foreign,
        }
    }

    /// What the root is.
    pub(crate) fn root(&self) -> Part {
        if self.include.is_some() { Part::Through } else { Part::Ours }
    }

    /// What the thing at `path` is, from the root down.
    pub(crate) fn part_from_root(&self, path: &[u8], is_folder: bool) -> Part {
        let mut part = self.root();
        for folder in path::ancestors(path) {
            part = self.part(folder, true, part);
            if part == Part::Foreign {
                return part;
            }
        }
        if path.is_empty() { part } else { self.part(path, is_folder, part) }
    }

    /// Whether it is the run's own: an archive that is being written, or what a restore staged.
    pub(crate) fn is_of_a_run(&self, path: &[u8]) -> bool {
        is_staged_name(path::split(path).1) || self.ours.iter().any(|ours| path == *ours)
    }
}

/// The names of what restores make: `.dumprestore-…` in a folder, `.NAME.dumprestore-…` beside it.
pub(crate) fn is_staged_name(name: &[u8]) -> bool {
    const MARK: &[u8] = b".dumprestore-";
    name.first() == Some(&b'.') && name.windows(MARK.len()).any(|window| window == MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let owned = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        Filter::new(&owned(include), &owned(exclude)).unwrap()
    }

    #[test]
    fn a_pattern_without_a_slash_is_a_name_at_any_depth() {
        let filter = filter(&[], &["*.tmp", "cache"]);
        for path in ["a.tmp", "deep/down/a.tmp", "cache", "x/cache", "cache/below"] {
            assert_eq!(filter.part_from_root(path.as_bytes(), false), Part::Foreign, "{path}");
        }
        for path in ["a.tmpl", "cache2", "x/my-cache"] {
            assert_eq!(filter.part_from_root(path.as_bytes(), false), Part::Ours, "{path}");
        }
    }

    #[test]
    fn a_pattern_with_a_slash_starts_at_the_root() {
        let filter = filter(&[], &["/log", "a/*.bin", "b/**/x"]);
        assert_eq!(filter.part_from_root(b"log", true), Part::Foreign);
        assert_eq!(filter.part_from_root(b"deep/log", true), Part::Ours);
        assert_eq!(filter.part_from_root(b"a/1.bin", false), Part::Foreign);
        assert_eq!(filter.part_from_root(b"a/b/1.bin", false), Part::Ours);
        assert_eq!(filter.part_from_root(b"b/c/d/x", false), Part::Foreign);
    }

    #[test]
    fn what_is_included_by_its_folder_is_included() {
        let filter = filter(&["media", "*.jpg"], &["*.tmp"]);
        assert_eq!(filter.part_from_root(b"media/a/b.txt", false), Part::Ours);
        assert_eq!(filter.part_from_root(b"media/a/b.tmp", false), Part::Foreign);
        assert_eq!(filter.part_from_root(b"media2/b.txt", false), Part::Foreign);
        assert_eq!(filter.part_from_root(b"media2", true), Part::Through);
        assert_eq!(filter.part_from_root(b"media2/b.jpg", false), Part::Ours);
    }

    #[test]
    fn names_that_are_not_utf_8_are_matched_too() {
        assert_eq!(filter(&[], &["*.tmp"]).part_from_root(b"a\xff.tmp", false), Part::Foreign);
    }

    #[test]
    fn what_a_restore_staged_is_never_ours() {
        let filter = filter(&[], &[]);
        assert_eq!(filter.part_from_root(b"a/.exports.dumprestore-previous", true), Part::Foreign);
        assert_eq!(filter.part_from_root(b".dumprestore-0192", true), Part::Foreign);
        assert_eq!(filter.part_from_root(b"notes.dumprestore-1", true), Part::Ours);
    }
}
