//! A driver for a folder of notes that does all a driver can do, and can be told to break one promise.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, BuildContext, Capabilities, Changes, Digest, Driver, DriverConfig, Error, Extras, Formats,
    InPlace, Inspection, Lanes, Linked, OpenContext, PartName, Partial, Placement, Problem, Reference,
    Result, Selection, Source, StageContext, Staging, Token, Undo, Unresolved, View, Why, async_trait,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use sha2::Digest as _;

use crate::source::NotesSource;
use crate::staging::NotesStaging;

/// The options of a `notes` node.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotesConfig {
    /// The folder.
    path: PathBuf,
    /// A password that nobody asks for.
    password: dumprestore_driver::Secret,
    /// The promise that is broken.
    breaks: Option<String>,
}

impl DriverConfig for NotesConfig {
    const KIND: &'static str = "notes";
    const ABOUT: &'static str = "a folder of notes";
    const TARGET: Option<&'static str> = Some("path");

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        let password = self.password.reveal(cx)?.expose().to_owned();
        let breaks = Breaks { what: self.breaks.unwrap_or_default() };
        Ok(Arc::new(Notes { path: cx.path(&self.path), password, breaks }))
    }
}

/// Which promise is broken.
#[derive(Clone)]
pub(crate) struct Breaks {
    what: String,
}

impl Breaks {
    pub(crate) fn has(&self, what: &str) -> bool {
        self.what == what
    }
}

pub(crate) struct Notes {
    path: PathBuf,
    password: String,
    breaks: Breaks,
}

#[async_trait]
impl Driver for Notes {
    fn kind(&self) -> &'static str {
        if self.breaks.has("another kind") { "note" } else { NotesConfig::KIND }
    }

    fn formats(&self) -> Formats {
        if self.breaks.has("cannot read its own") {
            return Formats { writes: 2, reads: 1..=1 };
        }
        Formats { writes: 2, reads: 1..=2 }
    }

    fn capabilities(&self) -> Capabilities {
        let linked = Linked { referrer: !self.breaks.has("denies its keys"), referent: true };
        Capabilities::streamed()
            .with_view(View::Pinned)
            .with_undo(Undo::AfterCommit)
            .with_lanes(Lanes::Many)
            .with_linked(linked)
            .with_partial(Partial::Things(Placement::Beside))
            .with_in_place(InPlace::Yes { undo: Undo::BeforeCommit, lanes: Lanes::Many })
    }

    fn target(&self) -> String {
        if self.breaks.has("tells its password") {
            return format!("notes:{}@{}", self.password, self.path.display());
        }
        self.path.display().to_string()
    }

    fn check_keys(&self, keys: &Value) -> Result<()> {
        match keys.as_str() {
            Some("see") => Ok(()),
            _ if self.breaks.has("takes any keys") => Ok(()),
            _ => Err(Error::config("`keys` must be `see`")),
        }
    }

    async fn inspect(&self) -> Result<Inspection> {
        let mut inspection = Inspection::default();
        if self.breaks.has("inspect writes") {
            write(&self.path.with_file_name("inspected"), b"")?;
        }
        if !self.path.is_dir() && !self.breaks.has("sees no problem") {
            inspection.problems.push(Problem::no_dump("there is no such folder"));
        }
        Ok(inspection)
    }

    async fn open(&self, cx: OpenContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(NotesSource::new(self.path.clone(), cx, self.breaks.clone())))
    }

    async fn changes(&self, archived: Arc<dyn ArchivedNode>, cx: &StageContext) -> Result<Changes> {
        self.check(&cx.selection, &*archived)?;
        let live = read_all(&self.path).unwrap_or_default();
        let mut changes = Changes::of("notes");
        let mut kept = 0;
        for part in archived.parts().filter(|part| selected(&cx.selection, &part.name.unescape())) {
            match live.get(&part.name.unescape()) {
                None => changes.create += 1,
                Some(note) if digest(note) == part.digest => changes.unchanged += 1,
                Some(_) => changes.replace += 1,
            }
            kept += u64::from(live.contains_key(&part.name.unescape()));
        }
        let meant = live.keys().filter(|name| selected(&cx.selection, name)).count() as u64;
        changes.remove = meant - kept;
        if self.breaks.has("counts nothing") {
            changes.create = 7;
        }
        Ok(changes)
    }

    async fn stage(&self, archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>> {
        let extras = self.changes(archived.clone(), &cx).await?.remove;
        if cx.extras == Extras::Fail && extras > 0 && !self.breaks.has("ignores extras") {
            return Err(Error::unsupported(format!("{extras} notes are not in the archive")));
        }
        let mut staging = NotesStaging::new(self.path.clone(), self.breaks.clone(), cx);
        if !self.formats().reads.contains(&archived.format()) {
            return Err(Error::unsupported(format!("format {} of notes can't be read", archived.format())));
        }
        if archived.format() == 1 && !self.breaks.has("misreads the older format") {
            staging = staging.backwards();
        }
        if self.breaks.has("stage creates") {
            staging.begin().await?;
        }
        Ok(Box::new(staging))
    }

    async fn stage_previous(&self, kept: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        let run = kept.as_str().unwrap_or_default().to_owned();
        Ok(Box::new(NotesStaging::new(self.path.clone(), self.breaks.clone(), cx).over(run)))
    }

    async fn discard_previous(&self, kept: &Token) -> Result<()> {
        if self.breaks.has("never discards") {
            return Ok(());
        }
        let run = kept.as_str().unwrap_or_default();
        NotesStaging::new(self.path.clone(), self.breaks.clone(), StageContext::new(run)).discard()
    }

    async fn resume(&self, token: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(NotesStaging::resumed(self.path.clone(), self.breaks.clone(), token, cx)))
    }
}

