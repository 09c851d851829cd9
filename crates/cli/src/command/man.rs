//! `man`.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use dumprestore::{Error, Result};
use serde_json::json;

use super::Arguments;
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore man | man -l -
  dumprestore man -o /usr/local/share/man/man1";

/// Print the manual page, or write one for each command
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Man {
    /// A folder that is there, for `dumprestore.1`, `dumprestore-dump.1`, ...
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, session: &Session) -> Result<Ended> {
        let mut command = Arguments::command();
        command.build();
        let Some(folder) = self.output else {
            let page = String::from_utf8_lossy(&page(command)?).into_owned();
            session.console.print(&page)?;
            return session.ended(Exit::Ok, &json!({ "page": page }));
        };
        let mut written = vec![write(&folder, "dumprestore", command.clone())?];
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let name = format!("dumprestore-{}", sub.get_name());
            written.push(write(&folder, &name, sub.clone())?);
        }
        written.iter().try_for_each(|path| session.console.print(path.display()))?;
        session.ended(Exit::Ok, &json!({ "written": written }))
    }
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|error| Error::io("can't make the manual page", error))?;
    Ok(page)
}

fn write(folder: &Path, name: &str, command: clap::Command) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page(command)?).map_err(|error| {
        Error::io("can't write a manual page", error).with_context("file", path.display())
    })?;
    Ok(path)
}
