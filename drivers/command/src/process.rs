//! One command at work: started, watched, ended.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use dumprestore_driver::{Cancel, Error, ErrorKind, Result, Revealed};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{Child, ChildStdout};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::argv::Argv;
use crate::commands::Commands;
use crate::said::Said;

/// How long a command that is told to stop may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How long the last words of a command that has ended are waited for: one that it started may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What is run, and how long.
pub(crate) struct Job<'a> {
    pub(crate) what: &'static str,
    pub(crate) argv: &'a Argv,
    pub(crate) limit: Option<Duration>,
    pub(crate) cancel: Option<&'a Cancel>,
}

/// What its standard streams are. Standard error is always listened to.
pub(crate) enum Streams {
    /// No input, and the output is the data.
    Dump,
    /// This is the input, and the output is for people.
    Restore(io::PipeReader),
    /// No input, and the output is for people.
    None,
}

/// A command at work, in a process group of its own.
pub(crate) struct Process {
    child: Child,
    /// Also its group's.
    id: Option<u32>,
    pub(crate) watch: Watch,
    said: Said,
    listeners: JoinSet<()>,
    secrets: Vec<(String, Revealed)>,
}

/// How long a command may go on.
#[derive(Clone)]
pub(crate) struct Watch {
    what: &'static str,
    argv: Argv,
    limit: Option<Duration>,
    deadline: Option<Instant>,
    cancel: Cancel,
}

impl Process {
    /// Starts a command.
    pub(crate) fn start(
        commands: &Commands,
        job: Job<'_>,
        run: &str,
        streams: Streams,
        env: &[(&'static str, String)],
    ) -> Result<Self> {
        let is_dump = matches!(streams, Streams::Dump);
        let mut child = command(commands, job.argv, run, streams, env).spawn().map_err(|error| {
            Commands::error(job.what, job.argv, "can't be run")
                .with_context("folder", commands.cwd.display())
                .with_source(error)
                .with_hint("see that the program, its interpreter and the folder are there, and may be used")
        })?;
        let (said, mut listeners) = (Said::default(), JoinSet::new());
        if let Some(stderr) = child.stderr.take() {
            listeners.spawn(said.clone().listen(stderr));
        }
        if let Some(stdout) = child.stdout.take_if(|_| !is_dump) {
            listeners.spawn(said.clone().listen(stdout));
        }
        let watch = Watch {
            what: job.what,
            argv: job.argv.clone(),
            limit: job.limit,
            deadline: job.limit.map(|limit| Instant::now() + limit),
            cancel: job.cancel.cloned().unwrap_or_default(),
        };
        let id = child.id();
        Ok(Self { child, id, watch, said, listeners, secrets: commands.env.clone() })
    }

    /// The data that a dump writes.
    pub(crate) fn stdout(&mut self) -> Result<ChildStdout> {
        self.child.stdout.take().ok_or_else(|| Error::defect("the command's output was taken twice"))
    }

    /// Does `work` while the command goes on; fails if it ends meanwhile.
    pub(crate) async fn while_running<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        let ended = tokio::select! {
            biased;
            done = self.watch.during(work) => return done,
            ended = self.child.wait() => ended,
        };
        self.judge(ended).await?;
        Err(self.stopped_reading())
    }

    /// Waits for its end, and for the status 0.
    pub(crate) async fn end(&mut self) -> Result<()> {
        match self.watch.during(self.child.wait()).await {
            Ok(ended) => self.judge(ended).await,
            Err(error) => {
                self.stop().await;
                Err(self.with_last_words(error))
            }
        }
    }

    async fn judge(&mut self, ended: io::Result<ExitStatus>) -> Result<()> {
        let status = ended.map_err(|error| self.watch.error("can't be waited for").with_source(error))?;
        let listen = async { while self.listeners.join_next().await.is_some() {} };
        let _ = timeout(LAST_WORDS, listen).await;
        if status.success() {
            return Ok(());
        }
        signal_group(self.id, Signal::KILL);
        Err(self.with_last_words(self.watch.error(&format!("failed ({status})"))))
    }

    /// Ends it with all processes that it started: politely first. Whoever feeds it keeps its input open meanwhile.
    pub(crate) async fn stop(&mut self) {
        let Some(id) = self.child.id() else { return };
        // All of them stand still until each has got its signal: none is left to take another's end for the end of the
        // data that it reads from it.
        for signal in [Signal::STOP, Signal::TERM, Signal::CONT] {
            signal_group(Some(id), signal);
        }
        let patience = Instant::now() + GRACE;
        // It is looked at without being reaped: so the number of its group stays its own.
        while is_running(id) && Instant::now() < patience {
            sleep(Duration::from_millis(5)).await;
        }
        kill_group(id);
        // Reaps it; that it was ended is known.
        let _ = self.child.wait().await;
    }

    /// A command that is content with a part of its input.
    pub(crate) fn stopped_reading(&self) -> Error {
        self.with_last_words(self.watch.error("ended before it had read all of its input"))
            .with_hint("if the rest is of no use to it, let it read on to the end: `… && cat > /dev/null`")
    }

    /// A dump of nothing.
    pub(crate) fn wrote_nothing(&self) -> Error {
        self.with_last_words(self.watch.error("ended well, but wrote nothing"))
            .with_hint("if there may be nothing to dump, say `allow_empty: true`")
    }

    /// The end of what it said.
    pub(crate) fn said(&self) -> String {
        self.said.text(&self.secrets)
    }

    fn with_last_words(&self, error: Error) -> Error {
        match self.said.last_lines(&self.secrets) {
            words if words.is_empty() || error.kind() == ErrorKind::Cancelled => error,
            words => error.with_context("it said", words),
        }
    }
}

impl Drop for Process {
    /// Given up before its end, by a run that was cancelled or panicked: it and all that it started end here, while
    /// its input is still open. So whoever feeds it must drop the input after it.
    ///
    /// Nobody has to be waited for: a process with such a signal pending runs no more code of its own.
    fn drop(&mut self) {
        // None once it was reaped: the number may be another's by now.
        if let Some(id) = self.child.id() {
            kill_group(id);
        }
    }
}

impl Watch {
    /// Waits for `work`, but no longer than the command may take, and no longer than the run goes on.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let deadline = async {
            match self.deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::cancelled()),
            done = work => Ok(done),
            () = deadline => Err(self.too_long()),
        }
    }

    fn too_long(&self) -> Error {
        let limit = humantime::format_duration(self.limit.unwrap_or_default());
        self.error(&format!("was stopped after {limit}"))
            .with_hint("see why it takes so long, or raise `timeout`")
    }

    fn error(&self, message: &str) -> Error {
        Commands::error(self.what, &self.argv, message)
    }
}

