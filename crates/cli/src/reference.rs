//! `docs/cli.md`, made from the same definitions as the help.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use crate::command::Arguments;
use crate::exit::Exit;

const HEAD: &str = "\
# Command line

Made from the definitions in `crates/cli/src/command`; a test keeps it up to date (`UPDATE_DOCS=1 cargo test -p
dumprestore-cli --lib` rewrites it).

Standard output is for data: an archive's path, a plan, a report, the archive itself. Progress, notes, warnings and
errors go to standard error. With `--json`, every line on standard output is one JSON object with `schema_version`
and `event`; the last one has `event: result`, `ok`, `exit_code`, and `report` or `error`. Where standard output is
the archive or a part (`-o -`), these lines go to standard error.

| event | fields |
|---|---|
| `started` | `run`, `command`, `set` |
| `phase` | `phase` |
| `node_started` | `node`, `phase`, `bytes`, `parts` (expected; null if not known) |
| `progress` | `node`, `bytes`, `parts` (so far) |
| `node_finished` | `node`, `phase`, `bytes`, `parts`, `seconds` |
| `captured` | `node`, `pass`, `parts` |
| `verifying` | `done`, `total` (bytes) |
| `copying` | `done`, `total` (bytes) |
| `cut` | `attempt`, `width`, `checked` (seconds), `references`, `dangling`, `outcome` |
| `ledger` | `node`, `what`, `why`, `degrades` |
| `hook` | `hook`, `node`, `program` |
| `hook_output` | `hook`, `node`, `program`, `stream`, `line` |
| `notice` | `severity`, `node`, `message`, `hint` |
| `recovered` | `run`, `outcome` |
| `step` | `node`, `step` |
| `result` | `command`, `ok`, `exit_code`, `meaning`, `report` or `error` (`kind`, `node`, `message`, `context`, `causes`, `hint`) |

More events and fields may be added; `schema_version` grows when one changes its meaning.

## Exit codes

| code | meaning |
|---|---|
";

fn markdown() -> String {
    let mut command = Arguments::command();
    command.build();
    let mut text = HEAD.to_owned();
    for exit in Exit::ALL {
        let _ = writeln!(text, "| {} | {} |", exit.code(), exit.meaning());
    }
    text += "\n## Global options\n\n";
    command.get_arguments().filter(|arg| arg.is_global_set()).for_each(|arg| describe(&mut text, arg));
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        describe_command(&mut text, sub);
    }
    text
}

fn describe_command(text: &mut String, command: &Command) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let long = command.get_long_about().map(ToString::to_string).unwrap_or(about);
    let usage = command.clone().render_usage().to_string();
    let _ = write!(text, "\n## {}\n\n{}.\n\n", command.get_name(), long.trim_end_matches('.'));
    let _ = write!(text, "```\n{}\n```\n", usage.trim_start_matches("Usage: "));
    let own = |arg: &&Arg| !arg.is_global_set() && !["help", "version"].contains(&arg.get_id().as_str());
    for (nth, arg) in command.get_arguments().filter(own).enumerate() {
        text.push_str(if nth == 0 { "\n" } else { "" });
        describe(text, arg);
    }
    if let Some(after) = command.get_after_help() {
        let _ = write!(text, "\n```\n{}\n```\n", after.to_string().trim_end());
    }
}

fn describe(text: &mut String, arg: &Arg) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "- `{}`: {help}", arg.to_string().trim());
    if let (Some(short), Some(_)) = (arg.get_short(), arg.get_long()) {
        let _ = write!(text, " (short: `-{short}`)");
    }
    let values: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if !values.is_empty() && arg.get_action().takes_values() {
        let _ = write!(text, "; one of {}", values.join(", "));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        let _ = write!(text, "; by default `{}`", defaults.join(" "));
    }
    text.push('\n');
}

#[test]
fn the_reference_is_what_the_definitions_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let made = markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == made, "docs/cli.md is out of date: UPDATE_DOCS=1 cargo test -p dumprestore-cli --lib");
}

#[test]
fn every_command_has_a_help_with_examples() {
    let mut command = Arguments::command();
    command.build();
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let after = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(after.starts_with("Examples:\n"), "{}", sub.get_name());
    }
    Arguments::command().debug_assert();
}
