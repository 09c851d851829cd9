//! The commands: one file each, with its arguments and what it does.

mod check;
mod completions;
mod demo;
mod diff;
mod drivers;
mod dump;
mod extract;
mod init;
mod inspect;
mod ls;
mod man;
mod plan;
mod prune;
mod pull;
mod push;
mod recover;
mod rehearse;
mod restore;
mod rewrap;
mod schema;
mod sql;
mod target;
mod terraform;
mod verify;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dumprestore::Result;

pub(crate) use ls::refuse_archive;
pub(crate) use target::Target;

use crate::session::{Ended, Session};

const AFTER_HELP: &str = "\
Before a release:  dumprestore dump
After a bad one:   dumprestore restore latest
To see it work:    dumprestore demo

Exit codes:
  0    ok
  1    failed, nothing changed
  2    usage or configuration
  3    completed, degraded
  4    archive damaged or not readable
  5    stuck: a restore that could be neither undone nor finished
  6    completed, with dangling references
  7    locked by another run
  130  interrupted (and rolled back)";

/// Dump and restore the whole state of an application, coherent, all or nothing
#[derive(Debug, Parser)]
#[command(name = "dumprestore", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The configuration file [default: `dumprestore.yaml` in the current folder]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What opens encrypted archives: a file with an identity of age or a private SSH key; may be given several times
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) identity: Vec<PathBuf>,
    /// Print one JSON object per line; the last one is the result
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but data, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more of what goes on
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// When to use colour; `NO_COLOR` is respected
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorWhen,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    Auto,
    Always,
    Never,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Init),
    Check(check::Check),
    Plan(plan::Plan),
    Dump(dump::Dump),
    Restore(restore::Restore),
    Rehearse(rehearse::Rehearse),
    Verify(verify::Verify),
    Inspect(inspect::Inspect),
    Extract(extract::Extract),
    Ls(ls::Ls),
    Push(push::Push),
    Pull(pull::Pull),
    Prune(prune::Prune),
    Diff(diff::Diff),
    Rewrap(rewrap::Rewrap),
    Recover(recover::Recover),
    Terraform(terraform::Terraform),
    Drivers(drivers::Drivers),
    Schema(schema::Schema),
    Completions(completions::Completions),
    Man(man::Man),
    Demo(demo::Demo),
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Check(_) => "check",
            Self::Plan(_) => "plan",
            Self::Dump(_) => "dump",
            Self::Restore(_) => "restore",
            Self::Rehearse(_) => "rehearse",
            Self::Verify(_) => "verify",
            Self::Inspect(_) => "inspect",
            Self::Extract(_) => "extract",
            Self::Diff(_) => "diff",
            Self::Rewrap(_) => "rewrap",
            Self::Ls(_) => "ls",
            Self::Push(_) => "push",
            Self::Pull(_) => "pull",
            Self::Prune(_) => "prune",
            Self::Recover(_) => "recover",
            Self::Terraform(_) => "terraform",
            Self::Drivers(_) => "drivers",
            Self::Schema(_) => "schema",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Demo(_) => "demo",
        }
    }

    /// Whether there may be something to roll back if it stops anywhere.
    pub(crate) fn changes_data(&self) -> bool {
        matches!(self, Self::Restore(_) | Self::Rehearse(_) | Self::Recover(_))
    }

    pub(crate) async fn run(self, session: &Session) -> Result<Ended> {
        match self {
            Self::Init(init) => init.run(session),
            Self::Check(check) => check.run(session).await,
            Self::Plan(plan) => plan.run(session),
            Self::Dump(dump) => dump.run(session).await,
            Self::Restore(restore) => restore.run(session).await,
            Self::Rehearse(rehearse) => rehearse.run(session).await,
            Self::Verify(verify) => verify.run(session).await,
            Self::Inspect(inspect) => inspect.run(session),
            Self::Extract(extract) => extract.run(session).await,
            Self::Diff(diff) => diff.run(session).await,
            Self::Rewrap(rewrap) => rewrap.run(session).await,
            Self::Ls(ls) => ls.run(session),
            Self::Push(push) => push.run(session).await,
            Self::Pull(pull) => pull.run(session).await,
            Self::Prune(prune) => prune.run(session).await,
            Self::Recover(recover) => recover.run(session).await,
            Self::Terraform(terraform) => terraform.run(session),
            Self::Drivers(drivers) => drivers.run(session),
            Self::Schema(schema) => schema.run(session),
            Self::Completions(completions) => completions.run(session),
            Self::Man(man) => man.run(session),
            Self::Demo(demo) => demo.run(session).await,
        }
    }
}
