//! Other programs: this test program, started again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const TASK: &str = "DUMPRESTORE_TEST_TASK";

/// A process that does one task, and is killed when it is dropped.
pub struct Other {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Other {
    /// Starts the test `test` of this program with `task` on `path`, and waits until it says that it is ready.
    pub fn start(test: &str, task: &str, path: &Path) -> Self {
        Self::start_and_hear(test, task, path).0
    }

    /// The same, with what it says beside.
    pub fn start_and_hear(test: &str, task: &str, path: &Path) -> (Self, String) {
        Self::start_as(Command::new(std::env::current_exe().unwrap()), test, task, path)
    }

    /// The same, by a command that ends in this program.
    pub fn start_as(mut command: Command, test: &str, task: &str, path: &Path) -> (Self, String) {
        let mut child = command
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(TASK, task)
            .env("DUMPRESTORE_TEST_PATH", path)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut other = Self { child, lines };
        let said = other.line("ready");
        (other, said)
    }

    /// What follows `word` in the next line that begins with it.
    pub fn line(&mut self, word: &str) -> String {
        for line in self.lines.by_ref() {
            if let Some(at) = line.unwrap().split_once(word).map(|(_, rest)| rest.trim().to_owned()) {
                return at;
            }
        }
        panic!("the other process ended before it said `{word}`");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, by closing nothing but creating `stop` beside the database, and waits.
    pub fn stop(mut self, path: &Path) -> String {
        let stop = super::with_suffix(path, ".stop");
        std::fs::write(&stop, "").unwrap();
        let said = self.line("done");
        assert!(self.child.wait().unwrap().success());
        std::fs::remove_file(stop).unwrap();
        said
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.kill();
    }
}

/// In the other process: the task and its path. `None` in the test run itself.
pub fn task() -> Option<(String, std::path::PathBuf)> {
    Some((std::env::var(TASK).ok()?, std::env::var_os("DUMPRESTORE_TEST_PATH")?.into()))
}

/// In the other process: whether it is to end.
pub fn stopped(path: &Path) -> bool {
    super::with_suffix(path, ".stop").exists()
}
