//! A shop in a temporary folder, and the real binary run in it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses some of it; what fails ends the test"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use regex::Regex;
use rusqlite::Connection;

pub(crate) const CONFIG: &str = "\
version: 1
name: shop
archive: { to: backups }
set:
  - name: db
    driver: sqlite
    path: shop.db
    references:
      - { to: uploads, keys: \"SELECT image FROM product\" }
  - name: uploads
    driver: filesystem
    path: uploads
";

/// A folder with a shop: a database whose rows name three files.
pub(crate) struct Shop {
    _temporary: tempfile::TempDir,
    pub(crate) folder: PathBuf,
}

/// What came of a command.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    transcript: String,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let shop = Self::empty();
        shop.configure(CONFIG);
        std::fs::create_dir(shop.folder.join("uploads")).unwrap();
        let database = shop.database();
        database.execute_batch("CREATE TABLE product (id INTEGER PRIMARY KEY, image TEXT)").unwrap();
        for image in ["a.jpg", "b.jpg", "c.jpg"] {
            std::fs::write(shop.folder.join("uploads").join(image), image.repeat(200)).unwrap();
            database.execute("INSERT INTO product (image) VALUES (?1)", [image]).unwrap();
        }
        // A file that has just been written is captured twice: that would show in transcripts.
        std::thread::sleep(Duration::from_millis(40));
        shop
    }

    /// A folder called `shop` with nothing in it.
    pub(crate) fn empty() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().canonicalize().unwrap().join("shop");
        std::fs::create_dir(&folder).unwrap();
        Self { _temporary: temporary, folder }
    }

    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(self.folder.join("dumprestore.yaml"), text).unwrap();
    }

    pub(crate) fn database(&self) -> Connection {
        Connection::open(self.folder.join("shop.db")).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A bad release: rows and files go.
    pub(crate) fn break_it(&self) {
        self.database().execute_batch("DELETE FROM product WHERE id > 1").unwrap();
        std::fs::remove_file(self.path("uploads/b.jpg")).unwrap();
        std::fs::write(self.path("uploads/extra.jpg"), "new").unwrap();
    }

    /// Rows and names of files.
    pub(crate) fn state(&self) -> String {
        let rows: i64 =
            self.database().query_row("SELECT count(*) FROM product", [], |row| row.get(0)).unwrap();
        format!("{rows} rows, files {}", self.files("uploads").join(" "))
    }

    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dumprestore"));
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command.env_remove("NO_COLOR").env("TERM", "xterm");
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("PG") || name.ends_with("_URL") {
                command.env_remove(&*name);
            }
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.ran(arguments, &self.command(arguments).output().unwrap())
    }

    /// The same, in a process whose files can have no more than 512 bytes: as if the disk were full then.
    pub(crate) fn run_with_small_files(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_dumprestore"),
        ]);
        let output = command.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).output().unwrap();
        self.ran(arguments, &output)
    }

    /// A command that has to end with 0.
    pub(crate) fn must(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{}", ran.transcript);
        ran
    }

    pub(crate) fn ran(&self, arguments: &[&str], output: &Output) -> Ran {
        let code = output.status.code().unwrap_or(-1);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let mut transcript = format!("$ dumprestore {}\n[exit {code}]\n", arguments.join(" "));
        for (name, text) in [("stdout", &stdout), ("stderr", &stderr)] {
            if !text.is_empty() {
                let _ = write!(transcript, "--- {name}\n{}", in_order(&redact(&self.folder, text)));
            }
        }
        Ran { code, stdout, stderr, transcript }
    }
}

impl Ran {
    /// What a person saw, without what differs each time.
    pub(crate) fn transcript(&self) -> &str {
        &self.transcript
    }

    /// The lines of `--json`, of which the last is the result.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let lines = json_lines(&self.stdout);
        let results = lines.iter().filter(|line| line["event"] == "result").count();
        assert_eq!(results, 1, "{}", self.stdout);
        assert_eq!(lines.last().unwrap()["event"], "result");
        lines
    }
}

pub(crate) fn json_lines(text: &str) -> Vec<serde_json::Value> {
    let lines =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    let lines: Vec<serde_json::Value> = lines.collect();
    assert!(lines.iter().all(|line| line["schema_version"] == 1 && line["event"].is_string()), "{text}");
    lines
}

fn redact(folder: &Path, text: &str) -> String {
    let mut text = text.replace(folder.to_str().unwrap(), "[DIR]");
    for (pattern, place) in [
        (r"\d{8}T\d{6}Z-[0-9a-f]{8}", "[RUN]"),
        (r"\d{8}T\d{6}Z", "[STAMP]"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "[TIME]"),
        (r", [\d.]+ [KMGT]?i?B/s", ""),
        (r"(<1|\d+(\.\d+)?) (ms|s)\b", "[TIME]"),
        (r"\d+(\.\d+)? [KMGT]?i?B\b", "[SIZE]"),
        (r"\b[0-9a-f]{64}\b", "[SHA256]"),
        (r"process \d+", "process [PID]"),
        (r"\((just now|\d+ \w+ ago)\)", "([AGE])"),
        (r"dumprestore \d+\.\d+\.\d+", "dumprestore [VERSION]"),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, place).into_owned();
    }
    text
}

/// Nodes are worked on at once, and their lines come in any order: sorts those that follow each other.
fn in_order(text: &str) -> String {
    let of_nodes = |a: &str, b: &str| {
        ["load ", "stream "].iter().any(|phase| a.starts_with(phase) && b.starts_with(phase))
    };
    let mut lines: Vec<&str> = text.lines().collect();
    lines.chunk_by_mut(|a, b| of_nodes(a, b)).for_each(<[&str]>::sort_unstable);
    lines.iter().fold(String::new(), |text, line| text + line + "\n")
}
