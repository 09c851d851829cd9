//! Where the program of a command is.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use dumprestore_driver::Problem;

use crate::argv::Argv;
use crate::commands::Commands;

impl Commands {
    /// The program: a path starts from `cwd`, a mere name is looked up when it is run.
    pub(crate) fn program(&self, argv: &Argv) -> PathBuf {
        if argv.program.contains('/') { self.cwd.join(&argv.program) } else { PathBuf::from(&argv.program) }
    }

    /// Where the program is found.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub(crate) fn find(&self, what: &str, argv: &Argv) -> Result<PathBuf, (String, String)> {
        let program = self.program(argv);
        if argv.program.contains('/') {
            return runnable(&program).map(|()| program).map_err(|why| {
                (
                    format!("the {what} command can't be run: `{}` {why}", argv.program),
                    "check the path".to_owned(),
                )
            });
        }
        let path = self
            .env
            .iter()
            .find(|(name, _)| name == "PATH")
            .map(|(_, value)| OsStr::new(value.expose()).to_owned());
        // As the system itself looks a program up.
        let path = path.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
        std::env::split_paths(&path)
            .map(|folder| self.cwd.join(folder).join(&program))
            .find(|at| runnable(at).is_ok())
            .ok_or_else(|| {
                let message =
                    format!("the {what} command can't be run: there is no `{}` on `PATH`", argv.program);
                (message, "install it, or write the whole path".to_owned())
            })
    }

    /// What is in the way of a command, as `problem` of that severity.
    pub(crate) fn problem(
        &self,
        what: &str,
        argv: Option<&Argv>,
        problem: fn(String) -> Problem,
    ) -> Option<Problem> {
        let (message, hint) = self.find(what, argv?).err()?;
        Some(problem(message).with_hint(hint))
    }
}

fn runnable(path: &Path) -> Result<(), &'static str> {
    match std::fs::metadata(path) {
        Err(_) => Err("is not there"),
        Ok(meta) if !meta.is_file() => Err("is not a file"),
        Ok(_) if rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_err() => Err("is not executable"),
        Ok(_) => Ok(()),
    }
}
