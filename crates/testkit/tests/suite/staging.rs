//! Restoring notes: a folder beside, and two renames.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use dumprestore_driver::{
    ArchivedPart, Edge, Error, Extras, KeySink, Links, OldState, PartReader, Placement, Reference, Result,
    Selection, StageContext, Staging, Token, Unresolved, async_trait,
};
use serde_json::json;

use crate::notes::{Breaks, keys, read_all, resolve, selected};

pub(crate) struct NotesStaging {
    live: PathBuf,
    breaks: Breaks,
    run: String,
    extras: Extras,
    in_place: bool,
    selection: Selection,
    over: Option<String>,
    committed: bool,
    backwards: bool,
}

impl NotesStaging {
    pub(crate) fn new(live: PathBuf, breaks: Breaks, cx: StageContext) -> Self {
        Self {
            live,
            breaks,
            run: cx.run,
            extras: cx.extras,
            in_place: cx.placement == Placement::InPlace,
            selection: cx.selection,
            over: None,
            committed: false,
            backwards: false,
        }
    }

    /// Reads notes of format 1.
    pub(crate) fn backwards(mut self) -> Self {
        self.backwards = true;
        self
    }

    /// Puts back what the run `over` kept.
    pub(crate) fn over(mut self, over: String) -> Self {
        self.over = Some(over);
        self
    }

    pub(crate) fn resumed(live: PathBuf, breaks: Breaks, token: &Token, cx: StageContext) -> Self {
        let text = |name: &str| token[name].as_str().map(str::to_owned);
        let run =
            if breaks.has("forgets its run") { cx.run.clone() } else { text("run").unwrap_or_default() };
        let committed = token["committed"].as_bool() == Some(true);
        Self {
            live,
            breaks,
            run,
            extras: cx.extras,
            in_place: token["in_place"].as_bool() == Some(true),
            selection: Selection::default(),
            over: text("over"),
            committed,
            backwards: false,
        }
    }

    fn of(&self, run: &str, what: &str) -> PathBuf {
        self.live.with_file_name(format!(".{run}.{what}"))
    }

    fn folder(&self, what: &str) -> PathBuf {
        self.of(&self.run, what)
    }

    pub(crate) fn discard(&self) -> Result<()> {
        remove(&self.folder("previous"))
    }

