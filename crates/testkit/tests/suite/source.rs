//! Dumping notes: a pin copies them into memory, as they are few.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use dumprestore_driver::{
    CutContext, Dumped, Edge, Error, KeySink, Links, OpenContext, Part, PartStream, PartWriter, Reference,
    Result, Source, Unresolved, async_trait, part_stream,
};

use crate::notes::{Breaks, keys, part_name, read_all, resolve};

pub(crate) struct NotesSource {
    path: PathBuf,
    cx: OpenContext,
    breaks: Breaks,
    pinned: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl NotesSource {
    pub(crate) fn new(path: PathBuf, cx: OpenContext, breaks: Breaks) -> Self {
        Self { path, cx, breaks, pinned: BTreeMap::new() }
    }

    fn notes(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        if self.breaks.has("pins nothing") { read_all(&self.path) } else { Ok(self.pinned.clone()) }
    }
}

#[async_trait]
impl Links for NotesSource {
    async fn references(&self, _edge: &Edge, out: &mut KeySink<'_>) -> Result<()> {
        let notes = if self.breaks.has("live keys") { read_all(&self.path)? } else { self.notes()? };
        keys(&notes).into_iter().try_for_each(|key| out.push(key))
    }

    async fn resolve(&self, _within: Option<&str>, references: &[Reference]) -> Result<Vec<Unresolved>> {
        Ok(resolve(&self.notes()?, references, &self.breaks))
    }
}

#[async_trait]
impl Source for NotesSource {
    async fn pin(&mut self, _cut: &CutContext) -> Result<()> {
        if self.breaks.has("empty when gone") && !self.path.exists() {
            return Ok(());
        }
        if self.pinned.is_empty() || !self.breaks.has("pins once") {
            self.pinned = read_all(&self.path)?;
        }
        if self.breaks.has("marks the source") {
            crate::notes::write(&self.path.with_file_name("being dumped"), b"")?;
        }
        if self.breaks.has("leaves scratch") {
            crate::notes::write(&self.cx.scratch.join("scratch"), b"")?;
        }
        Ok(())
    }

    async fn unpin(&mut self) -> Result<()> {
        Ok(())
    }

    async fn parts(&mut self) -> Result<PartStream> {
        let names = self.notes()?;
        let parts: Result<Vec<Part>> = names.keys().map(|name| Ok(Part::new(part_name(name)?))).collect();
        Ok(part_stream(parts?))
    }

    async fn dump(&self, part: &Part, out: &mut PartWriter<'_>) -> Result<Dumped> {
        if !self.breaks.has("deaf to cancel") {
            self.cx.cancel.check()?;
        }
        let notes = self.notes()?;
        let Some(note) = notes.get(&part.name.unescape()) else { return Ok(Dumped::Gone) };
        if self.breaks.has("drops an empty note") && note.is_empty() {
            return Ok(Dumped::Gone);
        }
        let short = usize::from(self.breaks.has("loses a byte") && !note.is_empty());
        for piece in note[..note.len() - short].chunks(64 * 1024) {
            match out.write_all(piece) {
                Err(_) if self.breaks.has("swallows the writer's error") => {
                    return Ok(Dumped::Whole { rows: None });
                }
                Err(error) if self.breaks.has("rewrites the writer's error") => {
                    return Err(Error::defect(error.to_string()));
                }
                written => written.map_err(|error| Error::io("can't dump a note", error))?,
            }
        }
        Ok(Dumped::Whole { rows: None })
    }

    async fn release(&mut self) -> Result<()> {
        let _ = std::fs::remove_file(self.path.with_file_name("being dumped"));
        if self.breaks.has("release writes") {
            crate::notes::write(&self.path.with_file_name("released"), b"")?;
        }
        Ok(())
    }
}
