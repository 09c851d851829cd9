//! The dumprestore driver for anything with a command that dumps and one that restores.
//!
//! # From the top
//!
//! ```yaml
//! - name: directory
//!   driver: command
//!   dump: [slapcat, -n, "1"]
//!   restore: [./restore-directory]
//! ```
//!
//! `dump` writes the whole source to its standard output; `restore` replaces the whole source by what it reads from its
//! standard input. Both are lists: no shell takes them apart. See [`CommandConfig`] for all options.
//!
//! # What is a failure
//!
//! - A dump fails if its command ends with another status than 0, or by a signal, however good its output looks; and
//!   if it writes nothing at all, unless `allow_empty` says that this is fine.
//! - A restore fails as well if its command ends, even with status 0, before it has read all of its input.
//! - What a command writes to standard error is never part of the data. The end of it stands in the error, and in
//!   the node's ledger if a dump succeeds nonetheless.
//!
//! # What a restore command can rely on
//!
//! Its input ends only after all of it was checked against the archive. If the content is damaged, the run is
//! interrupted or time is up, the command and all processes it started are ended (`TERM`, and `KILL` five seconds
//! later) while its input is still open. So a command that makes nothing final before its input ends
//! (`cat > new && mv new data`) never makes half of a dump final.
//!
//! When dumprestore itself is killed (`kill -9`, out of memory), Linux kills the command at that moment. **Only the
//! command itself:** for what it has started, and elsewhere, the input just ends, as if that were all. In
//! `["sh", "-c", "gunzip | psql"]` the shell is killed, and `psql` commits what has come so far. So a pipeline must check
//! what it got before it makes anything final; `DUMPRESTORE_SIZE` and `DUMPRESTORE_SHA256` tell what it is to read:
//!
//! ```sh
//! cat > new && echo "$DUMPRESTORE_SHA256  new" | sha256sum -c --quiet && gunzip < new | psql --single-transaction
//! ```
//!
//! What a command has put into another process group or session (`setsid`, `set -m`) is nobody's to end.
//!
//! Such a restore can't be undone, so this node is loaded last, after all others are prepared and committed; after a
//! crash in the middle of it, `dumprestore recover` says so.
//!
//! # Freezing
//!
//! `freeze` is run at the cut, with all other pins, and `thaw` when this node was dumped, or as soon as something
//! failed: also after a freeze that failed, and when the run is interrupted. So `thaw` must do no harm, and end with
//! status 0, when nothing is frozen, or only half of it, or when it has run already.
//!
//! A dumprestore that is killed (`kill -9`) can thaw nothing at that moment: the next dump of the set or `dumprestore
//! recover` runs `thaw` then. Let what `freeze` does end by itself after a while where that is possible.
//!
//! # Secrets
//!
//! Arguments can be seen by every user of the machine: passwords belong into `env`, from where they are also blotted
//! out of everything that the commands write to standard error.

mod argv;
mod commands;
mod config;
mod driver;
mod process;
mod program;
mod said;
mod source;
mod staging;

pub use config::CommandConfig;
