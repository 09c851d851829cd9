//! The journal of a restore: what a later process needs to end what this one began.
//!
//! One JSON object per line; the first says which restore it is. Every record is on disk before the step that it
//! tells of begins, so a line that is cut off tells of a step that never began. The room that it needs is taken when it
//! begins: a disk that is full later does not stop it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, NodePath, OldState, Result, Token, Undo};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Which restore a journal is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The version of the journal's format.
    pub(crate) journal: u32,
    /// The run.
    pub(crate) run: String,
    /// What was restored, for people.
    pub(crate) archive: String,
    /// Whether the old state was to be kept.
    pub(crate) keep: bool,
    /// The nodes in the order in which they are committed, each with its target.
    pub(crate) nodes: Vec<HeaderNode>,
}

/// A node of the restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeaderNode {
    /// The node.
    pub(crate) node: NodePath,
    /// Its driver.
    pub(crate) driver: String,
    /// Where it restores to, without secrets.
    pub(crate) target: String,
    /// Until when it can be undone. What an older version wrote does not have it: then it is as the driver says.
    #[serde(default)]
    pub(crate) undo: Option<Undo>,
}

impl Header {
    pub(crate) const VERSION: u32 = 1;

    pub(crate) fn old_state(&self) -> OldState {
        if self.keep { OldState::Keep } else { OldState::Drop }
    }
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    /// A node's step is about to begin; its token.
    Step { node: NodePath, step: String, token: Token },
    /// Every node has committed: from here on it only goes forward.
    AllCommitted,
    /// A node has finished; what it kept, if anything.
    Finished { node: NodePath, kept: Option<Token> },
    /// From here on it only goes back, whatever stands before.
    RollingBack,
    /// A node is as it was before the restore.
    RolledBack { node: NodePath },
}

/// A journal that is being written.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// How long it is, up to the last record that is whole and on disk.
    length: u64,
    /// Whether more than that may be on disk: a record that could neither be written nor be cut off.
    torn: bool,
}

/// As much room as a journal takes at its beginning, apart from its nodes.
const ROOM: u64 = 64 * 1024;
/// As much room as it takes for each node: some ten records, each with a token.
const ROOM_PER_NODE: u64 = 32 * 1024;

/// A journal that an earlier process left.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) header: Header,
    pub(crate) tokens: BTreeMap<NodePath, Token>,
    /// The step of each node that was last about to begin.
    pub(crate) steps: BTreeMap<NodePath, String>,
    pub(crate) all_committed: bool,
    /// Whether the way back was begun.
    pub(crate) rolling_back: bool,
    pub(crate) finished: BTreeMap<NodePath, Option<Token>>,
    pub(crate) journal: Journal,
}

/// Where the journal of a set is.
pub(crate) fn path(folder: &Path, set: &str) -> PathBuf {
    folder.join(format!("{set}.journal"))
}

