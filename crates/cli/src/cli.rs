//! The command line as a value: drivers are added, then it runs.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use dumprestore::{DriverConfig, Error, Registry, Result};

use crate::command::{Arguments, Command};
use crate::console::Console;
use crate::exit::Exit;
use crate::session::{Ended, Session};

/// The command line, with the drivers that it knows.
#[derive(Default)]
pub struct Cli {
    registry: Registry,
}

impl Cli {
    /// With the drivers that come with dumprestore.
    pub fn new() -> Self {
        Self { registry: crate::stock::stock_drivers() }
    }

    /// With no driver at all.
    pub fn without_drivers() -> Self {
        Self { registry: Registry::new().with_archives::<dumprestore_store::ArchiveOptions>() }
    }

    /// With one more driver. That two are called the same comes to light when a configuration is read.
    pub fn driver<C: DriverConfig>(mut self) -> Self {
        self.registry = self.registry.with::<C>();
        self
    }

    /// Runs the command that this process was started with.
    pub fn run(self) -> ExitCode {
        crate::memory::give_back_large_blocks();
        self.run_from(crate::env::arguments()).into()
    }

    /// Runs the command that `arguments` say, of which the first is the program's name. It reads and writes this
    /// process's environment, standard streams and signals.
    pub fn run_from<A: Into<OsString>>(self, arguments: impl IntoIterator<Item = A>) -> Exit {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        match Arguments::try_parse_from(&arguments) {
            Ok(parsed) => self.perform(parsed),
            Err(refusal) => refuse(&refusal, &arguments),
        }
    }

    fn perform(self, Arguments { global, command }: Arguments) -> Exit {
        let console = Arc::new(Console::new(&global));
        let name = command.name();
        let session = Session::new(self.registry, console.clone(), &global);
        let ended = match run(session, command) {
            Ok(ended) => ended,
            Err(error) => return console.fail(name, &error),
        };
        match console.finish(name, &ended) {
            Ok(()) => ended.exit,
            // What was done is done: a result that can't be printed must not make it look as if it were not.
            Err(error) => {
                console.warn(format_args!("done, but the result can't be printed: {error}"), None);
                if ended.exit == Exit::Ok { Exit::Degraded } else { ended.exit }
            }
        }
    }
}

fn run(session: Session, command: Command) -> Result<Ended> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("can't start the runtime", error))?;
    let changes_data = command.changes_data();
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(command.run(&session))));
    ended.unwrap_or_else(|_| Err(panicked(changes_data)))
}

/// What a panic means. It has been printed already.
fn panicked(changes_data: bool) -> Error {
    let message = "the program came upon a mistake of its own";
    if changes_data {
        return Error::stuck(message).with_hint("run `dumprestore recover`, and report the lines above");
    }
    Error::defect(message).with_hint("report the lines above")
}

/// A command line that is none, or one that asks for help.
fn refuse(refusal: &clap::Error, arguments: &[OsString]) -> Exit {
    if !refusal.use_stderr() {
        // Help, or the version, for a reader that may have gone away.
        let _ = refusal.print();
        return Exit::Ok;
    }
    if arguments.iter().any(|argument| argument == "--json") {
        let text = refusal.render().to_string();
        let message = text.trim().strip_prefix("error: ").unwrap_or(&text).trim().to_owned();
        return Console::for_json().fail("", &Error::config(message));
    }
    // Nobody is left to hear that standard error is closed; the exit code says it.
    let _ = refusal.print();
    Exit::Usage
}
