//! What is worth dumping below a folder: SQLite databases, and folders that people upload into; and databases of
//! servers (PostgreSQL, MySQL, MariaDB, Redis, Valkey) that the environment or the application's files name.

mod compose;
mod dotenv;
mod mysql;
mod postgres;
mod rails;
mod redis;
mod server;
mod template;
mod yaml;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use dumprestore::{Environment, Error, Result};
use rusqlite::{Connection, OpenFlags};
use walkdir::{DirEntry, WalkDir};

pub(crate) use server::ServerDatabase;

/// What every SQLite database begins with.
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How applications call the folders that people upload into.
const UPLOADS: [&str; 10] = [
    "attachments",
    "files",
    "media",
    "public_files",
    "storage",
    "upload",
    "uploads",
    "user_files",
    "user_uploads",
    "userfiles",
];
/// What is built, fetched or kept elsewhere.
const PASSED_OVER: [&str; 12] = [
    "__pycache__",
    "backup",
    "backups",
    "build",
    "cache",
    "dist",
    "env",
    "node_modules",
    "target",
    "tmp",
    "vendor",
    "venv",
];
/// Columns that may hold names of files.
const NAMES_OF_FILES: [&str; 12] = [
    "attachment",
    "avatar",
    "document",
    "file",
    "filename",
    "image",
    "media",
    "path",
    "photo",
    "picture",
    "thumbnail",
    "upload",
];
const DEEPEST: usize = 5;
/// Beyond so many entries of folders, no more is looked at.
const MOST_ENTRIES: usize = 200_000;

/// What was found, as paths relative to the folder that was looked at.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    pub(crate) databases: Vec<Database>,
    /// Databases of servers, wherever they are.
    pub(crate) servers: Vec<ServerDatabase>,
    /// Files that may name a database, and can't be understood.
    pub(crate) unread: Vec<String>,
    pub(crate) folders: Vec<PathBuf>,
    /// Folders of uploads that hold a database, which needs more than a copy of its file.
    pub(crate) mixed: Vec<PathBuf>,
    /// Not all was looked at.
    pub(crate) cut_short: bool,
}

/// A SQLite database.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) path: PathBuf,
    /// Table and column of what may be names of files.
    pub(crate) names_of_files: Vec<(String, String)>,
}

impl Discovery {
    /// Looks below `folder`, where it follows no link, and for what `environment` names. Changes nothing, and connects
    /// to nothing.
    ///
    /// # Errors
    /// If the folder itself can't be read. What lies deeper and can't be read is passed over.
    pub(crate) fn look(folder: &Path, environment: &dyn Environment) -> Result<Self> {
        std::fs::read_dir(folder).map_err(|error| {
            Error::io("can't look around", error).with_context("folder", folder.display())
        })?;
        let mut found = Self::default();
        found.servers = server::look(folder, environment, &mut found.unread);
        let walk = WalkDir::new(folder).max_depth(DEEPEST).sort_by_file_name().into_iter();
        for (nth, entry) in walk.filter_entry(is_worth_a_look).enumerate() {
            if nth > MOST_ENTRIES {
                found.cut_short = true;
                break;
            }
            if let Ok(entry) = entry {
                found.consider(folder, &entry);
            }
        }
        let holds_database = |path: &PathBuf| found.databases.iter().any(|db| db.path.starts_with(path));
        (found.mixed, found.folders) =
            std::mem::take(&mut found.folders).into_iter().partition(holds_database);
        Ok(found)
    }

    /// Whether there is nothing that a node could be made of.
    pub(crate) fn is_empty(&self) -> bool {
        self.databases.is_empty() && self.servers.is_empty() && self.folders.is_empty()
    }

    fn consider(&mut self, top: &Path, entry: &DirEntry) {
        let Ok(path) = entry.path().strip_prefix(top) else { return };
        if entry.file_type().is_dir() {
            let named_so =
                entry.file_name().to_str().is_some_and(|name| UPLOADS.contains(&&*name.to_lowercase()));
            let nested = self.folders.iter().any(|folder| path.starts_with(folder));
            if named_so && !nested && entry.depth() > 0 {
                self.folders.push(path.to_owned());
            }
        } else if entry.file_type().is_file() && is_database(entry.path()) {
            let names_of_files = names_of_files(entry.path()).unwrap_or_default();
            self.databases.push(Database { path: path.to_owned(), names_of_files });
        }
    }
}

/// The text of a file that people write by hand. `None`: it is not there, or no such file.
fn read_small(path: &Path) -> Option<String> {
    const LONGEST: u64 = 1 << 20;
    // A pipe would have us wait.
    let is_small = path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST);
    let mut text = String::new();
    is_small.then(|| File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()).flatten()?;
    Some(text)
}

/// A variable for what must not be copied; called after `owner`, if that is one of several.
fn variable_of(owner: &str, what: &str) -> String {
    let owner = owner.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    match owner.as_str() {
        "" => what.to_owned(),
        // A name does not begin with a digit.
        owner if owner.starts_with(|c: char| c.is_ascii_digit()) => format!("{what}_{owner}"),
        owner => format!("{owner}_{what}"),
    }
}

fn is_worth_a_look(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    entry.depth() == 0
        || !(name.starts_with('.')
            || entry.file_type().is_dir() && PASSED_OVER.contains(&&*name.to_lowercase()))
}

fn is_database(path: &Path) -> bool {
    let mut magic = [0; 16];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *SQLITE_MAGIC
}

/// Columns whose names say that they hold names of files. As if nobody wrote to the database, so that nothing is
/// made beside it: good enough for a suggestion.
fn names_of_files(path: &Path) -> rusqlite::Result<Vec<(String, String)>> {
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let database = Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)?;
    let mut query = database.prepare(
        "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid",
    )?;
    let columns = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let columns: rusqlite::Result<Vec<(String, String)>> = columns.collect();
    Ok(columns?.into_iter().filter(|(_, column)| NAMES_OF_FILES.contains(&&*column.to_lowercase())).collect())
}
