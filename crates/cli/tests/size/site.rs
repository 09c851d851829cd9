//! A folder with a configuration, and the binary run in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dumprestore_testkit::{S3Bucket, S3Server};

/// Runs a command, writes down how many KiB of memory it had at its peak, or any program that it ran, and ends as it.
const MEASURE: &str = "\
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code if code >= 0 else 128 - code)";

/// Where a command that is to have no other place for its files finds one: `$1`, of `$0` bytes.
const SMALL_DISK: &str = "\
size=$0 place=$1
shift
mount -t tmpfs -o size=$size none $place
mkdir $place/tmp $place/state
export TMPDIR=$place/tmp
exec \"$@\"";

/// A folder to run commands in.
pub(crate) struct Site {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

/// What came of a command that did what it should.
pub(crate) struct Ran {
    pub(crate) peak_mb: u64,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        std::fs::create_dir(path.join("small")).unwrap();
        Self { _folder: folder, path }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path.join(name), text).unwrap();
    }

    /// What a command of ours takes.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_by(&[], arguments)
    }

    /// The same, with so many bytes in all for temporary files, and for `small/state`.
    pub(crate) fn run_on_small_disk(&self, bytes: u64, arguments: &[&str]) -> Ran {
        let (bytes, small) = (bytes.to_string(), self.path.join("small"));
        let mut wrapper = vec!["unshare", "--mount", "--propagation", "private"];
        if !rustix::process::geteuid().is_root() {
            wrapper.push("--map-root-user");
        }
        wrapper.extend(["sh", "-ec", SMALL_DISK, &bytes, small.to_str().unwrap()]);
        self.run_by(&wrapper, arguments)
    }

    fn run_by(&self, wrapper: &[&str], arguments: &[&str]) -> Ran {
        let peak = self.path.join("peak");
        let mut command = Command::new("python3");
        command.args(["-c", MEASURE]).arg(&peak).args(wrapper).arg(env!("CARGO_BIN_EXE_dumprestore"));
        command.args(arguments).current_dir(&self.path).stdin(Stdio::null());
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}\n{told}", output.status);
        let peak: u64 = std::fs::read_to_string(peak).unwrap().parse().unwrap();
        Ran { peak_mb: peak / 1024 }
    }

    /// Bytes of a file.
    pub(crate) fn size(&self, name: &str) -> u64 {
        Path::new(&self.path).join(name).metadata().unwrap().len()
    }
}

/// What the options of a store are, for what lies in this bucket below `shop`.
pub(crate) fn options(server: &S3Server, bucket: &S3Bucket) -> String {
    format!(
        "url: '{}', endpoint: '{}', access_key_id: '{}', secret_access_key: '{}'",
        bucket.url("shop"),
        server.endpoint(),
        server.access_key(),
        server.secret_key(),
    )
}