fn command(
    commands: &Commands,
    argv: &Argv,
    run: &str,
    streams: Streams,
    env: &[(&'static str, String)],
) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(commands.program(argv));
    if matches!(streams, Streams::Restore(_)) {
        die_with_us(&mut command);
    }
    let stdin = match streams {
        Streams::Restore(input) => Stdio::from(input),
        Streams::Dump | Streams::None => Stdio::null(),
    };
    command
        .args(&argv.args)
        .current_dir(&commands.cwd)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .env("DUMPRESTORE_NODE", commands.node.as_str())
        .env("DUMPRESTORE_RUN", run)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .envs(commands.env.iter().map(|(name, value)| (name, value.expose())));
    command
}

/// When we are killed, the input of a restore just ends, as if that were all of it. So the command is killed as well:
/// it alone. What it has started (the `psql` in `sh -c "gunzip | psql"`) gets no such signal, reads on to that end, and
/// has to compare what it got with `DUMPRESTORE_SIZE` or `DUMPRESTORE_SHA256` before it makes anything final.
///
/// The signal comes at the death of the *thread* that started the command. `load` starts it, on a thread that may
/// block, and stays on that thread until the command has ended.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "`pre_exec` is the only way to ask for a signal at the parent's death")]
fn die_with_us(command: &mut tokio::process::Command) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};
    let parent = getpid();
    // SAFETY: between fork and exec, this makes two system calls, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // It may have died before that.
            if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_us(_command: &mut tokio::process::Command) {}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

fn signal_group(id: Option<u32>, signal: Signal) {
    if let Some(group) = id.and_then(pid) {
        // It may have ended by itself meanwhile.
        let _ = kill_process_group(group, signal);
    }
}

/// Stopped first, all of them: else one could still see that another has ended, and take that for the end of its data.
fn kill_group(id: u32) {
    signal_group(Some(id), Signal::STOP);
    signal_group(Some(id), Signal::KILL);
}

fn is_running(id: u32) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    pid(id).is_some_and(|pid| matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
}
