//! MariaDB's and MySQL's servers.

mod options;
mod settings;
mod sql;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use options::{MysqlFamily, MysqlOptions, MysqlVersion};

use super::{Account, Authority, Keeper, Programs, has_ended};
use crate::free_port;

/// How long a server may take to be ready: machines are slow at times.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often somebody else may take a port that was free.
const MOST_TRIES: u32 = 10;
/// Who may do everything: without a password, by the socket and from `127.0.0.1`.
const ROOT: &str = "root";
/// How much the server may write before it must have put changes in their places.
const REDO_LOG: &str = "48M";

/// A server of its own. It and its folder go when this is dropped, or its process ends.
///
/// It looks up no names: who comes over TCP is from `127.0.0.1`, and not from `localhost`.
pub struct MysqlServer {
    version: MysqlVersion,
    programs: Programs,
    folder: PathBuf,
    port: u16,
    authority: Option<Authority>,
    keeper: Mutex<Keeper>,
    databases: AtomicU64,
}

impl MysqlServer {
    /// A server with ordinary settings.
    pub fn start(version: MysqlVersion) -> Self {
        MysqlOptions::new(version).start()
    }

    /// One server for all tests of a program. It goes when the program ends.
    pub fn shared(version: MysqlVersion) -> &'static Self {
        static SHARED: Mutex<BTreeMap<MysqlVersion, &'static MysqlServer>> = Mutex::new(BTreeMap::new());
        // Where another test could not start it, this one is to say so as well.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.entry(version).or_insert_with(|| Box::leak(Box::new(Self::start(version))))
    }

    /// Starts one with these options.
    ///
    /// # Panics
    /// If that version is not installed, or does not come up: with what its log says.
    pub(crate) fn with(options: &MysqlOptions) -> Self {
        let programs = options.version.programs();
        let folder =
            tempfile::Builder::new().prefix("dumprestore-my-").tempdir().expect("a temporary folder");
        let account = Account::of_servers();
        account.give(folder.path(), 0o755);
        template::copy_to(options.version, &programs, &folder.path().join("data"));
        let authority = options.tls.then(|| Authority::new(folder.path()));
        settings::write(options, &programs, folder.path(), authority.is_some());
        // From here on it is the keeper who removes it.
        let folder = folder.keep();
        let mut command = account.prefix();
        let daemon = programs.path(options.version.daemon()).expect("it was found");
        command.push(daemon.display().to_string());
        command.push(format!("--defaults-file={}", folder.join("my.cnf").display()));
        let keeper = Mutex::new(Keeper::new(&folder, "TERM", &command));
        let databases = AtomicU64::new(0);
        let version = options.version;
        let mut server = Self { version, programs, folder, port: 0, authority, keeper, databases };
        server.start_on_a_free_port();
        server
    }

    fn start_on_a_free_port(&mut self) {
        for _ in 0..MOST_TRIES {
            self.port = free_port();
            settings::write_port(&self.folder, self.port);
            self.keeper().start();
            match self.wait_until_ready() {
                Ok(()) => return,
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("{:?} does not start: {log}", self.version),
            }
        }
        panic!("no port is free for {:?}: {}", self.version, self.log());
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let pid = self.keeper().pid();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && !has_ended(pid) {
            if self.socket().exists() && self.answers() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(self.log())
    }

    /// Its version.
    pub fn version(&self) -> MysqlVersion {
        self.version
    }

    /// Its programs, and its clients.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The port on `127.0.0.1`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Where it lives: its `socket`, its `log`, its `pid`, its `data`, `files` that it may read and write for
    /// statements, and with [`MysqlOptions::tls`] its `ca.crt`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Who signed its certificate, with [`MysqlOptions::tls`].
    ///
    /// # Panics
    /// Without.
    pub fn authority(&self) -> &Authority {
        self.authority.as_ref().expect("a server with TLS")
    }

    /// A database's URL over TCP, as root.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://{ROOT}@127.0.0.1:{}/{database}", self.port)
    }

    /// A database's URL over the socket, as root.
    pub fn socket_url(&self, database: &str) -> String {
        let socket = self.socket().display().to_string().replace('/', "%2F");
        format!("mysql://{ROOT}@localhost/{database}?socket={socket}")
    }

    /// Makes an empty database, and gives its name: one that no other test has.
    pub fn create_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        self.batch("", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Drops a database, if it is there.
    pub fn drop_database(&self, name: &str) {
        self.batch("", &format!("DROP DATABASE IF EXISTS `{}`", name.replace('`', "``")));
    }

    /// `kill -9`.
    pub fn kill(&self) {
        self.keeper().kill();
        // MySQL would refuse to start while another process happens to have the number in it.
        let _ = std::fs::remove_file(self.folder.join("socket.lock"));
    }

    /// Asks it to stop, and waits for it. Sessions end.
    pub fn stop(&self) {
        self.keeper().stop();
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop`](Self::stop), where it was.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn restart(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            self.keeper().start();
            match self.wait_until_ready() {
                Ok(()) => return,
                // Its port may be taken for a moment by a client's end of some other connection.
                Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
                Err(log) => panic!("{:?} does not start again: {log}", self.version),
            }
        }
    }

    fn keeper(&self) -> std::sync::MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
