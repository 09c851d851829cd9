//! The driver: what it can do, and what it sees beforehand.

use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, Capabilities, Changes, Driver, DriverConfig, Error, Formats, Inspection, OpenContext,
    Problem, Result, Source, StageContext, Staging, Token, async_trait,
};

use crate::CommandConfig;
use crate::commands::Commands;
use crate::source::CommandSource;
use crate::staging::{CommandStaging, State};

/// The name of the one stream.
pub(crate) const PART: &str = "stream";

/// A node that commands dump and restore.
pub(crate) struct Command(pub(crate) Arc<Commands>);

#[async_trait]
impl Driver for Command {
    fn kind(&self) -> &'static str {
        CommandConfig::KIND
    }

    fn formats(&self) -> Formats {
        Formats::only(1)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::streamed()
    }

    fn target(&self) -> String {
        self.0.restore.program.clone()
    }

    async fn inspect(&self) -> Result<Inspection> {
        let commands = self.0.clone();
        tokio::task::spawn_blocking(move || look(&commands))
            .await
            .map_err(|error| Error::defect("the inspection panicked").with_source(error))
    }

    async fn open(&self, cx: OpenContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(CommandSource::new(self.0.clone(), cx)))
    }

    async fn thaw(&self) -> Result<()> {
        self.0.thaw("recover").await
    }

    async fn changes(&self, archived: Arc<dyn ArchivedNode>, _cx: &StageContext) -> Result<Changes> {
        let mut changes = Changes::of("streams");
        changes.replace = archived.parts().count() as u64;
        changes
            .notes
            .push(format!("`{}` is run last, and what it does can't be undone", self.0.restore.program));
        Ok(changes)
    }

    async fn stage(&self, _archived: Arc<dyn ArchivedNode>, cx: StageContext) -> Result<Box<dyn Staging>> {
        Ok(Box::new(CommandStaging::new(self.0.clone(), cx, State::Untouched)))
    }

    async fn resume(&self, token: &Token, cx: StageContext) -> Result<Box<dyn Staging>> {
        let state = serde_json::from_value(token.clone())
            .map_err(|error| Error::defect("the token is not one of a command").with_source(error))?;
        Ok(Box::new(CommandStaging::new(self.0.clone(), cx, state)))
    }
}

fn look(commands: &Commands) -> Inspection {
    let mut inspection = Inspection::default();
    if !commands.cwd.is_dir() {
        let message = format!("the folder `{}` to run the commands in is not there", commands.cwd.display());
        inspection.problems.push(Problem::error(message).with_hint("check `cwd`"));
        return inspection;
    }
    inspection.problems.extend(commands.problem("dump", Some(&commands.dump), Problem::no_dump));
    inspection.problems.extend(commands.problem("freeze", commands.freeze.as_ref(), Problem::no_dump));
    inspection.problems.extend(commands.problem("thaw", commands.thaw.as_ref(), Problem::no_dump));
    inspection.problems.extend(commands.problem("restore", Some(&commands.restore), Problem::no_restore));
    for (what, argv) in [("dump", &commands.dump), ("restore", &commands.restore)] {
        if let Ok(program) = commands.find(what, argv) {
            inspection.facts.insert(format!("{what}_program"), program.display().to_string());
        }
    }
    inspection
}
