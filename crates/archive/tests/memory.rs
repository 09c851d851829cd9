//! The number of parts does not show in the memory that an archive takes, neither to write nor to read.
//!
//! Each measurement is a process of its own, whose peak of resident memory the system knows.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests")]

use dumprestore_archive::*;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// What the process is to do: the phase, the number of parts, the archive's path.
const TASK: &str = "DUMPRESTORE_TEST_MANY_PARTS";
const FEW: u64 = 50_000;
const MANY: u64 = 250_000;
/// In megabytes. As long as each part took some hundred bytes, `MANY` took more than 50 MB more than `FEW`.
const MOST_MORE: f64 = 12.0;
const MOST: f64 = 60.0;

fn name(at: u64) -> String {
    format!("files/{:03}/photo-{at:08}.jpg", at / 1000)
}

fn write(parts: u64, path: &Path) {
    let mut options = WriterOptions::default();
    options.scratch = Some(path.parent().unwrap().to_owned());
    let output = FileOutput::create(path, Existing::Keep).unwrap();
    let writer = ArchiveWriter::create(Box::new(output), options).unwrap();
    for at in 0..parts {
        // Written in another order than listed, and each hundredth of them twice.
        let place = at * 7919 % parts;
        let mut part =
            writer.part(&EntryName::new("uploads", &name(place)).unwrap(), Compression::Store).unwrap();
        part.write_all(&place.to_le_bytes()).unwrap();
        let receipt = part.finish().unwrap();
        if place.is_multiple_of(100) {
            let mut part =
                writer.part(&EntryName::new("uploads", &name(place)).unwrap(), Compression::Store).unwrap();
            part.write_all(b"superseded").unwrap();
            part.finish().unwrap();
        }
        writer.list("uploads", receipt.id, place, &Listed::rows(Some(place))).unwrap();
    }
    writer.supersede_unlisted("uploads");
    let tool = Tool { name: "tests".into(), version: "1.0".into() };
    let mut manifest = Manifest::new(tool, "shop", "run-1", time::OffsetDateTime::now_utc());
    manifest.nodes.push(Node::new("uploads", "filesystem", 1));
    writer.seal(manifest).unwrap();
}

fn open(path: &Path) -> Archive {
    let scratch = Some(path.parent().unwrap().to_owned());
    Archive::open_with(Arc::new(File::open(path).unwrap()), &Limits::default(), scratch).unwrap()
}

fn read(parts: u64, path: &Path) {
    let archive = open(path);
    assert_eq!(archive.totals("uploads").unwrap().parts, parts);
    for (at, part) in (0..).zip(archive.parts("uploads").unwrap()) {
        let part = part.unwrap();
        assert_eq!((&*part.name, part.rows), (&*name(at), Some(at)));
    }
    for first in [0, 1, 1023, 1024, 40_000, parts - 1, parts, parts + 5] {
        let mut rest = archive.parts_from("uploads", first).unwrap();
        assert_eq!(
            rest.next().map(|part| part.unwrap().name.to_string()),
            (first < parts).then(|| name(first))
        );
        assert_eq!(rest.count() as u64, (parts - 1).saturating_sub(first));
    }
    let mut content = Vec::new();
    for at in (0..parts).step_by(37) {
        content.clear();
        archive.part("uploads", &name(at)).unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content, at.to_le_bytes());
    }
    assert!(archive.find("uploads", &name(parts)).unwrap().is_none());
}

fn verify(parts: u64, path: &Path) {
    let verified = open(path).verify(&VerifyOptions::default(), &|_| {}, &|| false).unwrap();
    assert_eq!(verified.parts, parts);
}

fn list(path: &Path) {
    serde_json::to_writer(std::io::BufWriter::new(std::io::sink()), &open(path).document()).unwrap();
}

/// Does nothing unless it is told to by `measure`.
#[test]
fn one_task() {
    let Ok(task) = std::env::var(TASK) else { return };
    let [phase, parts, path] = task.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let (parts, path) = (parts.parse().unwrap(), Path::new(path));
    match phase {
        "write" => write(parts, path),
        "read" => read(parts, path),
        "verify" => verify(parts, path),
        _ => list(path),
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    eprintln!("peak {}", peak.trim().trim_end_matches(" kB"));
}

/// Megabytes.
fn measure(phase: &str, parts: u64, path: &Path) -> f64 {
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_task", "--nocapture"])
        .env(TASK, format!("{phase} {parts} {}", path.display()))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{phase} {parts}: {told}{}", String::from_utf8_lossy(&done.stdout));
    told.lines().find_map(|line| line.strip_prefix("peak ")).unwrap().parse::<f64>().unwrap() / 1024.0
}

#[test]
fn more_parts_take_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (few, many) = (folder.path().join("few.zip"), folder.path().join("many.zip"));
    for phase in ["write", "read", "verify", "list"] {
        let (less, more) = (measure(phase, FEW, &few), measure(phase, MANY, &many));
        eprintln!("{phase}: {less:.1} MB with {FEW} parts, {more:.1} MB with {MANY}");
        assert!(more < less + MOST_MORE && more < MOST, "{phase}: {less:.1} MB, then {more:.1} MB");
    }
    // Files without a name leave nothing behind.
    assert_eq!(folder.path().read_dir().unwrap().count(), 2);
}
