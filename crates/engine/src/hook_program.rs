//! Whether the programs of hooks can be run.

use std::path::{Path, PathBuf};

use dumprestore_driver::{NodePath, Problem};
use serde::Serialize;

use crate::set::BackupSet;
use crate::{Environment, Hook, HookPoint, Hooks, OnError};

/// Where the system looks without a `PATH`.
const USUAL_PATH: &str = "/bin:/usr/bin";

/// A hook that can't be run as things are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HookProblem {
    /// When it would run.
    pub hook: HookPoint,
    /// The node it belongs to; none for the set's own.
    pub node: Option<NodePath>,
    /// What is in the way, and what to do.
    pub problem: Problem,
}

impl BackupSet {
    /// Looks for the program of each hook as a run would: in `PATH` if it is only a name, else from the folder of
    /// the configuration file. Runs none.
    pub fn hook_problems(&self, environment: &dyn Environment) -> Vec<HookProblem> {
        let mut problems = Vec::new();
        let mut look = |node: Option<&NodePath>, hooks: &Hooks| {
            for hook in HookPoint::ALL {
                let found = hooks.at(hook).iter().filter_map(|each| self.look(hook, each, environment));
                problems.extend(found.map(|problem| HookProblem { hook, node: node.cloned(), problem }));
            }
        };
        look(None, self.hooks());
        for node in self.nodes() {
            look(Some(node.path()), node.hooks());
        }
        problems
    }

    fn look(&self, point: HookPoint, hook: &Hook, environment: &dyn Environment) -> Option<Problem> {
        let program = hook.run.first()?;
        let shown = program.escape_debug();
        if program.contains('/') {
            let path = self.base().join(program);
            return match std::fs::metadata(&path) {
                Err(error) => Some(
                    serious(
                        point,
                        hook,
                        format!("the program of the `{point}` hook, `{shown}`, can't be found: {error}"),
                    )
                    .with_hint(format!("it is looked for at {}", path.display())),
                ),
                Ok(_) if is_executable(&path) => None,
                Ok(_) => Some(
                    serious(
                        point,
                        hook,
                        format!("the program of the `{point}` hook, `{shown}`, can't be executed"),
                    )
                    .with_hint(format!(
                        "`chmod +x {}`, or name the program that runs it first",
                        path.display()
                    )),
                ),
            };
        }
        // What a hook adds to its environment counts for the search as well.
        let own = hook.env.get("PATH").map(|path| path.expose().to_owned());
        let path = own.or_else(|| environment.var("PATH")).unwrap_or_else(|| USUAL_PATH.to_owned());
        let there = std::env::split_paths(&path).any(|folder| is_executable(&self.in_path(&folder, program)));
        (!there).then(|| {
            serious(point, hook, format!("the program of the `{point}` hook, `{shown}`, is not in `PATH`"))
                .with_hint("install it, or write its path; one beside the configuration begins with `./`")
        })
    }

    /// A relative folder in `PATH` is one from where the program is started.
    fn in_path(&self, folder: &Path, program: &str) -> PathBuf {
        self.base().join(folder).join(program)
    }
}

/// What fails if that hook does.
fn serious(point: HookPoint, hook: &Hook, message: String) -> Problem {
    match point {
        _ if hook.on_error == OnError::Continue => Problem::warning(message),
        HookPoint::BeforeDump | HookPoint::AfterDump => Problem::no_dump(message),
        HookPoint::BeforeRestore | HookPoint::PreSwap | HookPoint::AfterRestore => {
            Problem::no_restore(message)
        }
        HookPoint::OnSuccess | HookPoint::OnFailure | HookPoint::Always => Problem::error(message),
    }
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}
