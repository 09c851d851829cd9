//! Stores of objects that speak S3.

mod bucket;
mod ceph;
mod client;
mod listing;
mod moto;
mod signature;

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub use bucket::S3Bucket;
pub use client::S3Answer;
use client::S3Client;
pub use listing::{S3Object, S3Upload, S3Version};

use super::Account;
use super::server::{Home, Server};
use crate::soon;

/// Where all buckets are.
const REGION: &str = "us-east-1";
/// Who is let in.
const ACCESS_KEY: &str = "AKIADUMPRESTORETESTS";
const SECRET_KEY: &str = "a-secret/of+the=tests";

/// The stores that tests can have. Both have versions, conditions, uploads in parts, lifecycle rules and locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum S3Kind {
    /// `moto`, which plays AWS, in memory. It lets anybody in who signs with anything, knows times to the second, and
    /// takes a connection a request. It has no names with a line feed.
    Moto,
    /// Ceph's gateway before a cluster of its own, which stands in many data centres. It checks signatures, and knows
    /// times to the millisecond. Its disk is memory, up to 24 GiB.
    Ceph,
}

impl S3Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Moto, Self::Ceph];

    fn command(self, folder: &Path) -> Vec<String> {
        match self {
            Self::Moto => moto::command(folder),
            Self::Ceph => ceph::command(folder),
        }
    }
}

/// A store of its own, on `127.0.0.1`. It and its folder go when this is dropped, or its process ends.
pub struct S3Server {
    kind: S3Kind,
    port: u16,
    home: Home,
    buckets: AtomicU64,
}

impl S3Server {
    /// Starts one, which takes a second or two.
    ///
    /// # Panics
    /// If it is not installed, or does not come up: with what its log says.
    pub fn start(kind: S3Kind) -> Self {
        let folder =
            tempfile::Builder::new().prefix("dumprestore-s3-").tempdir().expect("a temporary folder");
        let account = Account::of_servers();
        account.give(folder.path(), 0o755);
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder");
        account.give(&data, 0o700);
        let mut command = account.prefix();
        command.extend(kind.command(folder.path()));
        // From here on it is the keeper who removes it.
        let folder = folder.keep();
        let home = Home::new(folder, "TERM", &command);
        let mut server = Self { kind, port: 0, home, buckets: AtomicU64::new(0) };
        server.start_on_free_ports();
        server
    }

    /// One server for all tests of a program: each has buckets of its own. It goes when the program ends.
    pub fn shared(kind: S3Kind) -> &'static Self {
        static SHARED: Mutex<BTreeMap<S3Kind, &'static S3Server>> = Mutex::new(BTreeMap::new());
        // Where another test could not start it, this one is to say so as well.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.entry(kind).or_insert_with(|| Box::leak(Box::new(Self::start(kind))))
    }

    /// Which one it is.
    pub fn kind(&self) -> S3Kind {
        self.kind
    }

    /// Its URL, to which buckets' names are added as the first component of the path.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Its address and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The access key that it lets in.
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// The secret to that.
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// Where all buckets are.
    pub fn region(&self) -> &'static str {
        REGION
    }

    /// Where it lives: its `log`, with a line a request, and its `data`.
    pub fn folder(&self) -> &Path {
        self.home.folder()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.home.log()
    }

    /// Makes an empty bucket, whose name no other test has.
    pub fn create_bucket(&self) -> S3Bucket {
        let bucket = self.bucket(&self.new_name());
        bucket.request("PUT", "", &[], &[], b"").succeeded();
        bucket
    }

    /// The same, which keeps all versions of its objects.
    pub fn create_versioned_bucket(&self) -> S3Bucket {
        let bucket = self.create_bucket();
        bucket.set_versioning("Enabled");
        bucket
    }

    /// The same, whose versions can be locked against deletion.
    pub fn create_bucket_with_locks(&self) -> S3Bucket {
        let bucket = self.bucket(&self.new_name());
        bucket.request("PUT", "", &[], &[("x-amz-bucket-object-lock-enabled", "true")], b"").succeeded();
        bucket
    }

    /// A bucket by its name, whether or not there is one.
    pub fn bucket(&self, name: &str) -> S3Bucket {
        S3Bucket::new(S3Client::new(self.address(), self.access_key(), self.secret_key()), name)
    }

    fn new_name(&self) -> String {
        format!("test-{}-{}", std::process::id(), self.buckets.fetch_add(1, Ordering::Relaxed))
    }

    /// `kill -9`. Clients find a port that nobody listens on.
    pub fn kill(&self) {
        self.home.keeper().kill();
        // Some of its processes may still be on their way out.
        soon("the end of a store", || TcpStream::connect(self.address()).is_err());
    }

    /// Starts it again after [`kill`](Self::kill), where it was. It has forgotten everything.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn restart(&self) {
        self.start_again();
    }
}

impl Server for S3Server {
    const PORT_IS_TAKEN: &'static str = "Address already in use";

    fn name(&self) -> String {
        format!("{:?}", self.kind)
    }

    fn home(&self) -> &Home {
        &self.home
    }

    fn choose_ports(&mut self) {
        self.port = match self.kind {
            S3Kind::Moto => moto::choose_port(self.folder()),
            S3Kind::Ceph => ceph::choose_port(self.folder()),
        };
    }

    /// Somebody else may listen there: it is to say so itself, since it was started.
    fn is_ready(&self, pid: u32) -> bool {
        let said = match self.kind {
            S3Kind::Moto => moto::READY,
            S3Kind::Ceph => ceph::READY,
        };
        let log = self.log();
        let since = log.split_once(&format!("this is process {pid}\n"));
        since.is_some_and(|(_, log)| log.contains(said)) && TcpStream::connect(self.address()).is_ok()
    }
}