impl Notes {
    fn check(&self, selection: &Selection, archived: &dyn ArchivedNode) -> Result<()> {
        let has = |thing: &String| archived.parts().any(|part| part.name.unescape() == thing.as_bytes());
        match selection.things.iter().find(|thing| !has(thing)) {
            Some(thing) if !self.breaks.has("selects nothing") => {
                Err(Error::config(format!("the archive has no note `{thing}`")))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a selection means the note of that name.
pub(crate) fn selected(selection: &Selection, name: &[u8]) -> bool {
    selection.things.is_empty() || selection.things.iter().any(|thing| thing.as_bytes() == name)
}

/// All notes of a folder.
pub(crate) fn read_all(folder: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    use std::os::unix::ffi::OsStringExt;
    let failed = |error| Error::io("can't read the notes", error);
    let mut notes = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        notes.insert(entry.file_name().into_vec(), fs::read(entry.path()).map_err(failed)?);
    }
    Ok(notes)
}

pub(crate) fn digest(note: &[u8]) -> Digest {
    Digest::new(sha2::Sha256::digest(note).into())
}

pub(crate) fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).map_err(|error| Error::io("can't write a note", error))
}

pub(crate) fn part_name(name: &[u8]) -> Result<PartName> {
    PartName::escape(name)
}

/// What the notes refer to: lines `see: NAME`.
pub(crate) fn keys(notes: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<Reference> {
    let lines = notes.values().flat_map(|note| note.split(|byte| *byte == b'\n'));
    lines.filter_map(|line| line.strip_prefix(b"see: ")).map(Reference::to).collect()
}

/// Which references are not among the notes.
pub(crate) fn resolve(
    notes: &BTreeMap<Vec<u8>, Vec<u8>>,
    references: &[Reference],
    breaks: &Breaks,
) -> Vec<Unresolved> {
    let answer = |reference: &Reference| match notes.get(reference.key.as_bytes()) {
        None if breaks.has("finds everything") => None,
        None => Some(Unresolved::new(reference.clone(), Why::Missing)),
        Some(note) => {
            let expected = reference.digest.filter(|_| !breaks.has("ignores digests"))?;
            let found = digest(note);
            (found != expected).then(|| Unresolved::new(reference.clone(), Why::Differs(found)))
        }
    };
    references.iter().filter_map(answer).collect()
}
