//! Where archives are written to, and how one is found again.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use dumprestore::{BackupSet, Cancel, Environment, Error, ErrorKind, OpenArchive, Result};
use dumprestore_store::{
    ArchiveSettings, BucketOptions, Cargo, LATEST, Latest, Listed, Naming, Place, SetPlace, Shelf,
    StoreDestination, Summary, Target, WriteSettings,
};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::session::Session;

/// Where an archive goes.
pub(crate) enum Output {
    Stdout,
    Places(Vec<Target>),
}

/// The places of a set, with what opens its archives.
pub(crate) fn shelf(session: &Session, set: &BackupSet) -> Result<Shelf> {
    let settings = set.archive().and_then(|archive| archive.settings::<ArchiveSettings>());
    let named = session.identities()?;
    let identities = match settings {
        // What is named for this run comes first, and does not stand in the way of the rest.
        Some(settings) => named.or(settings.identities(&|name| session.environment.var(name))?),
        None => named,
    };
    Ok(Shelf::of(set, identities))
}

/// Where an archive of the set goes: `asked`, else `archive.to` of its configuration, else beside that.
pub(crate) fn output(shelf: &Shelf, asked: Option<&Path>, profile: &str) -> Result<Output> {
    let naming = Naming { set: shelf.set(), profile, moment: OffsetDateTime::now_utc() };
    let place = match asked {
        Some(path) if path == Path::new("-") => return Ok(Output::Stdout),
        Some(path) => match path.to_str().filter(|text| Place::is_url(text)) {
            Some(url) => shelf.set_place_at(url)?,
            None if path.is_dir() || ends_in_slash(path) => SetPlace::new(Place::Folder(path.to_owned())),
            None => SetPlace::new(Place::File(path.to_owned())),
        },
        None => return shelf.targets(&naming).map(Output::Places),
    };
    shelf.targets_at(place, &naming).map(Output::Places)
}

/// Where the present state is dumped to before a restore.
pub(crate) enum SafetyOutput {
    File(PathBuf),
    Places(Vec<Target>),
}

/// Where that is: `asked`, else below the places of the set.
pub(crate) fn safety_output(shelf: &Shelf, asked: Option<&Path>) -> Result<SafetyOutput> {
    let naming = Naming { set: shelf.set(), profile: "full", moment: OffsetDateTime::now_utc() };
    let url = asked.and_then(Path::to_str).filter(|text| Place::is_url(text));
    let targets = match (url, asked) {
        (Some(url), _) => shelf.targets_at(shelf.set_place_at(url)?, &naming)?,
        (None, Some(path)) => vec![Target::new(Place::File(path.to_owned()))],
        (None, None) => shelf.targets_before_restore(&naming)?,
    };
    Ok(match &targets[..] {
        [Target { place: Place::File(path), .. }] if is_plain(shelf.settings()) => {
            SafetyOutput::File(path.clone())
        }
        _ => SafetyOutput::Places(targets),
    })
}

/// Whether a file needs nothing but to be written.
pub(crate) fn is_plain(settings: &ArchiveSettings) -> bool {
    settings.encryption.is_none() && settings.max_size.is_none() && settings.bandwidth.is_none()
}

/// How archives of a set are written elsewhere than into a file.
pub(crate) fn writing(shelf: &Shelf) -> WriteSettings {
    let settings = shelf.settings();
    let mut writing = WriteSettings::default();
    writing.bandwidth = settings.bandwidth;
    writing.max_size = settings.max_size;
    writing.encryption.clone_from(&settings.encryption);
    shelf.set().clone_into(&mut writing.set);
    writing
}

