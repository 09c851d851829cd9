//! Writing the bytes of files into the staged folder.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use dumprestore_driver::{ArchivedNode, ArchivedPart, Cancel, Error, PartReader, Result};
use rustix::fs::{Mode, OFlags, SeekFrom, ftruncate, mkdirat, openat, seek, syncfs};
use rustix::io::{Errno, write};

use crate::beneath::Beneath;
use crate::entry::{Kind, TREE, part_path};
use crate::filter::{Filter, Part};
use crate::path::join;
use crate::path::shown;
use crate::root::error_at;
use crate::tree::Tree;

const BUFFER: usize = 256 * 1024;
/// A hole is made of at least as much.
const BLOCK: usize = 4096;
/// After so many bytes the kernel is asked to write down what it has, while more is loaded.
const WRITE_BACK_EVERY: u64 = 64 << 20;

/// The staged folder, while it is loaded.
pub(crate) struct Load {
    container: Arc<OwnedFd>,
    staged: std::path::PathBuf,
    prefix: &'static [u8],
    filter: Filter,
    cancel: Cancel,
    /// Files that are to have holes again.
    sparse: HashSet<Vec<u8>>,
    /// Files whose part has another name: from the part's path to the file's.
    elsewhere: HashMap<Vec<u8>, Vec<u8>>,
    lanes: Mutex<Vec<Lane>>,
    pub(crate) files: AtomicU64,
    written: AtomicU64,
    write_back: WriteBack,
}

struct Lane {
    beneath: Beneath,
    buffer: Vec<u8>,
}

/// Writes to disk in the background; the last word is `prepare`'s.
#[derive(Default)]
struct WriteBack(Mutex<Running>);

#[derive(Default)]
struct Running {
    thread: Option<JoinHandle<Result<(), Errno>>>,
    /// An error that one write-back met is not told again to a later one.
    failed: Option<Errno>,
}

impl Load {
    /// Reads the tree through, refuses a hostile one, and makes all folders of it in the staged folder.
    ///
    /// # Errors
    /// With the entry named that is not as it should be.
    pub(crate) fn begin(
        archived: &dyn ArchivedNode,
        container: Arc<OwnedFd>,
        staged: &Path,
        filter: Filter,
        cancel: Cancel,
    ) -> Result<Self> {
        let mut load = Self {
            container: container.clone(),
            staged: staged.to_owned(),
            prefix: crate::container::STAGED.as_bytes(),
            filter,
            cancel,
            sparse: HashSet::new(),
            elsewhere: HashMap::new(),
            lanes: Mutex::default(),
            files: AtomicU64::new(0),
            written: AtomicU64::new(0),
            write_back: WriteBack::default(),
        };
        let mut beneath = Beneath::new(container);
        for entry in Tree::of(archived)? {
            load.cancel.check()?;
            let entry = entry?;
            match &entry.kind {
                Kind::Folder => load.make_folder(&mut beneath, &entry.path)?,
                Kind::File(content) => {
                    if content.sparse {
                        load.sparse.insert(entry.path.clone());
                    }
                    if let Some(part) = &content.part {
                        load.elsewhere.insert(part.clone(), entry.path.clone());
                    }
                }
                Kind::Symlink(_) | Kind::HardLink(_) => {}
            }
        }
        Ok(load)
    }

    fn make_folder(&self, beneath: &mut Beneath, path: &[u8]) -> Result<()> {
        if self.filter.part_from_root(path, true) == Part::Foreign {
            return Ok(());
        }
        let way = join(self.prefix, path);
        let made = beneath.parent(&way).and_then(|(folder, name)| Ok(mkdirat(folder, name, Mode::RWXU)?));
        made.map_err(|error| self.error("can't make a folder", path, error))
    }

    fn error(&self, what: &str, path: &[u8], error: impl Into<io::Error>) -> Error {
        error_at(&self.staged, what, path, error)
    }

