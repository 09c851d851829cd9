//! One JSON object per line, for programs.

use std::collections::BTreeMap;
use std::sync::Arc;

use dumprestore::{Error, ErrorKind, Event, NodePath, Observer};
use serde::Serialize;

use super::{Console, causes};
use crate::exit::Exit;
use crate::session::{Ended, Report};

/// Grows when a program that reads the lines would have to be changed for it.
const SCHEMA_VERSION: u32 = 1;

/// Prints every event.
pub(crate) struct JsonEvents {
    console: Arc<Console>,
}

impl JsonEvents {
    pub(crate) fn new(console: Arc<Console>) -> Self {
        Self { console }
    }
}

impl Observer for JsonEvents {
    fn event(&self, event: &Event) {
        // A reader that wants no more events still gets the data; a result that can't be written is an error.
        let _ = self.console.write_json(&line(event));
    }
}

#[derive(Serialize)]
pub(super) struct Line<'a, T> {
    schema_version: u32,
    #[serde(flatten)]
    body: &'a T,
}

/// A line for an event.
pub(super) fn line<T>(body: &T) -> Line<'_, T> {
    Line { schema_version: SCHEMA_VERSION, body }
}

/// The last line.
#[derive(Serialize)]
pub(super) struct ResultLine<'a> {
    schema_version: u32,
    event: &'static str,
    command: &'a str,
    ok: bool,
    exit_code: Exit,
    meaning: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a Report>,
}

#[derive(Serialize)]
struct Failure<'a> {
    kind: ErrorKind,
    node: Option<&'a NodePath>,
    message: &'a str,
    context: BTreeMap<&'static str, &'a str>,
    causes: Vec<String>,
    hint: Option<&'a str>,
}

/// The last line of a command that did not fail.
pub(super) fn result<'a>(command: &'a str, ended: &'a Ended) -> ResultLine<'a> {
    let Ended { exit, report } = ended;
    ResultLine { ok: *exit == Exit::Ok, report: report.as_ref(), ..last(command, *exit) }
}

/// The last line of a command that failed.
pub(super) fn failure<'a>(command: &'a str, exit: Exit, error: &'a Error) -> ResultLine<'a> {
    let failure = Failure {
        kind: error.kind(),
        node: error.node(),
        message: error.message(),
        context: error.context().iter().map(|(name, value)| (*name, value.as_str())).collect(),
        causes: causes(error),
        hint: error.hint(),
    };
    ResultLine { error: Some(failure), ..last(command, exit) }
}

fn last(command: &str, exit: Exit) -> ResultLine<'_> {
    ResultLine {
        schema_version: SCHEMA_VERSION,
        event: "result",
        command,
        ok: false,
        exit_code: exit,
        meaning: exit.meaning(),
        error: None,
        report: None,
    }
}
