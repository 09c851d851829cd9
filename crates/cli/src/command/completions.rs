//! `completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use dumprestore::Result;
use serde_json::json;

use super::Arguments;
use crate::exit::Exit;
use crate::session::{Ended, Session};

const EXAMPLES: &str = "\
Examples:
  dumprestore completions bash > /etc/bash_completion.d/dumprestore
  dumprestore completions zsh > \"${fpath[1]}/_dumprestore\"
  dumprestore completions fish > ~/.config/fish/completions/dumprestore.fish";

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, session: &Session) -> Result<Ended> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "dumprestore", &mut script);
        let script = String::from_utf8_lossy(&script).into_owned();
        session.console.print(&script)?;
        session.ended(Exit::Ok, &json!({ "shell": self.shell.to_string(), "script": script }))
    }
}
