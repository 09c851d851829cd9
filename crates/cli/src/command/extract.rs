//! `extract`.

use std::io::{Read, Write};
use std::path::PathBuf;

use clap::Args;
use dumprestore::archive::{Existing, Node, Part};
use dumprestore::driver::closest;
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
  dumprestore extract shop.zip db --sql -o db.sql  a database as one SQL script, where its driver has that
  dumprestore extract shop.zip db:public.orders --sql -o - | psql -v ON_ERROR_STOP=1 shop

Parts are written as they stand in the archive, under the names that they have there, readable by you only. Nothing is written outside of the folder, nor through a symbolic link. Any unzip tool can do the same.";

/// Take a node, or parts of one, out of an archive
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Extract {
    /// The archive: a file, a URL, a name, `latest` or `SET@TIME`
    archive: PathBuf,
    /// The node, or a part of it, or what lies below that
    #[arg(value_name = "NODE[/PART]")]
    what: String,
    /// The folder, or with `--sql` the file, which must then be named; `-` for standard output
    #[arg(short, long, value_name = "FOLDER|-", default_value = ".", required_if_eq("sql", "true"))]
    output: PathBuf,
    /// Write the node, or with `NODE:THING` a thing of it, as one SQL script
    #[arg(long)]
    sql: bool,
    /// With `--sql`: only definitions, without data
    #[arg(long, requires = "sql", conflicts_with = "data_only")]
    schema_only: bool,
    /// With `--sql`: only data
    #[arg(long, requires = "sql")]
    data_only: bool,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

impl Extract {
    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        let archive = archives::open(session, &self.archive)?;
        if self.sql {
            return super::sql::run(&self.script(), archive, session).await;
        }
        let to_stdout = self.output.as_os_str() == "-";
        if to_stdout {
            session.console.give_up_stdout();
        }
        let cancel = crate::interrupt::watch(&session.console, crate::interrupt::Second::Ends)?;
        let folder = self.output.clone();
        let (node, part) = split_part(&self.what);
        let advice = (!to_stdout && part.is_none() && is_of_files(&archive, node)).then(|| {
            format!(
                "these are contents alone: `dumprestore restore ARCHIVE --only {node} --map {node}=FOLDER` brings names, \
                 links, modes and times back too"
            )
        });
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
        if let Some(advice) = advice {
            session.console.note(format_args!("note: {advice}"));
        }
        session.ended(Exit::Ok, &json!({ "parts": parts, "bytes": size, "output": folder }))
    }

    fn script(&self) -> super::sql::Script {
        super::sql::Script {
            what: self.what.clone(),
            content: super::restore::content(self.schema_only, self.data_only),
            output: self.output.clone(),
            force: self.force,
        }
    }

    fn to_stdout(&self, archive: &OpenArchive, cancel: &Cancel) -> Result<(u64, u64)> {
        let mut chosen = choose(archive, &self.what)?;
        let (node, part) = chosen.next().transpose()?.ok_or_else(|| no_part(archive, &self.what))?;
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
            return Err(no_part(archive, &self.what));
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
        folder.finish()?;
        Ok((parts, size))
    }
}

/// As many names as are compared with one that is not there.
const NAMES_COMPARED: usize = 20_000;

/// The archive has the node, but not that part of it.
fn no_part(archive: &OpenArchive, what: &str) -> Error {
    let Some((path, name)) = what.trim_end_matches('/').split_once('/') else {
        return Error::config(format!("`{}` has no parts in the archive", what.escape_debug()))
            .with_hint(INSPECT);
    };
    let mut names: Vec<String> = Vec::new();
    for part in archive.archive().parts(path).into_iter().flatten().flatten().take(NAMES_COMPARED) {
        // Folders can be named as well as parts.
        let folder = part.name.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        names.extend(folder.filter(|folder| names.last() != Some(folder)));
        names.push(part.name.to_string());
    }
    let error = Error::config(format!("the archive has no part `{}`", what.escape_debug()));
    // People remember how a file is called, and not where drivers put it.
    let ends_so = |full: &&str| full.strip_suffix(name).is_some_and(|rest| rest.ends_with('/'));
    let by_its_end = names.iter().map(String::as_str).find(ends_so);
    match by_its_end.or_else(|| closest(name, names.iter().map(String::as_str))) {
        Some(meant) if !is_of_files(archive, path) => {
            error.with_hint(format!("did you mean `{path}/{meant}`? `unzip -l` lists all parts"))
        }
        Some(meant) => error.with_hint(format!("did you mean `{path}/{meant}`? {}", links_too(path))),
        None if is_of_files(archive, path) => error.with_hint(format!("{INSPECT}; {}", links_too(path))),
        None => error.with_hint(format!("{INSPECT}; `unzip -l` lists all parts")),
    }
}

/// `NODE/PART`.
fn split_part(what: &str) -> (&str, Option<&str>) {
    match what.trim_end_matches('/').split_once('/') {
        Some((path, part)) => (path, Some(part)),
        None => (what.trim_end_matches('/'), None),
    }
}

/// Whether the parts of a node are contents of files, and the rest of it is not among them.
fn is_of_files(archive: &OpenArchive, path: &str) -> bool {
    let is_meant = |node: &&Node| is_at_or_below(&node.path, path, '.');
    archive.archive().manifest().nodes.iter().filter(is_meant).any(|node| node.driver == "filesystem")
}

fn links_too(path: &str) -> String {
    format!(
        "links, further names of hard links and empty folders are no parts: `dumprestore restore ARCHIVE --only {path} \
         --map {path}=FOLDER` brings them back too"
    )
}

/// A node's path, and a part of it.
type Chosen = (String, Part);

/// The parts that are meant: of a node and all below it, or of a node those of that name and below.
fn choose(archive: &OpenArchive, what: &str) -> Result<impl Iterator<Item = Result<Chosen>> + use<>> {
    let manifest = archive.archive().manifest();
    let (path, part) = split_part(what);
    let part = part.map(str::to_owned);
    let is_meant = |node: &&Node| is_at_or_below(&node.path, path, '.');
    let nodes: Vec<&Node> = manifest.nodes.iter().filter(is_meant).collect();
    if nodes.is_empty() {
        return Err(no_node(archive, path));
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

/// The archive has no such node.
pub(crate) fn no_node(archive: &OpenArchive, path: &str) -> Error {
    let nodes = &archive.archive().manifest().nodes;
    let error = Error::config(format!("the archive has no node `{}`", path.escape_debug()));
    match closest(path, nodes.iter().map(|node| node.path.as_str())) {
        Some(meant) => error.with_hint(format!("did you mean `{meant}`? {INSPECT}")),
        None => {
            let all: Vec<_> = nodes.iter().take(12).map(|node| format!("`{}`", node.path)).collect();
            error.with_hint(format!("it has {}; {INSPECT}", all.join(", ")))
        }
    }
}

const INSPECT: &str = "`dumprestore inspect` shows what an archive holds";

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