impl Journal {
    /// Begins a journal. There must be none: an older one is to be recovered first.
    pub(crate) fn create(path: PathBuf, header: &Header) -> Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| failed(&path, error))?;
        Self::begin(path, file, header)
    }

    fn begin(path: PathBuf, file: File, header: &Header) -> Result<Self> {
        let mut journal = Self { path, file, length: 0, torn: false };
        let begun = journal.take_room(header.nodes.len()).and_then(|()| journal.append(header));
        if let Err(error) = begun.and_then(|()| journal.sync_folder()) {
            // It would tell of a restore that never began. If it can't be removed, `open` does so.
            let _removed = journal.remove();
            return Err(error);
        }
        Ok(journal)
    }

    /// Reads what an earlier process left, if anything. A journal without a whole header tells of a restore that
    /// never began: it is removed.
    pub(crate) fn open(path: PathBuf) -> Result<Option<Left>> {
        let file = match OpenOptions::new().read(true).append(true).open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| failed(&path, error))?,
        };
        let lines = whole_lines(&file).map_err(|error| failed(&path, error))?;
        let length = lines.iter().map(|line| line.len() as u64).sum();
        let journal = Self { path, file, length, torn: false };
        let Some((first, records)) = lines.split_first() else {
            journal.remove()?;
            return Ok(None);
        };
        let header: Header = journal.parse(first)?;
        if header.journal != Header::VERSION {
            return Err(Error::unsupported("the journal of an interrupted restore is of another version")
                .with_context("journal", journal.path.display())
                .with_hint("run `recover` with the version of dumprestore that began the restore"));
        }
        let mut left = Left {
            header,
            tokens: BTreeMap::new(),
            steps: BTreeMap::new(),
            all_committed: false,
            rolling_back: false,
            finished: BTreeMap::new(),
            journal,
        };
        for record in records {
            let record = left.journal.parse(record)?;
            left.take(record);
        }
        Ok(Some(left))
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, line: &str) -> Result<T> {
        serde_json::from_str(line).map_err(|error| {
            Error::stuck("the journal of an interrupted restore can't be read")
                .with_context("journal", self.path.display())
                .with_hint("look at what the restore left beside each target; remove the journal when all is in order")
                .with_source(error)
        })
    }

    /// A node's step is about to begin.
    pub(crate) fn step(&mut self, node: &NodePath, step: &str, token: Token) -> Result<()> {
        self.append(&Record::Step { node: node.clone(), step: step.to_owned(), token })
    }

    /// Every node has committed.
    pub(crate) fn all_committed(&mut self) -> Result<()> {
        self.append(&Record::AllCommitted)
    }

    /// A node has finished.
    pub(crate) fn finished(&mut self, node: &NodePath, kept: Option<Token>) -> Result<()> {
        self.append(&Record::Finished { node: node.clone(), kept })
    }

    /// The restore is about to be rolled back.
    pub(crate) fn rolling_back(&mut self) -> Result<()> {
        self.append(&Record::RollingBack)
    }

    /// A node is as it was.
    pub(crate) fn rolled_back(&mut self, node: &NodePath) -> Result<()> {
        self.append(&Record::RolledBack { node: node.clone() })
    }

    /// The restore has ended, one way or the other.
    pub(crate) fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(|error| failed(&self.path, error))?;
        self.sync_folder()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a record may be on disk although writing it failed.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn
    }

    /// A full disk is found out here, where nothing is begun, and not between two commits.
    fn take_room(&self, nodes: usize) -> Result<()> {
        let room = ROOM + ROOM_PER_NODE * nodes as u64;
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, room) {
            Err(error @ (Errno::NOSPC | Errno::DQUOT)) => Err(failed(&self.path, error.into())),
            // Not every file system can.
            _ => Ok(()),
        }
    }

    fn append(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(line).map_err(|error| failed(&self.path, error.into()))?;
        text.push(b'\n');
        if let Err(error) = self.write(&text) {
            // What is not surely on disk must not be there at all: neither half a line, nor a record whose step was
            // not taken.
            self.torn = self.cut().is_err();
            return Err(failed(&self.path, error));
        }
        self.length += text.len() as u64;
        Ok(())
    }

    fn write(&mut self, text: &[u8]) -> std::io::Result<()> {
        if self.torn {
            // This record would be glued to half of another.
            self.cut()?;
            self.torn = false;
        }
        self.file.write_all(text)?;
        self.file.sync_data()
    }

    fn cut(&self) -> std::io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.sync_data()
    }

    fn sync_folder(&self) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(&self.path, error))
    }
}

impl Left {
    fn take(&mut self, record: Record) {
        match record {
            Record::Step { node, step, token } => {
                self.steps.insert(node.clone(), step);
                self.tokens.insert(node, token);
            }
            Record::AllCommitted => self.all_committed = true,
            Record::RollingBack => {
                self.all_committed = false;
                self.rolling_back = true;
            }
            Record::Finished { node, kept } => {
                self.finished.insert(node, kept);
            }
            Record::RolledBack { node } => {
                self.tokens.remove(&node);
                // A node that has gone back: the others can't go forward any more, whatever else is noted.
                self.take(Record::RollingBack);
            }
        }
    }
}