    /// Takes one part.
    pub(crate) fn part(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        self.cancel.check()?;
        let Some(named) = part_path(&part.name) else {
            return match part.name.as_str() {
                // It was read when the staging began.
                TREE => self.pass_over(from),
                _ => Err(Error::archive("there is a part that is not of a `filesystem` node")
                    .with_context("part", &part.name)),
            };
        };
        let path = self.elsewhere.get(&named).unwrap_or(&named);
        if self.filter.part_from_root(path, false) != Part::Ours {
            return self.pass_over(from);
        }
        let lane = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut lane = lane.unwrap_or_else(|| Lane {
            beneath: Beneath::new(self.container.clone()),
            buffer: vec![0; BUFFER],
        });
        self.write_file(&mut lane, path, part.size, from)?;
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
        self.files.fetch_add(1, Ordering::Relaxed);
        self.count(part.size);
        Ok(())
    }

    fn pass_over(&self, from: &mut PartReader<'_>) -> Result<()> {
        io::copy(from, &mut io::sink()).map_err(|error| Error::io("can't read from the archive", error))?;
        Ok(())
    }

    fn write_file(&self, lane: &mut Lane, path: &[u8], size: u64, from: &mut PartReader<'_>) -> Result<()> {
        let file = self.create(lane, path)?;
        let holes = self.sparse.contains(path);
        let mut length = 0;
        loop {
            let filled = fill(from, &mut lane.buffer).map_err(|error| match error.downcast::<Error>() {
                Ok(ours) => ours,
                Err(error) => {
                    Error::io("can't read from the archive", error).with_context("path", shown(path))
                }
            })?;
            if filled == 0 {
                break;
            }
            let data = &lane.buffer[..filled];
            let written = if holes { write_with_holes(&file, data) } else { write_all(&file, data) };
            written.map_err(|error| self.error("can't write a file", path, error))?;
            length += filled as u64;
            if filled == lane.buffer.len() {
                self.cancel.check()?;
            }
        }
        if length != size {
            return Err(
                Error::archive("a part is not as long as it should be").with_context("path", shown(path))
            );
        }
        if holes {
            ftruncate(&file, length).map_err(|error| self.error("can't write a file", path, error))?;
        }
        Ok(())
    }

    fn create(&self, lane: &mut Lane, path: &[u8]) -> Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let way = join(self.prefix, path);
        let made = lane
            .beneath
            .parent(&way)
            .and_then(|(folder, name)| Ok(openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?));
        made.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Error::archive("a file comes twice").with_context("path", shown(path))
            }
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Error::archive(format!("there is a part that `{TREE}` does not list"))
                    .with_context("path", shown(path))
            }
            _ => self.error("can't make a file", path, error),
        })
    }

    fn count(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        if before / WRITE_BACK_EVERY != (before + bytes) / WRITE_BACK_EVERY {
            self.write_back.start(self.container.clone());
        }
    }

    /// Waits until all that was loaded is on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.write_back
            .sync(&self.container)
            .map_err(|error| self.error("can't write to the disk", b"", error))
    }
}

impl WriteBack {
    fn start(&self, container: Arc<OwnedFd>) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        running.collect();
        running.thread = Some(std::thread::spawn(move || sync_all(&container)));
    }

    fn sync(&self, container: &OwnedFd) -> Result<(), Errno> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.collect();
        sync_all(container)?;
        running.failed.take().map_or(Ok(()), Err)
    }
}

impl Running {
    fn collect(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.failed = self.failed.or(thread.join().unwrap_or(Err(Errno::IO)).err());
        }
    }
}

/// Writes down all that the file system holds in memory.
pub(crate) fn sync_all(container: &OwnedFd) -> Result<(), Errno> {
    let readable =
        openat(container.as_fd(), ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    syncfs(readable)
}

fn fill(from: &mut PartReader<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn write_all(file: &OwnedFd, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match write(file, data) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => data = &data[length..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Blocks of zeros are passed over. What is handed in starts at a multiple of [`BLOCK`].
fn write_with_holes(file: &OwnedFd, data: &[u8]) -> io::Result<()> {
    let is_zero = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    let mut start = 0;
    while start < data.len() {
        let mut blocks = data[start..].chunks(BLOCK);
        let hole = blocks.next().is_some_and(is_zero);
        let more: usize = blocks.take_while(|block| is_zero(block) == hole).map(<[u8]>::len).sum();
        let end = (start + BLOCK).min(data.len()) + more;
        if hole {
            seek(file, SeekFrom::Current((end - start) as i64))?;
        } else {
            write_all(file, &data[start..end])?;
        }
        start = end;
    }
    Ok(())
}
