//! MariaDB's and MySQL's servers.

mod options;
mod settings;
mod sql;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub use options::{MysqlFamily, MysqlOptions, MysqlVersion};

use super::room::room;
use super::server::{Home, Server};
use super::{Account, Authority, Programs};
use crate::free_port;

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
    home: Home,
    port: u16,
    authority: Option<Authority>,
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
        let folder = room("dumprestore-my-");
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
        let home = Home::new(folder, "TERM", &command);
        let databases = AtomicU64::new(0);
        let version = options.version;
        let mut server = Self { version, programs, home, port: 0, authority, databases };
        server.start_on_free_ports();
        server
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
        self.folder().join("socket")
    }

    /// Where it lives: its `socket`, its `log`, its `pid`, its `data`, `files` that it may read and write for
    /// statements, and with [`MysqlOptions::tls`] its `ca.crt`.
    pub fn folder(&self) -> &Path {
        self.home.folder()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.home.log()
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
        self.home.keeper().kill();
        // MySQL would refuse to start while another process happens to have the number in it.
        let _ = std::fs::remove_file(self.folder().join("socket.lock"));
    }

    /// Asks it to stop, and waits for it. Sessions end.
    pub fn stop(&self) {
        self.home.keeper().stop();
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop`](Self::stop), where it was.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn restart(&self) {
        self.start_again();
    }
}

impl Server for MysqlServer {
    const PORT_IS_TAKEN: &'static str = "Address already in use";

    fn name(&self) -> String {
        format!("{:?}", self.version)
    }

    fn home(&self) -> &Home {
        &self.home
    }

    fn choose_ports(&mut self) {
        self.port = free_port();
        settings::write_port(self.folder(), self.port);
    }

    fn is_ready(&self, _: u32) -> bool {
        self.socket().exists() && self.answers()
    }
}
