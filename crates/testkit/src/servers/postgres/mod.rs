//! PostgreSQL servers.

mod options;
mod sql;
mod template;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub use options::{PostgresOptions, PostgresVersion};

use super::room::room;
use super::server::{Home, Server};
use super::{Account, Authority, Programs, run};
use crate::free_port;

/// A user of its own for the tests' own statements, which is always let in by the socket.
const SUPERUSER: &str = "postgres";

/// A server of its own. It and its folder go when this is dropped, or its process ends.
pub struct PostgresServer {
    version: PostgresVersion,
    programs: Programs,
    home: Home,
    port: u16,
    authority: Option<Authority>,
    databases: AtomicU64,
}

impl PostgresServer {
    /// A server with ordinary settings, that lets everybody in.
    pub fn start(version: PostgresVersion) -> Self {
        PostgresOptions::new(version).start()
    }

    /// One server for all tests of a program. It goes when the program ends.
    pub fn shared(version: PostgresVersion) -> &'static Self {
        static SHARED: Mutex<BTreeMap<PostgresVersion, &'static PostgresServer>> =
            Mutex::new(BTreeMap::new());
        // Where another test could not start it, this one is to say so as well.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.entry(version).or_insert_with(|| Box::leak(Box::new(Self::start(version))))
    }

    /// Starts one with these options.
    ///
    /// # Panics
    /// If that version is not installed, or does not come up: with what its log says.
    pub(crate) fn with(options: &PostgresOptions) -> Self {
        Self::begin(options, |programs, data| template::copy_to(options.version, programs, data))
    }

    /// A hot standby of this server: it follows what is committed here, and only reads.
    pub fn standby(&self) -> Self {
        let options = PostgresOptions::new(self.version);
        let standby = Self::begin(&options, |programs, data| {
            let mut command = programs.command("pg_basebackup");
            command.arg("-D").arg(data).args(["-R", "-X", "stream", "-c", "fast", "-h"]).arg(self.folder());
            run(command.args(["-p", &self.port.to_string(), "-U", SUPERUSER]));
        });
        standby.rows("postgres", "SELECT 1");
        standby
    }

    fn begin(options: &PostgresOptions, make: impl FnOnce(&Programs, &Path)) -> Self {
        let programs = options.version.programs();
        let folder = room("dumprestore-pg-");
        let account = Account::of_servers();
        account.give(folder.path(), 0o755);
        let data = folder.path().join("data");
        make(&programs, &data);
        let authority = options.tls.then(|| Authority::new(folder.path()));
        configure(options, folder.path(), &data, authority.as_ref());
        // From here on it is the keeper who removes it.
        let folder = folder.keep();
        let mut command = account.prefix();
        command.push("env".to_owned());
        command
            .extend(programs.variables().iter().map(|(name, value)| format!("{name}={}", value.display())));
        command.push(programs.path("postgres").expect("it was found").display().to_string());
        command.extend(["-D".to_owned(), data.display().to_string()]);
        let home = Home::new(folder, "INT", &command);
        let mut server = Self {
            version: options.version,
            programs,
            home,
            port: 0,
            authority,
            databases: AtomicU64::new(0),
        };
        server.start_on_free_ports();
        server
    }

    /// Its major version.
    pub fn version(&self) -> PostgresVersion {
        self.version
    }

    /// Its programs, and some versions' clients.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The port on `127.0.0.1`, and of the socket in [`folder`](Self::folder).
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it lives: its socket, its `log`, its `data`, and with TLS its `ca.crt`.
    pub fn folder(&self) -> &Path {
        self.home.folder()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.home.log()
    }

    /// Who signed its certificate, with [`PostgresOptions::tls`].
    ///
    /// # Panics
    /// Without.
    pub fn authority(&self) -> &Authority {
        self.authority.as_ref().expect("a server with TLS")
    }

    /// A database's URL over TCP, as the superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }

    /// A database's URL over the socket, as the superuser.
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.folder().display().to_string().replace('/', "%2F");
        format!("postgres://{SUPERUSER}@{folder}:{}/{database}", self.port)
    }

    /// Makes an empty database, and gives its name: one that no other test has.
    pub fn create_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        self.batch("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Drops a database, with all its sessions.
    pub fn drop_database(&self, name: &str) {
        self.batch("postgres", &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"));
    }

    /// `kill -9`, for the server and all its sessions.
    pub fn kill(&self) {
        self.home.keeper().kill();
    }

    /// Asks it to stop, as an administrator would who can't wait for sessions to end.
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

    /// Reads its settings and `pg_hba.conf` again.
    pub fn reload(&self) {
        self.batch("postgres", "SELECT pg_reload_conf()");
    }
}

impl Server for PostgresServer {
    const PORT_IS_TAKEN: &'static str = "could not bind";

    fn name(&self) -> String {
        format!("PostgreSQL {:?}", self.version)
    }

    fn home(&self) -> &Home {
        &self.home
    }

    fn choose_ports(&mut self) {
        self.port = free_port();
        let file = self.folder().join("data/port.conf");
        std::fs::write(&file, format!("port = {}\n", self.port)).expect("a setting");
        Account::of_servers().give(&file, 0o644);
    }

    /// It notes in its lock file that it takes connections.
    fn is_ready(&self, pid: u32) -> bool {
        let file = std::fs::read_to_string(self.folder().join("data/postmaster.pid")).unwrap_or_default();
        let mut lines = file.lines();
        let ours = lines.next().is_some_and(|line| line.trim() == pid.to_string());
        ours && lines.nth(6).is_some_and(|status| matches!(status.trim(), "ready" | "standby"))
    }
}

fn configure(options: &PostgresOptions, folder: &Path, data: &Path, authority: Option<&Authority>) {
    let mut settings = format!(
        "listen_addresses = '{}'\nunix_socket_directories = '{}'\n",
        options.listen,
        folder.display()
    );
    settings.push_str(BASIC_SETTINGS);
    if authority.is_some() {
        for (name, file) in
            [("ssl_ca_file", "ca.crt"), ("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")]
        {
            writeln!(settings, "{name} = '{}'", folder.join(file).display()).expect("a string");
        }
        settings.push_str("ssl = on\n");
    }
    for (name, value) in &options.settings {
        writeln!(settings, "{name} = '{}'", value.replace('\'', "''")).expect("a string");
    }
    settings.push_str("include 'port.conf'\n");
    let mut admissions = format!("local all {SUPERUSER} trust\nlocal replication {SUPERUSER} trust\n");
    for line in &options.admissions {
        writeln!(admissions, "{line}").expect("a string");
    }
    for (name, content) in [("postgresql.conf", settings), ("pg_hba.conf", admissions)] {
        std::fs::write(data.join(name), content).expect("a file of the server");
        Account::of_servers().give(&data.join(name), 0o644);
    }
}

/// Nothing in it has to survive a crash of the machine, but what is committed that of the server; and many servers run
/// beside each other.
const BASIC_SETTINGS: &str = "\
fsync = off
full_page_writes = off
max_connections = 60
# In its folder, which goes with it: what lies elsewhere outlives a server that is killed.
dynamic_shared_memory_type = mmap
shared_buffers = 32MB
max_wal_size = 1GB
max_wal_senders = 5
max_prepared_transactions = 5
wal_level = logical
hot_standby = on
jit = off
huge_pages = off
lc_messages = 'C'
log_timezone = 'UTC'
timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d '
";