/// The local folders and files in which archives of a set are: for warnings about restores that would replace them.
pub(crate) fn local_places(set: &BackupSet) -> Vec<PathBuf> {
    match set.archive() {
        Some(archive) => archive.local.clone(),
        None => vec![set.base().to_owned()],
    }
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
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

/// Opens the archive of that name: a path or a URL, or what the configured set has under that name.
pub(crate) fn open(session: &Session, name: &Path) -> Result<OpenArchive> {
    let Some(set) = set_for(session, name)? else {
        let identities = session.identities()?;
        return match name.to_str().filter(|text| Place::is_url(text)) {
            Some(url) => {
                let here = crate::env::current_folder()?;
                dumprestore_store::open(&Place::from_url(url, &BucketOptions::default(), &here)?, &identities)
            }
            None => dumprestore_store::open(&Place::File(name.to_owned()), &identities),
        };
    };
    open_for(session, &set, name)
}

/// The configured set, as far as it is needed to find an archive of that name.
fn set_for(session: &Session, name: &Path) -> Result<Option<BackupSet>> {
    let is_url = name.to_str().is_some_and(Place::is_url);
    if name == Path::new(LATEST) || is_moment(name) || session.names_config() {
        return session.load().map(Some);
    }
    if !is_url && name.exists() {
        // Its options may say what opens it, but it has to be readable where the set is not known, or not any more.
        let encrypted =
            File::open(name).is_ok_and(|file| dumprestore_store::is_encrypted(&file).unwrap_or(false));
        return Ok(if encrypted { session.load().ok() } else { None });
    }
    if !session.config().exists() {
        return Ok(None);
    }
    // The URL may be got to without it.
    if is_url { Ok(session.load().ok()) } else { session.load().map(Some) }
}

/// `SET@TIME`.
fn is_moment(name: &Path) -> bool {
    as_moment(name).is_some()
}

fn as_moment(name: &Path) -> Option<(&str, &str)> {
    let (set, moment) = name.to_str().filter(|text| !Place::is_url(text))?.split_once('@')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let is_set = !set.is_empty() && set.chars().all(is_name);
    (is_set && moment.starts_with(|c: char| c.is_ascii_digit()) && !name.exists()).then_some((set, moment))
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
    let shelf = shelf(session, set)?;
    if name == Path::new(LATEST) {
        return Ok(newest(session, shelf.latest()?));
    }
    if let Some((set, moment)) = as_moment(name) {
        return Ok(newest(session, shelf.as_of(set, moment)?));
    }
    let text = name.to_str().unwrap_or_default();
    let opened = match () {
        () if Place::is_url(text) => dumprestore_store::open(&shelf.place_at(text)?, shelf.identities()),
        () if name.exists() || text.is_empty() || name.is_absolute() || text.starts_with('.') => {
            dumprestore_store::open(&Place::File(name.to_owned()), shelf.identities())
        }
        () => shelf.named(text),
    };
    opened.map(|archive| (archive, None))
}

/// Tells of what was passed over.
fn newest(session: &Session, latest: Latest) -> (OpenArchive, Option<String>) {
    for unusable in latest.unusable {
        session.console.warn(format_args!("passed over, for it can't be used: {}", unusable.error), None);
    }
    if let Some(first) = latest.unjudged.first() {
        let more = match latest.unjudged.len() {
            1 => String::new(),
            many => format!(" and {} more", many - 1),
        };
        session.console.warn(
            format_args!(
                "not looked at, for it is not called as `archive.name` says, and is newer: `{first}`{more}"
            ),
            Some("name it instead, if it is the one that you mean"),
        );
    }
    for clock in &latest.clocks {
        let (archive, says, written) = (&clock.archive, utc(clock.says), utc(clock.written));
        session.console.warn(
            format_args!("`{archive}` was written at {written}, and says that it was made at {says}"),
            Some("if a clock was wrong, name the archive that you mean"),
        );
    }
    if !latest.lacks.is_empty() {
        let nodes: Vec<_> = latest.lacks.iter().map(|node| format!("`{node}`")).collect();
        session.console.warn(
            format_args!("there is no archive of the whole set: {} not in this one", are(&nodes)),
            Some("name another archive, if there is one that is meant"),
        );
    }
    let passed_over = latest.passed_over.map(|(name, summary)| passed_over(&name, &summary));
    (latest.archive, passed_over)
}

fn are(nodes: &[String]) -> String {
    format!("{} {}", nodes.join(", "), if nodes.len() == 1 { "is" } else { "are" })
}

fn passed_over(name: &str, part: &Summary) -> String {
    let nodes: Vec<_> = part.nodes.iter().map(|node| format!("`{}`", node.node)).collect();
    format!(
        "`latest` means the newest archive of the whole set: `{name}`, as of {}, is newer, and holds {} only",
        moment(part.moment),
        nodes.join(", ")
    )
}

/// What lies in a place that is named, of whatever set.
pub(crate) fn listed_at(session: &Session, place: &str, versions: bool) -> Result<Listed> {
    let loaded = session.config().exists().then(|| session.load()).transpose();
    let (place, identities) = match loaded.or_else(|error| without_config(session, error))? {
        Some(set) => {
            let shelf = shelf(session, &set)?;
            (place_of(Some(&shelf), place)?, shelf.identities().clone())
        }
        None => (place_of(None, place)?, session.identities()?),
    };
    crate::command::refuse_archive(&place)?;
    Ok(Listed::of(&place, versions, &identities))
}

/// What is named may be got to without the configuration, unless that was named as well.
fn without_config(session: &Session, error: Error) -> Result<Option<BackupSet>> {
    if session.names_config() {
        return Err(error);
    }
    session.console.warn(format_args!("the configuration is left out: {error}"), error.hint());
    Ok(None)
}

/// What a text on the command line means.
fn place_of(shelf: Option<&Shelf>, text: &str) -> Result<Place> {
    match (Place::is_url(text), shelf) {
        (true, Some(shelf)) => shelf.place_at(text),
        (true, None) => Place::from_url(text, &BucketOptions::default(), &crate::env::current_folder()?),
        (false, _) => Ok(dumprestore_store::place_of_path(Path::new(text))),
    }
}

/// Opens the archive of that name, and says where it was found: it may be removed there.
pub(crate) fn open_located(session: &Session, name: &Path) -> Result<(OpenArchive, Place)> {
    let (place, identities) = match set_for(session, name)? {
        Some(set) => {
            let shelf = shelf(session, &set)?;
            (locate(session, &shelf, name)?, shelf.identities().clone())
        }
        None => match name.to_str().filter(|text| Place::is_url(text)) {
            Some(url) => (place_of(None, url)?, session.identities()?),
            None => (Place::File(name.to_owned()), session.identities()?),
        },
    };
    Ok((dumprestore_store::open(&place, &identities)?, place))
}

/// An archive that is to be carried elsewhere, and its name.
pub(crate) fn cargo(session: &Session, name: &Path) -> Result<(Cargo, String)> {
    let (place, identities) = match set_for(session, name)? {
        Some(set) => {
            let shelf = shelf(session, &set)?;
            (locate(session, &shelf, name)?, shelf.identities().clone())
        }
        None => (place_of(None, &name.to_string_lossy())?, session.identities()?),
    };
    Ok((Cargo::open(&place, &identities)?, dumprestore_store::name_of(&place)))
}

/// Where the archive of that name is.
fn locate(session: &Session, shelf: &Shelf, name: &Path) -> Result<Place> {
    let found = match as_moment(name) {
        _ if name == Path::new(LATEST) => Some(shelf.latest()?),
        Some((set, moment)) => Some(shelf.as_of(set, moment)?),
        None => None,
    };
    if let Some(latest) = found {
        let place = latest.place.clone();
        let (_, passed_over) = newest(session, latest);
        passed_over.into_iter().for_each(|text| session.console.warn(text, None));
        return Ok(place);
    }
    let text = name.to_string_lossy();
    match () {
        () if Place::is_url(&text) => shelf.place_at(&text),
        () if name.exists() || name.is_absolute() || text.starts_with('.') => {
            Ok(Place::File(name.to_owned()))
        }
        () => shelf.place_named(&text),
    }
}

/// An archive, and where it is to be copied to.
pub(crate) struct Pushing {
    pub(crate) cargo: Cargo,
    pub(crate) destination: StoreDestination,
    /// Nothing is left to do.
    pub(crate) is_everywhere: bool,
}

/// An archive that is to be copied to those places, else to those of the set that do not have it.
pub(crate) fn pushing(session: &Session, name: &Path, to: &[String], cancel: &Cancel) -> Result<Pushing> {
    let set = session.load()?;
    let shelf = shelf(session, &set)?;
    let place = locate(session, &shelf, name)?;
    let cargo = Cargo::open(&place, shelf.identities())?;
    let places = match to {
        [] => shelf.settings().places.clone(),
        to => to.iter().map(|to| set_place_of(&shelf, to)).collect::<Result<_>>()?,
    };
    let targets = shelf.missing(&places, &shelf.name_below(&place), &cargo)?;
    let is_everywhere = targets.is_empty();
    let mut writing = WriteSettings::default();
    writing.bandwidth = shelf.settings().bandwidth;
    cargo.set().unwrap_or_default().clone_into(&mut writing.set);
    let destination = StoreDestination::new(targets, writing, cancel.clone());
    let destination = if is_everywhere { destination } else { noted(session, &set, destination)? };
    Ok(Pushing { cargo, destination, is_everywhere })
}

fn set_place_of(shelf: &Shelf, text: &str) -> Result<SetPlace> {
    match Place::is_url(text) {
        true => shelf.set_place_at(text),
        false => Ok(SetPlace::new(dumprestore_store::place_of_path(Path::new(text)))),
    }
}

/// Notes down what is about to be written, lest a kill leave it in a store for ever.
pub(crate) fn noted(
    session: &Session,
    set: &BackupSet,
    destination: StoreDestination,
) -> Result<StoreDestination> {
    let (destination, warnings) = destination.noted_in(set.name(), set.ready_state_folder()?);
    for warning in warnings {
        session.console.warn(&warning, warning.hint());
    }
    Ok(destination)
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
