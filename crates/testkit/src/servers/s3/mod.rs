//! Stores of objects that speak S3.

mod bucket;
mod client;
mod listing;
mod signature;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub use bucket::S3Bucket;
pub use client::S3Answer;
use client::S3Client;
pub use listing::{S3Object, S3Upload, S3Version};

use super::server::{Home, Server};
use super::{Account, Programs};
use crate::free_port;

/// Where all buckets are.
const REGION: &str = "us-east-1";

/// The stores that tests can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum S3Kind {
    /// `moto`: all that AWS documents, in memory. It looks at no signature. A name can have no line feed in it.
    Moto,
}

impl S3Kind {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Moto];

    fn programs(self) -> Programs {
        match self {
            Self::Moto => Programs::find("moto-5.2", "moto_server", &[]),
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
    /// Starts one, which takes about a second.
    ///
    /// # Panics
    /// If it is not installed, or does not come up: with what its log says.
    pub fn start(kind: S3Kind) -> Self {
        let programs = kind.programs();
        let folder =
            tempfile::Builder::new().prefix("dumprestore-s3-").tempdir().expect("a temporary folder");
        let account = Account::of_servers();
        account.give(folder.path(), 0o755);
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder");
        account.give(&data, 0o700);
        // From here on it is the keeper who removes it.
        let folder = folder.keep();
        let mut command = account.prefix();
        command.extend(["env".to_owned(), format!("TMPDIR={}", data.display())]);
        command.extend(["sh", "-c", MOTO].map(str::to_owned));
        let program = programs.path("moto_server").expect("it was found");
        command.extend([program, folder.join("port")].map(|path| path.display().to_string()));
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
        "AKIADUMPRESTORETESTS"
    }

    /// The secret to that.
    pub fn secret_key(&self) -> &'static str {
        "a-secret/of+the=tests"
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
    }

    /// Starts it again after [`kill`](Self::kill), where it was. [`S3Kind::Moto`] has forgotten everything.
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
        self.port = free_port();
        std::fs::write(self.home.folder().join("port"), self.port.to_string()).expect("a file");
    }

    /// Somebody else may listen there: it is to say so itself, since it was started.
    fn is_ready(&self, pid: u32) -> bool {
        let log = self.log();
        let since = log.split_once(&format!("this is process {pid}\n"));
        since.is_some_and(|(_, said)| said.contains("Running on http"))
    }
}

/// What the shell does with its program and the file of its port.
const MOTO: &str = r#"echo "this is process $$"; exec "$0" -H 127.0.0.1 -p "$(cat "$1")""#;
