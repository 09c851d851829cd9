//! Hooks as they are declared: what is run, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use dumprestore_driver::Revealed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    /// Before anything is read.
    BeforeDump,
    /// After everything was dumped, before the archive gets its final name.
    AfterDump,
    /// Before anything is staged.
    BeforeRestore,
    /// After `prepare`, before the first commit: where a migration of the staged data belongs. If it fails, the
    /// restore is rolled back.
    PreSwap,
    /// After the last commit.
    AfterRestore,
    /// At the end of a run that worked.
    OnSuccess,
    /// At the end of a run that did not.
    OnFailure,
    /// At the end of every run, after the other two.
    Always,
}

impl HookPoint {
    /// All of them, in the order of a run.
    pub const ALL: [Self; 8] = [
        Self::BeforeDump,
        Self::AfterDump,
        Self::BeforeRestore,
        Self::PreSwap,
        Self::AfterRestore,
        Self::OnSuccess,
        Self::OnFailure,
        Self::Always,
    ];

    /// As it stands in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeDump => "before_dump",
            Self::AfterDump => "after_dump",
            Self::BeforeRestore => "before_restore",
            Self::PreSwap => "pre_swap",
            Self::AfterRestore => "after_restore",
            Self::OnSuccess => "on_success",
            Self::OnFailure => "on_failure",
            Self::Always => "always",
        }
    }
}

impl std::fmt::Display for HookPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a failing hook means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The run fails, and a restore is rolled back as long as it can be.
    #[default]
    Fail,
    /// The run goes on, with a warning.
    Continue,
}

/// A program that is run at some point of a dump or a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hook {
    /// The program and its arguments. Not empty. No shell is involved.
    pub run: Vec<String>,
    /// After this long it is killed, and counts as failed. `None` waits for as long as it takes.
    pub timeout: Option<Duration>,
    /// What its failure means.
    pub on_error: OnError,
    /// What is added to its environment. The values are secrets.
    pub env: BTreeMap<String, Revealed>,
}

impl Hook {
    /// A hook that runs `argv` without a time limit, and whose failure is the run's.
    pub fn new<A: Into<String>>(argv: impl IntoIterator<Item = A>) -> Self {
        Self {
            run: argv.into_iter().map(Into::into).collect(),
            timeout: None,
            on_error: OnError::Fail,
            env: BTreeMap::new(),
        }
    }

    /// The same, killed after `timeout`.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The same, with another meaning of its failure.
    pub fn with_on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// The same, with one more variable in its environment.
    pub fn with_env(mut self, name: impl Into<String>, value: Revealed) -> Self {
        self.env.insert(name.into(), value);
        self
    }
}

/// The hooks of a set or of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks(BTreeMap<HookPoint, Vec<Hook>>);

impl Hooks {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with one more hook at `point`.
    pub fn with(mut self, point: HookPoint, hook: Hook) -> Self {
        self.0.entry(point).or_default().push(hook);
        self
    }

    /// Those to run at `point`, in listed order.
    pub fn at(&self, point: HookPoint) -> &[Hook] {
        self.0.get(&point).map_or(&[], Vec::as_slice)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }
}
