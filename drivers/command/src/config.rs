//! The options of a `command` node.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dumprestore_driver::{BuildContext, Driver, DriverConfig, Error, Result, Revealed, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::argv::{Argv, Limit};
use crate::commands::Commands;
use crate::driver::Command;

/// The options of a `command` node: whatever a command can dump, and a command can restore.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The command that writes the whole source to its standard output: the program and its arguments.
    dump: Argv,
    /// The command that replaces the whole source by what it reads from its standard input, up to the end. A pipeline
    /// (`gunzip | psql`) must compare what it got with `DUMPRESTORE_SIZE` or `DUMPRESTORE_SHA256` before it makes anything
    /// final: if dumprestore is killed, its input just ends.
    restore: Argv,
    /// Run at the cut, before anything is dumped: stops the writers. Needs `thaw`.
    #[serde(default)]
    freeze: Option<Argv>,
    /// Run after `freeze` when this node is dumped, or when that failed: lets the writers go on. It may be run when
    /// nothing is frozen, and more than once, and must end well then.
    #[serde(default)]
    thaw: Option<Argv>,
    /// After this long a command is stopped, and has failed: `30s`, `5m`, `1h 30m`. Without it, `freeze` and `thaw` have
    /// a minute, and `dump` and `restore` as long as they like.
    #[serde(default)]
    timeout: Option<Limit>,
    /// What is added to the environment of the commands: the place for passwords, as arguments can be seen by everybody.
    #[serde(default)]
    env: BTreeMap<String, Secret>,
    /// The folder that the commands run in; that of the configuration file if there is none.
    #[serde(default)]
    cwd: Option<PathBuf>,
    /// Whether a dump of no bytes at all is fine. Otherwise it is a failure, as it mostly is.
    #[serde(default)]
    allow_empty: bool,
}

impl DriverConfig for CommandConfig {
    const KIND: &'static str = "command";
    const ABOUT: &'static str = "anything that one command dumps and another restores";
    const TARGET: Option<&'static str> = None;

    fn build(self, cx: &BuildContext) -> Result<Arc<dyn Driver>> {
        if self.freeze.is_some() != self.thaw.is_some() {
            let (given, missing) =
                if self.freeze.is_some() { ("freeze", "thaw") } else { ("thaw", "freeze") };
            return Err(Error::config(format!("`{given}` needs `{missing}`"))
                .with_hint(format!("add the command `{missing}`, or remove `{given}`")));
        }
        let cwd = self.cwd.map_or_else(|| cx.base.clone(), |cwd| cx.path(&cwd));
        Ok(Arc::new(Command(Arc::new(Commands {
            node: cx.node.clone(),
            dump: self.dump,
            restore: self.restore,
            freeze: self.freeze,
            thaw: self.thaw,
            limit: self.timeout.map(|limit| limit.0),
            env: reveal(self.env, cx)?,
            cwd,
            allow_empty: self.allow_empty,
        }))))
    }
}

fn reveal(env: BTreeMap<String, Secret>, cx: &BuildContext) -> Result<Vec<(String, Revealed)>> {
    env.into_iter()
        .map(|(name, value)| {
            if name.is_empty() || name.contains(['=', '\0']) {
                let message = format!("`{}` is not the name of an environment variable", name.escape_debug());
                return Err(Error::config(message).with_context("option", "env"));
            }
            let value = value.reveal(cx)?;
            if value.expose().contains('\0') {
                return Err(
                    Error::config("an environment variable can't hold a zero byte").with_context("env", name)
                );
            }
            Ok((name, value))
        })
        .collect()
}