    /// Copies what stays as it is: extras, or what is not selected.
    fn keep_the_rest(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.live)? {
            let entry = entry?;
            let is_selected = selected(&self.selection, &entry.file_name().into_vec());
            if is_selected && self.extras != Extras::Keep {
                continue;
            }
            let new = self.folder("new").join(entry.file_name());
            if !new.exists() {
                fs::copy(entry.path(), new)?;
            }
        }
        Ok(())
    }

    fn swap(&mut self) -> io::Result<()> {
        let (new, old) = (self.folder("new"), self.folder("old"));
        if self.breaks.has("commits twice") && self.committed {
            return fs::rename(&new, &self.live);
        }
        if self.in_place && new.exists() {
            fs::write(self.folder("done"), "")?;
        }
        if new.exists() {
            if self.breaks.has("swaps slowly") {
                return self.swap_slowly(&new);
            }
            if self.live.exists() {
                fs::rename(&self.live, &old)?;
            }
            fs::rename(&new, &self.live)?;
        }
        self.committed = true;
        // In place there is no way back from here.
        if self.in_place { remove_all(&old) } else { Ok(()) }
    }

    fn is_in_effect(&self) -> bool {
        self.folder("done").exists() && !self.folder("new").exists()
    }

    /// In place, file by file: no crash inside of it can be undone.
    fn swap_slowly(&mut self, new: &Path) -> io::Result<()> {
        fs::create_dir_all(self.folder("old"))?;
        for entry in fs::read_dir(&self.live)? {
            let entry = entry?;
            fs::copy(entry.path(), self.folder("old").join(entry.file_name()))?;
            fs::remove_file(entry.path())?;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        for entry in fs::read_dir(new)? {
            let entry = entry?;
            fs::copy(entry.path(), self.live.join(entry.file_name()))?;
        }
        self.committed = true;
        fs::remove_dir_all(new)
    }

    fn undo(&self) -> io::Result<()> {
        let (new, old) = (self.folder("new"), self.folder("old"));
        if self.breaks.has("undoes only what it knows of") && !self.committed {
            return remove_all(&new);
        }
        if old.exists() {
            remove_all(&self.live)?;
            fs::rename(&old, &self.live)?;
        }
        let _done = fs::remove_file(self.folder("done"));
        if self.breaks.has("leaves the staging") { Ok(()) } else { remove_all(&new) }
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("can't restore the notes", error)
}

fn remove_all(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove(folder: &Path) -> Result<()> {
    remove_all(folder).map_err(failed)
}

#[async_trait]
impl Links for NotesStaging {
    async fn references(&self, _edge: &Edge, out: &mut KeySink<'_>) -> Result<()> {
        let staged =
            if self.breaks.has("answers for the live") { self.live.clone() } else { self.folder("new") };
        keys(&read_all(&staged)?).into_iter().try_for_each(|key| out.push(key))
    }

    async fn resolve(&self, _within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        Ok(resolve(&read_all(&self.folder("new"))?, references, &self.breaks))
    }
}

#[async_trait]
impl Staging for NotesStaging {
    fn journal(&self) -> Token {
        json!({ "run": self.run, "over": self.over, "committed": self.committed, "in_place": self.in_place })
    }

    async fn begin(&mut self) -> Result<()> {
        let new = self.folder("new");
        fs::create_dir_all(&new).map_err(failed)?;
        let Some(over) = &self.over else { return Ok(()) };
        for entry in fs::read_dir(self.of(over, "previous")).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            fs::copy(entry.path(), new.join(entry.file_name())).map_err(failed)?;
            if self.breaks.has("takes the previous state apart") {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn wants(&self, part: &ArchivedPart) -> bool {
        self.breaks.has("loads everything") || selected(&self.selection, &part.name.unescape())
    }

    async fn load(&self, part: &ArchivedPart, from: &mut PartReader<'_>) -> Result<()> {
        let into = if self.breaks.has("loads in place") { self.live.clone() } else { self.folder("new") };
        let path = into.join(std::ffi::OsString::from_vec(part.name.unescape()));
        let mut file = fs::File::create(path).map_err(failed)?;
        if self.breaks.has("stops at the size") {
            return io::copy(&mut from.take(part.size), &mut file).map(drop).map_err(failed);
        }
        if self.breaks.has("ignores the reader's error") {
            let _ = io::copy(from, &mut file);
            return Ok(());
        }
        let mut content = Vec::new();
        from.read_to_end(&mut content).map_err(failed)?;
        if self.backwards {
            content.reverse();
        }
        file.write_all(&content).map_err(failed)
    }

    async fn prepare(&mut self) -> Result<()> {
        let all_goes = self.extras != Extras::Keep && self.selection.is_whole();
        if all_goes || self.breaks.has("drops the rest") {
            Ok(())
        } else {
            self.keep_the_rest().map_err(failed)
        }
    }

    async fn commit(&mut self) -> Result<()> {
        if self.breaks.has("commits nothing") {
            return Ok(());
        }
        self.swap().map_err(failed)
    }

    async fn took_effect(&mut self) -> Result<Option<bool>> {
        Ok(Some(self.is_in_effect() && !self.breaks.has("forgets its effect")))
    }

    async fn rollback(&mut self) -> Result<()> {
        if self.in_place && self.is_in_effect() {
            return Err(Error::stuck("what was restored in place stays").with_hint("restore it again"));
        }
        if self.breaks.has("cannot undo, and says nothing") && self.committed {
            return Ok(());
        }
        if self.breaks.has("rolls back once") && !self.folder("new").exists() && !self.folder("old").exists()
        {
            return Err(Error::defect("there is nothing to roll back"));
        }
        self.undo().map_err(failed)
    }

    async fn finish(&mut self, old: OldState) -> Result<Option<Token>> {
        let (previous, set_aside) = (self.folder("previous"), self.folder("old"));
        if self.breaks.has("finishes once") && !set_aside.exists() {
            return Err(Error::defect("there is nothing to finish"));
        }
        if self.breaks.has("drops the old state first") && set_aside.exists() {
            let aside = self.folder("aside");
            fs::rename(&set_aside, &aside).map_err(failed)?;
            std::thread::sleep(std::time::Duration::from_millis(20));
            fs::rename(&aside, &set_aside).map_err(failed)?;
        }
        if old == OldState::Keep && set_aside.exists() {
            fs::rename(&set_aside, &previous).map_err(failed)?;
        }
        if !self.breaks.has("leaves the old state") {
            remove(&set_aside)?;
        }
        if let Some(over) = &self.over {
            remove(&self.of(over, "previous"))?;
        }
        let _done = fs::remove_file(self.folder("done"));
        Ok((old == OldState::Keep && previous.exists()).then(|| json!(self.run)))
    }
}
