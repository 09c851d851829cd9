//! Reading `tree.jsonl` back, line by line, trusting none of it.

use std::io::{BufRead, BufReader, Read};

use dumprestore_driver::{ArchivedNode, Error, PartName, Result};

use crate::entry::{Entry, Kind, TREE};
use crate::path::{in_tree_order, is_below, shown, split};

/// A line holds a path, a link target and attributes, each of at most some 100 KB; more is an attack on our memory.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// The entries of a tree, in order.
///
/// Checked on the way: the root comes first; every path comes later in the order than the one before, so none comes
/// twice; each is in a folder that was listed, so nothing lies below a file or a link.
pub(crate) struct Tree {
    lines: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    last: Option<Vec<u8>>,
    /// The folders that the last entry is in, and that entry if it is one.
    folders: Vec<Vec<u8>>,
}

impl Tree {
    /// # Errors
    /// If the archive has no tree.
    pub(crate) fn of(archived: &dyn ArchivedNode) -> Result<Self> {
        let name = PartName::new(TREE)?;
        let lines = BufReader::with_capacity(256 * 1024, archived.read(&name)?);
        Ok(Self { lines, line: Vec::new(), last: None, folders: Vec::new() })
    }

    fn next_line(&mut self) -> Result<bool> {
        self.line.clear();
        let read = (&mut self.lines).take(LONGEST_LINE).read_until(b'\n', &mut self.line);
        let length = read.map_err(|error| Error::io(format!("can't read `{TREE}`"), error))?;
        if length > 0 && self.line.pop() != Some(b'\n') {
            return Err(Error::archive(format!("`{TREE}` ends within a line, or has one that is too long")));
        }
        Ok(length > 0)
    }

    fn check(&mut self, entry: &Entry) -> Result<()> {
        let refuse = |why: &str| {
            Err(Error::archive(format!("`{TREE}` has an entry {why}"))
                .with_context("entry", shown(&entry.path)))
        };
        match &self.last {
            None if !entry.path.is_empty() => return refuse("before that of the folder itself"),
            Some(last) if in_tree_order(last, &entry.path).is_ge() => {
                return refuse("that comes twice, or out of order");
            }
            _ => {}
        }
        while self.folders.last().is_some_and(|folder| !is_below(&entry.path, folder)) {
            self.folders.pop();
        }
        if !entry.path.is_empty() && self.folders.last().is_none_or(|folder| *folder != split(&entry.path).0)
        {
            return refuse("that lies in no folder");
        }
        match &entry.kind {
            Kind::Folder => self.folders.push(entry.path.clone()),
            Kind::HardLink(to) if in_tree_order(to, &entry.path).is_ge() => {
                return refuse("that is a hard link to a later one");
            }
            _ => {}
        }
        self.last = Some(entry.path.clone());
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Entry>> {
        if !self.next_line()? {
            return match self.last {
                Some(_) => Ok(None),
                None => Err(Error::archive(format!("`{TREE}` is empty"))),
            };
        }
        let entry = Entry::from_line(&self.line)?;
        self.check(&entry)?;
        Ok(Some(entry))
    }
}

impl Iterator for Tree {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(lines: &[(&str, &str)]) -> Result<Vec<Entry>> {
        let mut text = String::new();
        for (path, rest) in lines {
            text += &format!(r#"{{"path":"{path}","mode":"0755","uid":0,"gid":0,"mtime":[0,0],{rest}}}"#);
            text.push('\n');
        }
        let lines = BufReader::new(Box::new(std::io::Cursor::new(text)) as Box<dyn Read + Send>);
        Tree { lines, line: Vec::new(), last: None, folders: Vec::new() }.collect()
    }

    const FOLDER: &str = r#""type":"folder""#;
    const FILE: &str = r#""type":"file","size":1"#;
    const LINK: &str = r#""type":"symlink","target":"/etc""#;

    #[test]
    fn a_plain_tree_is_read() {
        let entries =
            tree(&[(".", FOLDER), ("a", FOLDER), ("a/b", FILE), ("a-b", FILE), ("c", LINK)]).unwrap();
        assert_eq!(entries.len(), 5);
    }

    #[test]
    fn hostile_trees_are_refused_with_the_entry_named() {
        let below_link = tree(&[(".", FOLDER), ("a", LINK), ("a/passwd", FILE)]).unwrap_err();
        assert!(below_link.to_string().contains("a/passwd"), "{below_link}");
        let below_file = tree(&[(".", FOLDER), ("a", FILE), ("a/b", FILE)]).unwrap_err();
        assert!(below_file.to_string().contains("a/b"), "{below_file}");
        let twice = tree(&[(".", FOLDER), ("a", FILE), ("a", FILE)]).unwrap_err();
        assert!(twice.to_string().contains("twice"), "{twice}");
        let no_folder = tree(&[(".", FOLDER), ("x/y", FILE)]).unwrap_err();
        assert!(no_folder.to_string().contains("x/y"), "{no_folder}");
        assert!(tree(&[("a", FILE)]).is_err());
        assert!(tree(&[]).is_err());
        let forward =
            tree(&[(".", FOLDER), ("a", r#""type":"hardlink","target":"b""#), ("b", FILE)]).unwrap_err();
        assert!(forward.to_string().contains("later"), "{forward}");
    }
}