/// All lines that end. What follows the last line end was never synced, so nothing was done on its account; it is
/// cut off, lest the next record be glued to it.
fn whole_lines(file: &File) -> std::io::Result<Vec<String>> {
    let mut reader = BufReader::new(file);
    let mut lines = Vec::new();
    let mut whole = 0;
    loop {
        let mut line = Vec::new();
        let length = reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        whole += length as u64;
        lines.push(String::from_utf8_lossy(&line).into_owned());
    }
    if whole < file.metadata()?.len() {
        file.set_len(whole)?;
        file.sync_all()?;
    }
    Ok(lines)
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::io("can't keep the journal of the restore", error).with_context("journal", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            journal: Header::VERSION,
            run: "r".into(),
            archive: "a.zip".into(),
            keep: false,
            nodes: Vec::new(),
        }
    }

    fn node() -> NodePath {
        NodePath::new("db").unwrap()
    }

    #[test]
    fn a_journal_cut_off_anywhere_tells_of_whole_steps_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "shop");
        let mut journal = Journal::create(path.clone(), &header()).unwrap();
        journal.step(&node(), "begin", 1.into()).unwrap();
        journal.step(&node(), "commit", 2.into()).unwrap();
        journal.all_committed().unwrap();
        let whole = std::fs::read(&path).unwrap();
        let ends: Vec<_> = (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let left = Journal::open(path.clone()).unwrap();
            let records = ends.iter().filter(|end| **end <= length).count();
            match left {
                None => assert_eq!(records, 0, "at {length}"),
                Some(mut left) => {
                    let token = left.tokens.get(&node()).and_then(Token::as_u64);
                    assert_eq!(token, [None, None, Some(1), Some(2), Some(2)][records], "at {length}");
                    assert_eq!(left.all_committed, records == 4);
                    left.journal.rolling_back().unwrap();
                    left.journal.rolled_back(&node()).unwrap();
                    let again = Journal::open(path.clone()).unwrap().unwrap();
                    assert!(again.tokens.is_empty() && !again.all_committed, "at {length}");
                }
            }
        }
    }

    #[test]
    fn a_journal_that_can_not_be_begun_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // The header goes to a full disk.
        let path = path(folder.path(), "shop");
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        std::fs::write(&path, "").unwrap();
        let error = Journal::begin(path.clone(), file, &header()).unwrap_err();
        assert!(error.to_string().contains("journal"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_record_that_can_be_neither_written_nor_cut_off_is_told_of_and_cut_off_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "shop");
        let mut journal = Journal::create(path.clone(), &header()).unwrap();
        journal.step(&node(), "commit", 1.into()).unwrap();
        // Writing fails halfway, and so does what should mend it.
        let whole = std::mem::replace(&mut journal.file, File::open("/dev/full").unwrap());
        journal.all_committed().unwrap_err();
        assert!(journal.is_torn());
        journal.rolling_back().unwrap_err();
        std::fs::write(&path, [&std::fs::read(&path).unwrap(), &b"\"all_comm"[..]].concat()).unwrap();
        journal.file = whole;
        journal.rolling_back().unwrap();
        assert!(!journal.is_torn());
        let left = Journal::open(path).unwrap().unwrap();
        assert!(left.rolling_back && !left.all_committed);
    }

    #[test]
    fn a_record_that_has_no_room_is_cut_off_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "shop");
        let mut journal = Journal::create(path.clone(), &header()).unwrap();
        let before = std::fs::metadata(&path).unwrap();
        assert!(std::os::unix::fs::MetadataExt::blocks(&before) * 512 >= ROOM, "no room was taken");
        journal.file = OpenOptions::new().read(true).open(&path).unwrap();
        journal.all_committed().unwrap_err();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), before.len());
    }

    #[test]
    fn a_node_that_was_rolled_back_lets_nothing_go_forward() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "shop");
        let mut journal = Journal::create(path.clone(), &header()).unwrap();
        journal.all_committed().unwrap();
        journal.rolled_back(&node()).unwrap();
        let left = Journal::open(path).unwrap().unwrap();
        assert!(left.rolling_back && !left.all_committed);
    }

    #[test]
    fn a_journal_that_makes_no_sense_is_never_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "shop");
        std::fs::write(&path, "nonsense\n").unwrap();
        let error = Journal::open(path.clone()).unwrap_err();
        assert_eq!(error.kind(), dumprestore_driver::ErrorKind::Stuck);
        assert!(path.exists());
    }
}
