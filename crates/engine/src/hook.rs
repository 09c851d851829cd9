//! Running hooks.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use dumprestore_driver::{Error, NodePath, Result, Secret};
use tokio::process::{Child, Command};

use crate::event::{Event, warn};
use crate::hook_output::{HookOutput, LastLines, Scrubber};
use crate::run::Run;
use crate::set::BackupSet;
use crate::{Hook, HookPoint, OnError};

/// How long a hook that runs whatever happens may still take once the run was interrupted.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// How long a hook's output is waited for once it has ended: a grandchild may hold it open for ever.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(500);

/// What the hooks of a run are told in their environment.
pub(crate) struct HookScope<'a> {
    pub(crate) run: &'a Run,
    pub(crate) set: &'a BackupSet,
    /// The nodes that take part.
    pub(crate) nodes: &'a [NodePath],
    /// The archive's path, if it has one.
    pub(crate) archive: Option<String>,
    /// Where staged data can be reached, before the swap.
    pub(crate) staged: BTreeMap<NodePath, Secret>,
}

impl HookScope<'_> {
    /// Runs the hooks of a point: before something the set's first, after something the set's last.
    pub(crate) async fn run(&self, point: HookPoint) -> Result<()> {
        let mut groups: Vec<(Option<&NodePath>, &[Hook])> = vec![(None, self.set.hooks().at(point))];
        let nodes = self.set.nodes().iter().filter(|node| self.takes_part(node.path()));
        groups.extend(nodes.map(|node| (Some(node.path()), node.hooks().at(point))));
        if !matches!(point, HookPoint::BeforeDump | HookPoint::BeforeRestore) {
            groups.rotate_left(1);
        }
        let mut failed = None;
        for (node, hooks) in groups {
            match self.run_all(point, node, hooks).await {
                Err(error) if runs_whatever_happens(point) => failed = failed.or(Some(error)),
                ended => ended?,
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Runs the hooks at the end of a run: of success or failure, and those that always run. All of them, even if
    /// one fails: the first failure is told.
    pub(crate) async fn run_last(&self, succeeded: bool) -> Result<()> {
        let first = self.run(if succeeded { HookPoint::OnSuccess } else { HookPoint::OnFailure }).await;
        let always = self.run(HookPoint::Always).await;
        first.and(always)
    }

    /// The same, at the end of a run that failed with an error of its own: that is the one to return.
    pub(crate) async fn run_last_of_failed(&self) {
        if let Err(error) = self.run_last(false).await {
            let message = format!("the run failed, and then a hook that is run after that did: {error}");
            warn(&*self.run.observer, error.node(), message, error.hint().map(str::to_owned));
        }
    }

    fn takes_part(&self, node: &NodePath) -> bool {
        self.nodes.iter().any(|path| path.is_within(node))
    }

    async fn run_all(&self, point: HookPoint, node: Option<&NodePath>, hooks: &[Hook]) -> Result<()> {
        let mut failed = None;
        for (at, hook) in hooks.iter().enumerate() {
            let Err(error) = self.run_one(point, node, hook).await else { continue };
            // The same program may be several of them, such as `sh`.
            let error = match hooks.len() {
                1 => error,
                all => error.with_context("hook", format!("{} of {all}", at + 1)),
            };
            let error = match node {
                Some(node) => error.with_node(node),
                None => error,
            };
            match hook.on_error {
                OnError::Fail if runs_whatever_happens(point) => failed = failed.or(Some(error)),
                OnError::Fail => return Err(error),
                OnError::Continue => {
                    warn(&*self.run.observer, node, error.message(), Some(error.to_string()))
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn run_one(&self, point: HookPoint, node: Option<&NodePath>, hook: &Hook) -> Result<()> {
        let program = hook.run.first().ok_or_else(|| Error::config(format!("an empty `{point}` hook")))?;
        self.run.observer.event(&Event::Hook {
            hook: point.as_str(),
            node: node.cloned(),
            program: program.clone(),
        });
        let failed = |what: String| {
            Error::environment(format!("the `{point}` hook {what}")).with_context("program", program)
        };
        let output = HookOutput {
            observer: self.run.observer.clone(),
            hook: point,
            node: node.cloned(),
            program: program.clone(),
            scrubber: self.scrubber(hook)?,
        };
        let mut child = self.command(point, node, hook, program)?.spawn().map_err(|error| {
            failed("can't be run".to_owned())
                .with_source(error)
                .with_hint("check the path and the execute bit; `dumprestore check` looks for it")
        })?;
        let group = child.id();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (last_out, last_err) = (LastLines::default(), LastLines::default());
        let (to_out, to_err) = (last_out.clone(), last_err.clone());
        let lines = tokio::spawn(async move {
            tokio::join!(output.tell("stdout", out, to_out), output.tell("stderr", err, to_err))
        });
        let ended = self.wait(point, hook, &mut child).await;
        if ended.is_err() {
            kill_group(group);
            // Reaps it; that it was killed is known.
            let _ = child.wait().await;
        }
        let ended = ended?;
        // What is not said by then is not waited for; what was said is known.
        let _ = tokio::time::timeout(LAST_WORDS, lines).await;
        let what = match ended {
            Ended::Exit(Err(error)) => {
                return Err(failed("can't be waited for".to_owned()).with_source(error));
            }
            Ended::Exit(Ok(status)) if status.success() => return Ok(()),
            Ended::Exit(Ok(status)) => format!("failed ({status})"),
            Ended::TimedOut(after) => format!("was killed after {after:?}"),
        };
        let (out, err) = (last_out.so_far(), last_err.so_far());
        let told = if err.is_empty() { out } else { err };
        let error = failed(what);
        Err(if told.is_empty() { error } else { error.with_context("it said", told.join(" | ")) })
    }

    /// Blots out what a hook is told in confidence.
    fn scrubber(&self, hook: &Hook) -> Result<Scrubber> {
        let mut secrets: Vec<String> = hook.env.values().map(|value| value.expose().to_owned()).collect();
        for (node, address) in &self.staged {
            let cx = dumprestore_driver::BuildContext::new(node.clone(), self.set.base());
            let address = address.reveal(&cx)?;
            // The path of what is staged is no secret, and a migration speaks of it.
            let is_path = Path::new(address.expose()).is_absolute()
                && Path::new(address.expose()).symlink_metadata().is_ok();
            if !is_path {
                secrets.push(address.expose().to_owned());
            }
        }
        Ok(Scrubber::new(secrets))
    }

    async fn wait(&self, point: HookPoint, hook: &Hook, child: &mut Child) -> Result<Ended> {
        let cancel = &self.run.cancel;
        let last = runs_whatever_happens(point);
        let patience = async {
            cancel.cancelled().await;
            tokio::time::sleep(PATIENCE).await;
            PATIENCE
        };
        let timeout = async {
            match hook.timeout {
                Some(after) => {
                    tokio::time::sleep(after).await;
                    after
                }
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            status = child.wait() => Ended::Exit(status),
            after = timeout => Ended::TimedOut(after),
            after = patience, if last => Ended::TimedOut(after),
            () = cancel.cancelled(), if !last => return Err(Error::cancelled()),
        };
        if let Ended::TimedOut(_) = ended {
            kill_group(child.id());
            // Reaps it; that it was killed is known.
            let _ = child.wait().await;
        }
        Ok(ended)
    }

    fn command(
        &self,
        point: HookPoint,
        node: Option<&NodePath>,
        hook: &Hook,
        program: &str,
    ) -> Result<Command> {
        let mut command = Command::new(program);
        command
            .args(&hook.run[1..])
            .current_dir(self.set.base())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .env("DUMPRESTORE_HOOK", point.as_str())
            .env("DUMPRESTORE_RUN", &self.run.name)
            .env("DUMPRESTORE_SET", self.set.name());
        if let Some(node) = node {
            command.env("DUMPRESTORE_NODE", node.as_str());
        }
        if let Some(archive) = &self.archive {
            command.env("DUMPRESTORE_ARCHIVE", archive);
        }
        for (staged, address) in &self.staged {
            let variable = staged_variable(staged);
            // `a-b` and `a_b` would share a variable: a migration must not run on the wrong one.
            let shared = self.staged.keys().filter(|other| staged_variable(other) == variable).count() > 1;
            let cx = dumprestore_driver::BuildContext::new(staged.clone(), self.set.base());
            let address = address.reveal(&cx)?;
            if !shared {
                command.env(variable, address.expose());
            }
            if node.is_some_and(|node| node == staged) {
                command.env("DUMPRESTORE_STAGED", address.expose());
            }
        }
        command.envs(hook.env.iter().map(|(name, value)| (name, value.expose())));
        Ok(command)
    }
}

/// Hooks that bring an application back up, or tell somebody: they run even if the run was interrupted, and one that
/// fails does not keep the others from running.
fn runs_whatever_happens(point: HookPoint) -> bool {
    matches!(point, HookPoint::AfterRestore | HookPoint::OnSuccess | HookPoint::OnFailure | HookPoint::Always)
}

/// `DUMPRESTORE_STAGED_SHOP_DB` for `shop.db`.
fn staged_variable(node: &NodePath) -> String {
    format!("DUMPRESTORE_STAGED_{}", node.as_str().to_ascii_uppercase().replace(['.', '-'], "_"))
}

enum Ended {
    Exit(std::io::Result<std::process::ExitStatus>),
    TimedOut(std::time::Duration),
}

/// Ends a hook with all that it has started.
fn kill_group(process: Option<u32>) {
    let group = process.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // It may have ended by itself meanwhile.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}
