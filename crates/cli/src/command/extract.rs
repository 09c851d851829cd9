//! `extract`.

use std::io::{Read, Write};
use std::path::PathBuf;

use clap::Args;
use dumprestore::archive::{Existing, Node, Part};
use dumprestore::{Cancel, Error, OpenArchive, Result};
use serde_json::json;

use crate::archives;
use crate::console::{bytes, counted};
use crate::exit::Exit;
use crate::extraction::ExtractionFolder;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore extract shop.zip uploads -o /tmp/x   into /tmp/x/uploads/...
  dumprestore extract shop.zip uploads/files/2024  all parts below that
  dumprestore extract shop.zip uploads/files/logo.png -o - > logo.png

Parts are written as they stand in the archive, under the names that they have there, readable by you only. Nothing is written outside of the folder, nor through a symbolic link. Any unzip tool can do the same.";

/// Take a node, or parts of one, out of an archive
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Extract {
    /// The archive's file, or `latest`
    archive: PathBuf,
    /// The node, or a part of it, or what lies below that
    #[arg(value_name = "NODE[/PART]")]
    what: String,
    /// The folder, or `-` for standard output
    #[arg(short, long, value_name = "FOLDER|-", default_value = ".")]
    output: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

impl Extract {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        let archive = archives::open(session, &self.archive)?;
        let to_stdout = self.output.as_os_str() == "-";
        if to_stdout {
            session.console.give_up_stdout();
        }
        let cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Ends)?;
        let folder = self.output.clone();
        let work = tokio::task::spawn_blocking(move || {
            if to_stdout { self.to_stdout(&archive, &cancel) } else { self.to_folder(&archive, &cancel) }
        });
        let (parts, size) =
            work.await.map_err(|error| Error::defect("extracting panicked").with_source(error))??;
        session.console.note(format_args!(
            "ok: {} with {}{}",
            counted(parts, "part"),
            bytes(size),
            if to_stdout { String::new() } else { format!(", into {}", folder.display()) }
        ));
        session.ended(Exit::Ok, &json!({ "parts": parts, "bytes": size, "output": folder }))
    }

    fn to_stdout(&self, archive: &OpenArchive, cancel: &Cancel) -> Result<(u64, u64)> {
        let mut chosen = choose(archive, &self.what)?;
        let (node, part) = chosen.next().transpose()?.ok_or_else(|| self.no_part())?;
        let more = chosen.try_fold(0, |more, part| part.map(|_| more + 1))?;
        if more > 0 {
            return Err(Error::config(format!(
                "{} can't go to standard output: only one can",
                counted(more + 1, "part")
            ))
            .with_hint("name one part, or a folder with `-o`"));
        }
        let mut stdout = archives::StdoutStream::new()?;
        copy(archive, &node, &part, cancel, &mut stdout)?;
        Ok((1, part.size))
    }

    fn to_folder(&self, archive: &OpenArchive, cancel: &Cancel) -> Result<(u64, u64)> {
        let mut chosen = choose(archive, &self.what)?.peekable();
        if chosen.peek().is_none() {
            return Err(self.no_part());
        }
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        let folder = ExtractionFolder::create(&self.output, existing)?;
        let (mut parts, mut size) = (0, 0);
        for chosen in chosen {
            let (node, part) = chosen?;
            cancel.check()?;
            let name = format!("{}/{}", node.replace('.', "/"), part.name);
            folder.write(&name, |file| copy(archive, &node, &part, cancel, file))?;
            parts += 1;
            size += part.size;
        }
        Ok((parts, size))
    }

    fn no_part(&self) -> Error {
        Error::config(format!("the archive has no part `{}`", self.what.escape_debug()))
            .with_hint("`unzip -l` lists all of them")
    }
}

/// A node's path, and a part of it.
type Chosen = (String, Part);

/// The parts that are meant: of a node and all below it, or of a node those of that name and below.
fn choose(archive: &OpenArchive, what: &str) -> Result<impl Iterator<Item = Result<Chosen>> + use<>> {
    let manifest = archive.archive().manifest();
    let (path, part) = match what.trim_end_matches('/').split_once('/') {
        Some((path, part)) => (path, Some(part.to_owned())),
        None => (what.trim_end_matches('/'), None),
    };
    let is_meant = |node: &&Node| is_at_or_below(&node.path, path, '.');
    let nodes: Vec<&Node> = manifest.nodes.iter().filter(is_meant).collect();
    if nodes.is_empty() {
        let all: Vec<_> = manifest.nodes.iter().map(|node| format!("`{}`", node.path)).collect();
        return Err(Error::config(format!("the archive has no node `{}`", path.escape_debug()))
            .with_hint(format!("it has {}", all.join(", "))));
    }
    // A part is of one node; the nodes below it have names of their own.
    let nodes = nodes.into_iter().filter(|node| part.is_none() || node.path == path);
    let lists = nodes.map(|node| archive.archive().parts(&node.path).map(|parts| (node.path.clone(), parts)));
    let lists: Vec<_> = lists.collect::<Result<_, _>>().map_err(archives::unreadable)?;
    let parts = lists.into_iter().flat_map(|(path, parts)| {
        parts.map(move |part| part.map(|part| (path.clone(), part)).map_err(archives::unreadable))
    });
    let is_part = move |name: &str| part.as_deref().is_none_or(|part| is_at_or_below(name, part, '/'));
    Ok(parts.filter(move |chosen| chosen.as_ref().map_or(true, |(_, part)| is_part(&part.name))))
}

fn is_at_or_below(name: &str, top: &str, separator: char) -> bool {
    name.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with(separator))
}

/// Copies one part; what was read is proved before its last byte is handed out.
fn copy(archive: &OpenArchive, node: &str, part: &Part, cancel: &Cancel, to: &mut dyn Write) -> Result<()> {
    let mut reader = archive.archive().read(node, part).map_err(archives::unreadable)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        cancel.check()?;
        let read = reader.read(&mut buffer).map_err(|error| archives::unreadable(error.into()))?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).map_err(|error| Error::io("can't write a part", error))?;
    }
}
