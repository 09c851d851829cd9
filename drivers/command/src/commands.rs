//! The commands of one node, and the surroundings that they run in.

use std::path::PathBuf;
use std::time::Duration;

use dumprestore_driver::{Cancel, Error, NodePath, Result, Revealed};

use crate::argv::Argv;
use crate::process::{Job, Process, Streams};

/// How long `freeze` and `thaw` may take if nobody says otherwise: the application stands still meanwhile.
const FREEZE_LIMIT: Duration = Duration::from_secs(60);

/// The commands of one node.
pub(crate) struct Commands {
    pub(crate) node: NodePath,
    pub(crate) dump: Argv,
    pub(crate) restore: Argv,
    pub(crate) freeze: Option<Argv>,
    pub(crate) thaw: Option<Argv>,
    pub(crate) limit: Option<Duration>,
    pub(crate) env: Vec<(String, Revealed)>,
    pub(crate) cwd: PathBuf,
    pub(crate) allow_empty: bool,
}

impl Commands {
    /// Starts the dump.
    pub(crate) fn start_dump(&self, run: &str, cancel: &Cancel) -> Result<Process> {
        let job = Job { what: "dump", argv: &self.dump, limit: self.limit, cancel: Some(cancel) };
        Process::start(self, job, run, Streams::Dump, &[])
    }

    /// Starts the restore of a stream of that size and digest.
    pub(crate) fn start_restore(
        &self,
        run: &str,
        cancel: &Cancel,
        input: std::io::PipeReader,
        expected: [(&'static str, String); 2],
    ) -> Result<Process> {
        let job = Job { what: "restore", argv: &self.restore, limit: self.limit, cancel: Some(cancel) };
        Process::start(self, job, run, Streams::Restore(input), &expected)
    }

    /// Stops the writers.
    pub(crate) async fn freeze(&self, run: &str, cancel: &Cancel) -> Result<()> {
        self.run_to_end("freeze", self.freeze.as_ref(), run, Some(cancel)).await
    }

    /// Lets the writers go on, also when the run is to stop.
    pub(crate) async fn thaw(&self, run: &str) -> Result<()> {
        self.run_to_end("thaw", self.thaw.as_ref(), run, None).await
    }

    async fn run_to_end(
        &self,
        what: &'static str,
        argv: Option<&Argv>,
        run: &str,
        cancel: Option<&Cancel>,
    ) -> Result<()> {
        let Some(argv) = argv else { return Ok(()) };
        let job = Job { what, argv, limit: Some(self.limit.unwrap_or(FREEZE_LIMIT)), cancel };
        Process::start(self, job, run, Streams::None, &[])?.end().await
    }

    /// An error about one of the commands. Of its arguments nothing is told: they may hold what is nobody's business.
    pub(crate) fn error(what: &str, argv: &Argv, message: &str) -> Error {
        Error::environment(format!("the {what} command {message}")).with_context("program", &argv.program)
    }
}
