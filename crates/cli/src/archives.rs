//! Where archives are written to, and how one is found again.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use dumprestore::{BackupSet, Error, ErrorKind, OpenArchive, Result};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::session::Session;

/// The name of the newest archive of a set.
pub(crate) const LATEST: &str = "latest";
/// Below the folder of archives: safety dumps, which `latest` must never mean.
const BEFORE_RESTORE: &str = "before-restore";

/// Where an archive goes.
pub(crate) enum Output {
    Stdout,
    File(PathBuf),
}

/// Where an archive of `set` goes: `asked`, else `archive.to` of its configuration, else beside that.
pub(crate) fn output(set: &BackupSet, asked: Option<&Path>) -> Result<Output> {
    match asked {
        Some(path) if path == Path::new("-") => Ok(Output::Stdout),
        Some(path) if path.to_string_lossy().contains("://") => {
            Err(Error::config("archives go to a local file or folder, not to a URL")
                .with_hint("name a file, or pipe it on: `dumprestore dump -o - | ...`"))
        }
        Some(path) if path.is_dir() || ends_in_slash(path) => within(path, set).map(Output::File),
        Some(path) => Ok(Output::File(path.to_owned())),
        None => match usual(set) {
            Usual::File(path) => Ok(Output::File(path)),
            Usual::Folder(folder) => within(&folder, set).map(Output::File),
        },
    }
}

/// Where the present state is dumped to before a restore, if the caller does not say.
pub(crate) fn safety_output(set: &BackupSet) -> Result<PathBuf> {
    let folder = match usual(set) {
        Usual::Folder(folder) => folder,
        Usual::File(path) => path.parent().unwrap_or(Path::new("/")).to_owned(),
    };
    within(&folder.join(BEFORE_RESTORE), set)
}

/// Where archives of `set` are if nobody says otherwise: for warnings about restores that would replace them.
pub(crate) fn usual_place(set: &BackupSet) -> PathBuf {
    match usual(set) {
        Usual::File(path) | Usual::Folder(path) => path,
    }
}

enum Usual {
    File(PathBuf),
    Folder(PathBuf),
}

/// `archive.to` is a file if it is one, or ends in `.zip`; a folder otherwise.
fn usual(set: &BackupSet) -> Usual {
    match set.archive().map(|archive| archive.to.as_path()) {
        None => Usual::Folder(set.base().to_owned()),
        Some(to) if to.is_dir() || ends_in_slash(to) => Usual::Folder(to.to_owned()),
        Some(to) if to.is_file() || to.extension().is_some_and(|end| end == "zip") => {
            Usual::File(to.to_owned())
        }
        Some(to) => Usual::Folder(to.to_owned()),
    }
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// A new name in `folder`, which is made if need be, readable by its owner only.
fn within(folder: &Path, set: &BackupSet) -> Result<PathBuf> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
        Error::io("can't make the folder for archives", error).with_context("folder", folder.display())
    })?;
    let stamp = OffsetDateTime::now_utc()
        .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
        .map_err(|error| Error::defect("the time can't be written").with_source(error))?;
    let name = format!("{}-{stamp}", set.name());
    let names = std::iter::once(format!("{name}.zip")).chain((2..100).map(|nth| format!("{name}-{nth}.zip")));
    let free = names.map(|name| folder.join(name)).find(|path| path.symlink_metadata().is_err());
    free.ok_or_else(|| {
        Error::environment("all names for an archive are taken").with_context("folder", folder.display())
    })
}

/// What an archive is, for people who are about to restore it.
pub(crate) fn describe(archive: &OpenArchive) -> String {
    let manifest = archive.archive().manifest();
    let moment = manifest.cut.unwrap_or(manifest.sealed);
    format!("`{}`, as of {}", archive.label(), self::moment(moment))
}

/// `2026-01-31 23:59:59 UTC (3 hours ago)`.
pub(crate) fn moment(moment: OffsetDateTime) -> String {
    let age = (OffsetDateTime::now_utc() - moment).try_into().unwrap_or_default();
    format!("{} ({})", utc(moment), crate::console::ago(age))
}

