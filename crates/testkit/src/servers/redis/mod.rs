//! Servers of Redis and Valkey.

mod cluster;
mod options;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use cluster::RedisCluster;
pub use options::{RedisOptions, RedisVersion};
use redis::{Client, Cmd, Connection, FromRedisValue, RedisResult};

use super::server::{Home, Server};
use super::{Account, Authority, Programs};
use crate::free_port;

/// A node of a cluster listens on another port as well, that many further.
const CLUSTER_BUS: u16 = 10_000;

/// A server of its own. It and its folder go when this is dropped, or its process ends.
pub struct RedisServer {
    options: RedisOptions,
    programs: Programs,
    home: Home,
    port: u16,
    tls_port: Option<u16>,
    authority: Option<Authority>,
}

impl RedisServer {
    /// An ordinary server.
    ///
    /// # Panics
    /// If that version is not installed, or does not come up.
    pub fn start(version: RedisVersion) -> Self {
        Self::with(&RedisOptions::new(version))
    }

    /// One server for all tests of a program, which have to keep out of each other's keys. It goes when the program ends.
    pub fn shared(version: RedisVersion) -> &'static Self {
        static SHARED: Mutex<BTreeMap<RedisVersion, &'static RedisServer>> = Mutex::new(BTreeMap::new());
        // Where another test could not start it, this one is to say so as well.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.entry(version).or_insert_with(|| Box::leak(Box::new(Self::start(version))))
    }

    /// Starts one with these options.
    ///
    /// # Panics
    /// If that version is not installed, or does not come up: with what its log says.
    pub(crate) fn with(options: &RedisOptions) -> Self {
        let programs = options.version.programs();
        let folder =
            tempfile::Builder::new().prefix("dumprestore-re-").tempdir().expect("a temporary folder");
        let account = Account::of_servers();
        account.give(folder.path(), 0o755);
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder");
        account.give(&data, 0o700);
        let authority = options.tls.then(|| Authority::new(folder.path()));
        // From here on it is the keeper who removes it.
        let folder = folder.keep();
        let mut command = account.prefix();
        let daemon = programs.path(&options.version.daemon()).expect("it was found");
        command.push(daemon.display().to_string());
        command.push(folder.join("redis.conf").display().to_string());
        command.extend(options.sentinel.then(|| "--sentinel".to_owned()));
        let home = Home::new(folder, "TERM", &command);
        let options = options.clone();
        let mut server = Self { options, programs, home, port: 0, tls_port: None, authority };
        server.start_on_free_ports();
        server
    }

    /// Whether it has its data, and takes commands.
    fn answers(&self) -> bool {
        self.try_connection(0).and_then(|mut connection| redis::cmd("PING").exec(&mut connection)).is_ok()
    }

    /// Its version.
    pub fn version(&self) -> RedisVersion {
        self.options.version
    }

    /// Its programs, and its clients.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The port on `127.0.0.1`, without TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder().join("socket")
    }

    /// Where it lives: its `socket`, its `log`, its `data`, its `redis.conf`, and with [`RedisOptions::tls`] its `ca.crt`.
    pub fn folder(&self) -> &Path {
        self.home.folder()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.home.log()
    }

    /// Who signed its certificate, with [`RedisOptions::tls`].
    ///
    /// # Panics
    /// Without.
    pub fn authority(&self) -> &Authority {
        self.authority.as_ref().expect("a server with TLS")
    }

    /// A database's URL over TCP, with the password of [`RedisOptions::password`].
    pub fn url(&self, index: u64) -> String {
        format!("redis://{}127.0.0.1:{}/{index}", self.login(), self.port)
    }

    /// The same with TLS. Whoever connects has to trust the [`authority`](Self::authority).
    ///
    /// # Panics
    /// Without [`RedisOptions::tls`].
    pub fn tls_url(&self, index: u64) -> String {
        format!("rediss://{}localhost:{}/{index}", self.login(), self.tls_port.expect("a server with TLS"))
    }

    /// The same over the socket.
    pub fn socket_url(&self, index: u64) -> String {
        format!("redis+unix://{}{}?db={index}", self.login(), self.socket().display())
    }

    fn login(&self) -> String {
        self.options.password.as_ref().map_or(String::new(), |password| format!(":{}@", escaped(password)))
    }

    /// Runs a command in a database, as the default user.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self, index: u64, command: &Cmd) {
        let () = self.ask(index, command);
    }

    /// The same, for its answer.
    ///
    /// # Panics
    /// The same.
    pub fn ask<T: FromRedisValue>(&self, index: u64, command: &Cmd) -> T {
        self.try_ask(index, command).unwrap_or_else(|error| panic!("{error}: {:?}", self.options.version))
    }

    /// The same, which may fail.
    ///
    /// # Errors
    /// What the server says.
    pub fn try_ask<T: FromRedisValue>(&self, index: u64, command: &Cmd) -> RedisResult<T> {
        command.query(&mut self.try_connection(index)?)
    }

    /// A line of `INFO`.
    ///
    /// # Panics
    /// If there is none of that name.
    pub fn info(&self, name: &str) -> String {
        let text: String = self.ask(0, redis::cmd("INFO").arg("all"));
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("no `{name}`: {text}")).to_owned()
    }

    /// A connection over the socket, as the default user.
    ///
    /// # Panics
    /// If the server does not let it in.
    pub fn connection(&self, index: u64) -> Connection {
        self.try_connection(index).unwrap_or_else(|error| panic!("{error}: {:?}", self.options.version))
    }

    fn try_connection(&self, index: u64) -> RedisResult<Connection> {
        let password =
            self.options.password.as_deref().map_or(String::new(), |one| format!("&pass={}", escaped(one)));
        Client::open(format!("unix://{}?db={index}{password}", self.socket().display()))?.get_connection()
    }

    /// `kill -9`. What it has not written to disk is gone: see [`RedisOptions::durable`].
    pub fn kill(&self) {
        self.home.keeper().kill();
    }

    /// Asks it to stop, and waits for it. Connections end.
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

impl Server for RedisServer {
    const PORT_IS_TAKEN: &'static str = "Address already in use";

    fn name(&self) -> String {
        format!("{:?}", self.options.version)
    }

    fn home(&self) -> &Home {
        &self.home
    }

    fn choose_ports(&mut self) {
        self.port = port(self.options.cluster);
        self.tls_port = self.options.tls.then(|| port(self.options.cluster));
        settings::write(&self.options, self.folder(), self.port, self.tls_port);
    }

    fn is_ready(&self, _: u32) -> bool {
        self.socket().exists() && self.answers()
    }
}

fn port(cluster: bool) -> u16 {
    loop {
        match free_port() {
            port if cluster && port.checked_add(CLUSTER_BUS).is_none() => {}
            port => return port,
        }
    }
}

/// As it stands in a URL.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
