//! `inspect`.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use dumprestore::OpenArchive;
use dumprestore::Result;
use dumprestore::archive::{Archive, Edge, Manifest, Node, Status};

use crate::archives;
use crate::console::{bytes, count, counted, seconds};
use crate::exit::Exit;
use crate::session::{Ended, Report, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore inspect shop.zip
  dumprestore inspect latest --json | jq .report.nodes

Needs no configuration, except for `latest`. The manifest is also the entry `manifest.json` of the zip; `unzip -l` lists the rest. The content is not read: `verify` does.";

/// Of each list this much is shown; the manifest has more of it.
const SHOWN: usize = 20;

/// Show what is in an archive, and how it was made
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inspect {
    /// The archive: a file, a URL, a name, `latest` or `SET@TIME`
    archive: PathBuf,
}

impl Inspect {
    pub(crate) fn run(self, session: &Session) -> Result<Ended> {
        let archive = archives::open(session, &self.archive)?;
        session.console.print(Summary(&archive).render()?)?;
        Ok(Ended { exit: Exit::Ok, report: Some(Report::Manifest(archive)) })
    }
}

struct Summary<'a>(&'a OpenArchive);

impl Summary<'_> {
    fn render(&self) -> Result<String> {
        let manifest = self.0.archive().manifest();
        let mut text = String::new();
        self.head(&mut text, manifest);
        nodes(&mut text, self.0.archive())?;
        edges(&mut text, &manifest.edges);
        cuts(&mut text, manifest);
        ledger(&mut text, &manifest.nodes);
        Ok(text)
    }

    fn head(&self, text: &mut String, manifest: &Manifest) {
        let Self(archive) = self;
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<10} {value}");
        };
        line("archive", &format!("{}, {}", archive.label(), bytes(archive.archive().bytes())));
        line("set", &manifest.set);
        line("run", &format!("{}, by {} {}", manifest.run, manifest.tool.name, manifest.tool.version));
        if let Some(cut) = manifest.cut {
            line("as of", &archives::utc(cut));
        }
        line("sealed", &archives::utc(manifest.sealed));
        line("format", &manifest.format.to_string());
        line(
            "sha256",
            &format!("{} (of the manifest: it stands for the whole archive)", archive.archive().sha256()),
        );
    }
}

fn nodes(text: &mut String, archive: &Archive) -> Result<()> {
    let nodes = &archive.manifest().nodes;
    let width = nodes.iter().map(|node| node.path.len()).max().unwrap_or(0);
    let _ = writeln!(text, "nodes");
    for node in nodes {
        let totals = archive.totals(&node.path).map_err(archives::unreadable)?;
        let status = match node.status {
            Status::Ok => "ok",
            Status::Degraded => "degraded",
            Status::Failed => "failed",
        };
        let _ = writeln!(
            text,
            "  {:<width$}  {:<10}  {status:<8}  {} of content in {}, stored in {}",
            node.path,
            node.driver,
            bytes(totals.size),
            counted(totals.parts, "part"),
            bytes(totals.stored),
        );
    }
    Ok(())
}

fn edges(text: &mut String, edges: &[Edge]) {
    if !edges.is_empty() {
        let _ = writeln!(text, "references");
    }
    for edge in edges {
        let verdict = if edge.keys.is_null() {
            "orders only: not certified".to_owned()
        } else if edge.certified {
            format!("certified: all {} resolve", count(edge.checked))
        } else if edge.dangling.total > 0 {
            format!("{} of {} dangle", count(edge.dangling.total), count(edge.checked))
        } else {
            "not checked".to_owned()
        };
        let _ = writeln!(text, "  {} -> {}  {verdict}", edge.from, edge.to);
        for key in edge.dangling.keys.iter().take(SHOWN) {
            let _ = writeln!(text, "    {key}");
        }
        more(text, edge.dangling.total, edge.dangling.keys.len());
    }
}

fn cuts(text: &mut String, manifest: &Manifest) {
    if !manifest.cuts.is_empty() {
        let _ = writeln!(text, "cuts");
    }
    for cut in &manifest.cuts {
        let width = (cut.to - cut.from).try_into().unwrap_or_default();
        let _ = writeln!(
            text,
            "  {}, {} wide: {} dangling, {}",
            archives::utc(cut.from),
            seconds(width),
            count(cut.dangling),
            cut.outcome
        );
    }
}

fn ledger(text: &mut String, nodes: &[Node]) {
    for node in nodes.iter().filter(|node| !node.ledger.is_empty()) {
        let _ = writeln!(text, "ledger of {}", node.path);
        for entry in node.ledger.iter().take(SHOWN) {
            let _ = writeln!(text, "  {}: {}", entry.path, entry.why);
        }
        more(text, node.ledger.len() as u64, node.ledger.len());
    }
}

/// What is not shown of a list of that length, and how much of that the manifest has.
fn more(text: &mut String, length: u64, listed: usize) {
    let hidden = length.saturating_sub(listed.min(SHOWN) as u64);
    if hidden == 0 {
        return;
    }
    let whole = listed as u64 >= length;
    let where_from = match listed.saturating_sub(SHOWN) as u64 {
        _ if whole => "`--json` has them".to_owned(),
        0 => "the archive does not list them".to_owned(),
        some => format!("`--json` has {} of them, and the archive does not list the rest", count(some)),
    };
    let _ = writeln!(text, "    and {} more: {where_from}", count(hidden));
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_not_shown_is_said_to_be_where_it_is() {
        for (length, listed, told) in [
            (20, 20, ""),
            (21, 21, "    and 1 more: `--json` has them\n"),
            (
                3000,
                1000,
                "    and 2,980 more: `--json` has 980 of them, and the archive does not list the rest\n",
            ),
            (30, 2, "    and 28 more: the archive does not list them\n"),
        ] {
            let mut text = String::new();
            super::more(&mut text, length, listed);
            assert_eq!(text, told);
        }
    }
}
