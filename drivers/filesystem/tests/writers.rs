//! Writers whose stamps come before their bytes, or not at all: what is certified is whole all the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test can't go on without ends it")]

mod folder;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dumprestore_driver::Reference;
use folder::{Archive, Case, rest, while_busy};
use serde_json::json;

/// A program that ends with the test.
struct Running(Child);

impl Running {
    fn start(program: &str, args: &[&str]) -> Self {
        let child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Self(child.unwrap_or_else(|error| panic!("`{program}` is needed: {error}")))
    }

    /// Waits for a line of its output.
    fn line(&mut self) {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// A dump with a reference to `file` that has no digest, if it is certified.
async fn certified(case: &Case, file: &str) -> Option<Archive> {
    let mut dump = case.open(json!({})).await;
    dump.pass().await;
    rest();
    dump.pin().await;
    match dump.resolve(&[Reference::to(file)]).await.is_empty() {
        true => Some(dump.seal().await),
        false => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_write_that_lasts_long_is_never_certified_half_done() {
    const SIZE: usize = 24 << 20;
    let case = Case::default();
    case.build().file("slow", vec![1; SIZE]);
    let new = case.around.path().join("new");
    fs::write(&new, vec![2; SIZE]).unwrap();
    let mut whole = 0;
    for _try in 0..2 {
        fs::write(case.build().at("slow"), vec![1; SIZE]).unwrap();
        rest();
        // It gets what a busy loop leaves it of one processor: it is copying for as long as a second.
        let _busy = Running::start("taskset", &["-c", "0", "sh", "-c", "while :; do :; done"]);
        let (from, to) =
            (format!("if={}", new.display()), format!("of={}", case.build().at("slow").display()));
        let before = fs::metadata(case.build().at("slow")).unwrap().modified().unwrap();
        let nice = ["-c", "0", "nice", "-n", "19", "dd", &from, &to, "bs=24M", "conv=notrunc", "status=none"];
        let _writer = Running::start("taskset", &nice);
        while fs::metadata(case.build().at("slow")).unwrap().modified().unwrap() == before {
            std::thread::sleep(Duration::from_millis(1));
        }
        if let Some(archive) = certified(&case, "slow").await {
            let bytes = archive.file("slow").unwrap();
            let is_one = bytes.iter().all(|byte| *byte == bytes[0]);
            assert!(bytes.len() == SIZE && is_one, "torn: new up to some byte, then old");
            whole += 1;
        }
    }
    assert!(whole > 0, "it was never certified, so nothing was tested");
}

/// Maps a file and closes it, then writes a number at its beginning and at its end, as often as it is told to.
const MAPPED: &str = "
import mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 0)
os.close(fd)
turn = 0
def write():
    global turn
    turn += 1
    m[0:8] = turn.to_bytes(8, 'big')
    m[-8:] = turn.to_bytes(8, 'big')
write()
print('ready', flush=True)
if sys.argv[2] == 'rest':
    sys.stdin.read()
while True:
    write()
    time.sleep(float(sys.argv[3]))
";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_through_a_map_is_never_certified_torn() {
    const SIZE: usize = 6_000_000;
    let case = Case::default();
    let mut certificates = 0;
    for pause in ["0.0005", "0.003", "0.3"] {
        case.build().file("mapped", vec![0; SIZE]);
        let path = case.build().at("mapped").display().to_string();
        let mut writer = Running::start("python3", &["-c", MAPPED, &path, "go", pause]);
        writer.line();
        rest();
        for _try in 0..4 {
            let Some(archive) = certified(&case, "mapped").await else { continue };
            let bytes = archive.file("mapped").unwrap();
            let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
            let (first, last) = (number(0), number(SIZE - 8));
            assert!(first == last || first == last + 1, "torn: {first} and {last}, every {pause} s");
            certificates += 1;
        }
    }
    assert!(certificates > 0, "it was never certified, so nothing was tested");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_open_for_writing_or_mapped_and_rests_is_certified() {
    let case = Case::default();
    case.build().file("open", "o").file("mapped", vec![0; 100_000]);
    let _open = File::options().write(true).open(case.build().at("open")).unwrap();
    let path = case.build().at("mapped").display().to_string();
    let mut mapped = Running::start("python3", &["-c", MAPPED, &path, "rest"]);
    mapped.line();
    rest();
    assert!(certified(&case, "open").await.is_some());
    assert!(certified(&case, "mapped").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_map_changes_after_it_was_captured_is_not_as_of_the_cut() {
    let case = Case::default();
    case.build().file("mapped", vec![0; 100_000]);
    let path = case.build().at("mapped").display().to_string();
    let mut writer = Running::start("python3", &["-c", MAPPED, &path, "rest", "0.001"]);
    writer.line();
    rest();
    let mut dump = case.open(json!({})).await;
    dump.pass().await;
    rest();
    // The page that it wrote to before the pass is written to again.
    drop(writer.0.stdin.take());
    rest();
    dump.pin().await;
    assert_eq!(dump.resolve(&[Reference::to("mapped")]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_open_for_writing_and_captured_late_resolves_at_the_next_cut() {
    let case = Case::default();
    let mut dump = case.open(json!({})).await;
    dump.pass().await;
    case.build().file("open", "o");
    let _open = File::options().write(true).open(case.build().at("open")).unwrap();
    rest();
    dump.pin().await;
    assert_eq!(dump.resolve(&[Reference::to("open")]).await.len(), 1, "it could be written to through a map");
    dump.source.unpin().await.unwrap();
    assert!(dump.pass().await.is_empty(), "it was read again");
    rest();
    dump.pin().await;
    assert!(dump.resolve(&[Reference::to("open")]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_files_for_writing_is_neither_held_up_nor_signalled() {
    let case = Case::default();
    for n in 0..50 {
        case.build().file(format!("{n}"), "content");
    }
    rest();
    let longest = AtomicU64::new(0);
    let open = |turn: u64| {
        let begun = std::time::Instant::now();
        drop(File::options().write(true).open(case.build().at(format!("{}", turn % 50))).unwrap());
        longest.fetch_max(begun.elapsed().as_millis() as u64, Ordering::Relaxed);
    };
    while_busy(open, async || {
        for _dump in 0..100 {
            let archive = case.dump(json!({})).await;
            assert_eq!((archive.parts.len(), archive.ledger.len()), (51, 0), "{:?}", archive.ledger);
        }
    })
    .await;
    // A lease that is held makes an opener wait for 45 seconds.
    assert!(longest.into_inner() < 5_000);
}
