//! Where a database lies, and the names that are used beside it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, Result};

/// What SQLite itself may leave beside a database file: its log, its rollback journal, the index of the log.
pub(crate) const COMPANIONS: [&str; 3] = ["-wal", "-journal", "-shm"];

/// How many links to links are followed before it is called a loop; the limit of Linux itself.
const MOST_LINKS: usize = 40;

/// The real file of a database, links resolved: SQLite names its log after the path that it is given, so two names
/// for one database would be two databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    real: PathBuf,
}

impl Place {
    /// Resolves links as far as the path exists. The file may be missing; its folder may be, too.
    pub(crate) fn find(path: &Path) -> Result<Self> {
        resolve(path, MOST_LINKS).map(|real| Self { real })
    }

    /// A place whose real path is known.
    pub(crate) fn at(real: PathBuf) -> Self {
        Self { real }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.real
    }

    pub(crate) fn folder(&self) -> &Path {
        self.real.parent().unwrap_or(Path::new("/"))
    }

    /// What SQLite calls its log, beside the file.
    pub(crate) fn log(&self) -> PathBuf {
        suffixed(&self.real, "-wal")
    }
}

fn resolve(path: &Path, links: usize) -> Result<PathBuf> {
    match path.canonicalize() {
        Ok(real) => return Ok(real),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Error::io("can't resolve the path of the database", error)
                .with_context("path", path.display()));
        }
    }
    if let Ok(target) = path.read_link() {
        if links == 0 {
            return Err(Error::config("too many links in the path of the database")
                .with_context("path", path.display()));
        }
        return resolve(&path.parent().unwrap_or(Path::new("/")).join(target), links - 1);
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(resolve(parent, links)?.join(name)),
        _ => {
            Err(Error::config("the path of the database names no file").with_context("path", path.display()))
        }
    }
}

/// `path` with `suffix` at the end of its name.
pub(crate) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

/// The files that a restore makes beside the live one.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// What will be swapped in.
    pub(crate) staged: PathBuf,
    /// The live state before the swap, whole.
    pub(crate) previous: PathBuf,
    /// The same while it is written.
    pub(crate) partial: PathBuf,
    /// Says how far the swap got.
    pub(crate) mark: PathBuf,
    /// The old state that outlives the run, if it is to be kept.
    pub(crate) kept: PathBuf,
}

impl Names {
    pub(crate) fn new(place: &Place, run: &str) -> Self {
        let of_run = |what: &str| suffixed(place.path(), &format!(".dumprestore-{run}.{what}"));
        Self {
            staged: of_run("staged"),
            previous: of_run("previous"),
            partial: of_run("previous.partial"),
            mark: of_run("swap"),
            kept: suffixed(place.path(), ".dumprestore-previous"),
        }
    }
}
