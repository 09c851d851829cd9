//! What people and programs see. Standard output is for data; all else goes to standard error.

mod harmless;
mod json;
mod measure;
mod progress;

use std::collections::HashSet;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anstyle::{AnsiColor, Style};
use dumprestore::{Error, ErrorKind, Event, Result, Severity};
use indicatif::{MultiProgress, ProgressDrawTarget};

pub(crate) use json::JsonEvents;
pub(crate) use measure::{ago, bytes, count, counted, seconds};
pub(crate) use progress::Progress;

use harmless::harmless;

use crate::command::{ColorWhen, Global};
use crate::exit::Exit;
use crate::session::Ended;

/// Where everything is printed.
pub(crate) struct Console {
    form: Form,
    verbosity: Verbosity,
    color: bool,
    bars: MultiProgress,
    /// Standard output carries an archive or a part: lines of JSON go elsewhere.
    taken: AtomicBool,
    /// Warnings that were told: planning and performing tell the same ones.
    told: Mutex<HashSet<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default().bold();

impl Console {
    pub(crate) fn new(global: &Global) -> Self {
        let terminal = io::stderr().is_terminal();
        let color = match global.color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => terminal && !crate::env::forbids_color(),
        };
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let form = if global.json { Form::Json } else { Form::Human };
        let live = terminal && !crate::env::is_dumb() && form == Form::Human && verbosity != Verbosity::Quiet;
        let target = if live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { form, verbosity, color, bars: MultiProgress::with_draw_target(target), ..Self::for_json() }
    }