/// An archive that turned out to be damaged, or can't be read. That there is no room for scratch files says nothing
/// about it.
pub(crate) fn unreadable(error: dumprestore::archive::Error) -> Error {
    let kind = match error.kind() {
        dumprestore::archive::ErrorKind::Scratch => ErrorKind::Environment,
        _ => ErrorKind::Archive,
    };
    let made = Error::new(kind, error.to_string());
    match error.hint_text() {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// `2026-01-31 23:59:59 UTC`.
pub(crate) fn utc(moment: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    moment.to_offset(time::UtcOffset::UTC).format(form).unwrap_or_default()
}

/// Opens the archive of that path, or the `latest` of the configured set.
pub(crate) fn open(session: &Session, name: &Path) -> Result<OpenArchive> {
    if name == Path::new(LATEST) {
        open_for(session, &session.load()?, name)
    } else {
        OpenArchive::open(name)
    }
}

/// The same, with the set at hand.
pub(crate) fn open_for(session: &Session, set: &BackupSet, name: &Path) -> Result<OpenArchive> {
    let (archive, passed_over) = find(session, set, name)?;
    if let Some(passed_over) = passed_over {
        session.console.warn(passed_over, None);
    }
    Ok(archive)
}

/// The same, and what is to be told of a newer archive that `latest` does not mean.
pub(crate) fn find(session: &Session, set: &BackupSet, name: &Path) -> Result<(OpenArchive, Option<String>)> {
    if name == Path::new(LATEST) { latest(session, set) } else { Ok((OpenArchive::open(name)?, None)) }
}

/// The archive of this set that was sealed last, as its manifest says. One that holds a part of the set only, made with
/// `--only`, is not meant as long as there is a whole one, and is told of if it is newer.
///
/// # Errors
/// If a file beside it was written later and can't be used, whatever its name: it may be the archive that is meant, and
/// an older state is never restored without somebody having asked for it by name.
fn latest(session: &Session, set: &BackupSet) -> Result<(OpenArchive, Option<String>)> {
    let folder = match usual(set) {
        Usual::File(path) => return Ok((OpenArchive::open(&path)?, None)),
        Usual::Folder(folder) => folder,
    };
    let Found { whole, part, unusable } = look_through(set, &folder)?;
    let (newest, part) = if whole.is_some() { (whole, part) } else { (part, None) };
    for (path, error) in unusable {
        if newest.as_ref().is_none_or(|newest| may_be_newer(&path, newest)) {
            return Err(error.with_hint(
                "`latest` would mean an older archive: name the one that you mean, or move this file away",
            ));
        }
        session.console.warn(format_args!("passed over, for it can't be used: {error}"), None);
    }
    let (archive, _) = newest.ok_or_else(|| {
        Error::config(format!("there is no archive of the set `{}`", set.name()))
            .with_context("folder", folder.display())
            .with_hint("name the archive's file instead of `latest`")
    })?;
    let passed_over = part.filter(|(part, _)| is_newer(part, &archive)).map(|(part, _)| passed_over(&part));
    Ok((archive, passed_over))
}

/// The archives of a set in a folder.
#[derive(Default)]
struct Found {
    /// The newest of those that hold all nodes.
    whole: Option<(OpenArchive, PathBuf)>,
    /// The newest of all others.
    part: Option<(OpenArchive, PathBuf)>,
    unusable: Vec<(PathBuf, Error)>,
}

fn look_through(set: &BackupSet, folder: &Path) -> Result<Found> {
    let mut found = Found::default();
    for path in zips(folder)? {
        match OpenArchive::open(&path) {
            Err(error) if error.kind() != ErrorKind::Archive => return Err(error),
            Err(error) => found.unusable.push((path, error)),
            Ok(archive) if archive.archive().manifest().set != set.name() => {}
            Ok(archive) => {
                let newest = if is_complete(&archive, set) { &mut found.whole } else { &mut found.part };
                if newest.as_ref().is_none_or(|(newest, _)| is_newer(&archive, newest)) {
                    *newest = Some((archive, path));
                }
            }
        }
    }
    Ok(found)
}

fn passed_over(part: &OpenArchive) -> String {
    let nodes: Vec<_> =
        part.archive().manifest().nodes.iter().map(|node| format!("`{}`", node.path)).collect();
    format!(
        "`latest` means the newest archive of the whole set: {} is newer, and holds {} only",
        describe(part),
        nodes.join(", ")
    )
}

/// Whether an archive holds all nodes of the set.
fn is_complete(archive: &OpenArchive, set: &BackupSet) -> bool {
    let manifest = archive.archive().manifest();
    set.dump_order().iter().all(|node| manifest.node(node.as_str()).is_some())
}

/// Whether a file that can't be read may hold a later state than that archive. A copy of the archive may have been made
/// later than the file: what counts is when it was sealed.
fn may_be_newer(unusable: &Path, (archive, path): &(OpenArchive, PathBuf)) -> bool {
    let sealed = archive.archive().manifest().sealed.into();
    let since = written(path).map_or(sealed, |written| written.min(sealed));
    written(unusable).is_none_or(|written| written >= since)
}

fn written(path: &Path) -> Option<std::time::SystemTime> {
    path.metadata().and_then(|meta| meta.modified()).ok()
}

fn is_newer(a: &OpenArchive, b: &OpenArchive) -> bool {
    let sealed = |archive: &OpenArchive| {
        let manifest = archive.archive().manifest();
        (manifest.sealed, manifest.run.clone())
    };
    sealed(a) > sealed(b)
}

fn zips(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| {
        Error::io("can't look for archives", error)
            .with_context("folder", folder.display())
            .with_hint("name the archive's file instead of `latest`")
    };
    let mut paths = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(paths),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "zip") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Standard output, for an archive or a part: not by way of `io::stdout`, which looks for line ends.
pub(crate) struct StdoutStream(File);

impl StdoutStream {
    /// Takes hold of standard output.
    ///
    /// # Errors
    /// If it is closed.
    pub(crate) fn new() -> Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        stdout.map(|fd| Self(fd.into())).map_err(|error| Error::io("can't write to standard output", error))
    }
}

impl Write for StdoutStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(explain)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn explain(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => {
            Error::environment("the program that was to read standard output ended before it had everything")
                .into()
        }
        _ => error,
    }
}
