//! `extract --sql`.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

use dumprestore::archive::Existing;
use dumprestore::{Cancel, Content, Error, OpenArchive, Registry, Result, Selection};
use serde_json::json;

use crate::archives;
use crate::console::bytes;
use crate::exit::Exit;
use crate::extraction::ExtractionFolder;
use crate::session::{Ended, Session};

/// What is written as SQL, and where to.
pub(crate) struct Script {
    /// `NODE`, or `NODE:THING`.
    pub(crate) what: String,
    pub(crate) content: Content,
    pub(crate) output: PathBuf,
    pub(crate) force: bool,
}

pub(crate) async fn run(script: &Script, archive: OpenArchive, session: &Session) -> Result<Ended> {
    let (node, selection) = script.meant()?;
    if !archive.archive().manifest().nodes.iter().any(|archived| archived.path == node) {
        return Err(super::extract::no_node(&archive, &node));
    }
    let to_stdout = script.output.as_os_str() == "-";
    if to_stdout {
        session.console.give_up_stdout();
    }
    let cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Ends)?;
    let job = Job { registry: session.registry.clone(), archive, node, selection, cancel };
    let (output, force) = (script.output.clone(), script.force);
    let work = tokio::task::spawn_blocking(move || {
        if to_stdout {
            job.write(&mut archives::StdoutStream::new()?)
        } else {
            job.write_file(&output, force)
        }
    });
    let written = work.await.map_err(|error| Error::defect("exporting panicked").with_source(error))??;
    let place = if to_stdout { String::new() } else { format!(", into {}", script.output.display()) };
    session.console.note(format_args!("ok: {} of SQL{place}", bytes(written)));
    session.ended(Exit::Ok, &json!({ "bytes": written, "output": script.output }))
}

impl Script {
    fn meant(&self) -> Result<(String, Selection)> {
        let (node, things) = match self.what.split_once(':') {
            Some((_, "")) => {
                return Err(Error::config(format!(
                    "`{}` names no thing after `:`",
                    self.what.escape_debug()
                ))
                .with_hint("leave the `:` out for the whole node"));
            }
            Some((node, thing)) => (node, vec![thing.to_owned()]),
            None => (self.what.as_str(), Vec::new()),
        };
        if node.contains('/') {
            return Err(Error::config("a part alone is no SQL").with_hint("name a node, or `NODE:THING`"));
        }
        Ok((node.to_owned(), Selection::of(things).with_content(self.content)))
    }
}

struct Job {
    registry: Registry,
    archive: OpenArchive,
    node: String,
    selection: Selection,
    cancel: Cancel,
}

impl Job {
    /// How many bytes were written.
    fn write(&self, out: &mut (dyn Write + Send)) -> Result<u64> {
        let mut counted = Counted { out, cancel: &self.cancel, bytes: 0 };
        self.registry.export_sql(&self.archive, &self.node, &self.selection, &mut counted)?;
        counted.flush().map_err(|error| Error::io("can't write the script", error))?;
        Ok(counted.bytes)
    }

    /// The file appears when the whole script is written.
    fn write_file(&self, path: &Path, force: bool) -> Result<u64> {
        let name = path.file_name().and_then(OsStr::to_str).filter(|_| !path.is_dir()).ok_or_else(|| {
            Error::config("`--output` must name a file for the script").with_context("output", path.display())
        })?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let existing = if force { Existing::Replace } else { Existing::Keep };
        let mut written = 0;
        let folder = ExtractionFolder::create(folder, existing)?;
        folder.write(name, |file| {
            let mut buffered = std::io::BufWriter::with_capacity(256 << 10, file);
            written = self.write(&mut buffered)?;
            Ok(())
        })?;
        folder.finish()?;
        Ok(written)
    }
}

/// Counts what is written, and heeds the wish to stop.
struct Counted<'a> {
    out: &'a mut (dyn Write + Send),
    cancel: &'a Cancel,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.cancel.check()?;
        let written = self.out.write(data)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