    /// One that prints JSON.
    pub(crate) fn for_json() -> Self {
        Self {
            form: Form::Json,
            verbosity: Verbosity::Normal,
            color: false,
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            taken: AtomicBool::new(false),
            told: Mutex::default(),
        }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// Progress bars, if there is a terminal to draw them on.
    fn bars(&self) -> Option<&MultiProgress> {
        if self.bars.is_hidden() { None } else { Some(&self.bars) }
    }

    /// From now on standard output belongs to an archive or a part.
    pub(crate) fn give_up_stdout(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    /// Data for people: a line, or several, on standard output.
    ///
    /// # Errors
    /// If it can't be written. A reader that went away is no error: it has seen enough.
    pub(crate) fn print(&self, text: impl Display) -> Result<()> {
        if self.is_json() {
            return Ok(());
        }
        let text = harmless(text);
        to_stdout(&format!("{}\n", text.trim_end_matches('\n')))
    }

    /// Whether [`note`](Self::note) shows anything.
    pub(crate) fn shows_notes(&self) -> bool {
        !self.is_json() && self.verbosity >= Verbosity::Normal
    }

    /// What is going on, for people.
    pub(crate) fn note(&self, text: impl Display) {
        if self.verbosity >= Verbosity::Normal {
            self.tell(harmless(text));
        }
    }

    /// What somebody is asked about: shown however quiet.
    pub(crate) fn show(&self, text: impl Display) {
        self.tell(harmless(text));
    }

    /// What only those want to know who ask for it.
    pub(crate) fn detail(&self, text: impl Display) {
        if self.verbosity >= Verbosity::Verbose {
            self.tell(harmless(text));
        }
    }

    /// What must be seen, however quiet.
    pub(crate) fn urge(&self, text: &str) {
        if self.is_json() {
            self.json_notice(text);
        }
        self.tell(harmless(text));
    }

    /// A question on standard error, without a line end.
    pub(crate) fn ask(&self, question: &str) {
        // If it can't be shown, it won't be answered with yes.
        let _ = write!(io::stderr(), "{question}").and_then(|()| io::stderr().flush());
    }

    /// Something to know of, once.
    pub(crate) fn warn(&self, text: impl Display, hint: Option<&str>) {
        let text = text.to_string();
        let new = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone());
        if new && self.is_json() {
            self.json_notice(&text);
        }
        if new {
            self.tell(format_args!(
                "{} {}{}",
                self.paint(YELLOW, "warning:"),
                harmless(text),
                self.hint(hint)
            ));
        }
    }

    /// Takes note that a warning was told already, in another form.
    pub(crate) fn already_told(&self, text: &str) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned());
    }

    /// The end of a command that did not fail.
    ///
    /// # Errors
    /// If the result can't be written.
    pub(crate) fn finish(&self, command: &str, ended: &Ended) -> Result<()> {
        if self.is_json() { self.stream_json(&json::result(command, ended)) } else { Ok(()) }
    }

    /// The end of a command that failed.
    pub(crate) fn fail(&self, command: &str, error: &Error) -> Exit {
        let exit = Exit::from(error.kind());
        // If this can't be written either, the exit code is all that is left.
        if self.is_json() {
            let _ = self.write_json(&json::failure(command, exit, error));
        } else {
            self.tell(self.render(error));
        }
        if command == "restore" {
            // The first thing one wants to know then.
            self.tell(format_args!("exit code {}: {}", exit.code(), exit.meaning()));
        }
        exit
    }

    fn render(&self, error: &Error) -> String {
        let mut text = String::new();
        if let Some(node) = error.node() {
            text += &format!("{node}: ");
        }
        text += error.message();
        if error.kind() == ErrorKind::Cancelled {
            text += ": whatever was begun is rolled back";
        }
        for (at, (name, value)) in error.context().iter().enumerate() {
            text += &format!("{}{name}: {value}", if at == 0 { " (" } else { ", " });
        }
        if !error.context().is_empty() {
            text += ")";
        }
        for cause in causes(error) {
            text += &format!("\n  because: {cause}");
        }
        format!("{} {}{}", self.paint(RED, "error:"), harmless(text), self.hint(error.hint()))
    }

    fn hint(&self, hint: Option<&str>) -> String {
        match hint {
            Some(hint) => format!("\n{} {}", self.paint(CYAN, "hint:"), harmless(hint)),
            None => String::new(),
        }
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn tell(&self, text: impl Display) {
        if self.is_json() {
            return;
        }
        // Nobody is left to hear that standard error is closed.
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr(), "{text}");
        });
    }

    fn json_notice(&self, message: &str) {
        let event = Event::Notice {
            severity: Severity::Warning,
            node: None,
            message: message.to_owned(),
            hint: None,
        };
        // The result is what counts; if that can't be written, it is an error.
        let _ = self.write_json(&json::line(&event));
    }

    /// Writes one object on one line, of which there may be more than memory has room for.
    fn stream_json(&self, line: &impl serde::Serialize) -> Result<()> {
        let stream: Box<dyn Write> = match self.taken.load(Ordering::Relaxed) {
            false => Box::new(io::stdout().lock()),
            true => Box::new(io::stderr().lock()),
        };
        let mut stream = io::BufWriter::with_capacity(64 << 10, stream);
        let written = serde_json::to_writer(&mut stream, line).map_err(io::Error::from);
        match written.and_then(|()| stream.write_all(b"\n")).and_then(|()| stream.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| Error::io("can't write the result", error)),
        }
    }

    /// Writes one object on one line.
    fn write_json(&self, line: &impl serde::Serialize) -> Result<()> {
        let mut text = serde_json::to_string(line)
            .map_err(|error| Error::defect("an event is not JSON").with_source(error))?;
        text.push('\n');
        if !self.taken.load(Ordering::Relaxed) {
            return to_stdout(&text);
        }
        io::stderr()
            .write_all(text.as_bytes())
            .map_err(|error| Error::io("can't write to standard error", error))
    }
}

/// What an error says caused it, outermost first.
fn causes(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        // Ours print theirs themselves.
        cause = if error.is::<Error>() { None } else { error.source() };
    }
    causes
}

fn to_stdout(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Error::io("can't write to standard output", error)),
    }
}
