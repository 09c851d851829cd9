//! The writer alone, against `tar | zstd -1` on the same files: `cargo bench -p dumprestore-archive`.
//!
//! 20,000 files of about 50 KB, half of them incompressible; the same in one file; one file of text half as
//! large. Two lanes, output to a file, flushed to disk.
//! `-- FILES` changes the number of files, `-- FILES ROUNDS` the number of rounds as well.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a program for the terminal")]

#[path = "../tests/sample/mod.rs"]
mod sample;

use dumprestore_archive::*;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const LANES: usize = 2;
const MODES: [Compression; 3] = [Compression::Zstd, Compression::Deflate, Compression::Store];

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<usize>().ok());
    let files = numbers.next().unwrap_or(20_000);
    let rounds = numbers.next().unwrap_or(3);
    let folder = tempfile::tempdir().unwrap();
    let many = folder.path().join("many");
    make_files(&many, files);
    measure("many files", &list(&many), &many, folder.path(), rounds);
    let one = folder.path().join("one");
    fs::create_dir(&one).unwrap();
    let mut large = File::create(one.join("large")).unwrap();
    for file in list(&many) {
        io::copy(&mut File::open(file).unwrap(), &mut large).unwrap();
    }
    measure("one large file", &list(&one), &one, folder.path(), rounds);
    fs::remove_dir_all(&many).unwrap();
    let megabytes = files as u64 / 40;
    let table: Vec<u8> = (0..megabytes).flat_map(|seed| sample::text(seed, 1_000_000)).collect();
    fs::write(one.join("large"), table).unwrap();
    measure("one large table", &list(&one), &one, folder.path(), rounds);
}

fn make_files(folder: &Path, files: usize) {
    for number in 0..files {
        let sub = folder.join(format!("{:03}", number / 100));
        fs::create_dir_all(&sub).unwrap();
        let len = 20_000 + number * 7919 % 60_000;
        let seed = number as u64 + 1;
        let content = if number % 2 == 0 { sample::text(seed, len) } else { sample::noise(seed, len) };
        fs::write(sub.join(format!("{number}.bin")), content).unwrap();
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(list(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

fn measure(title: &str, files: &[PathBuf], folder: &Path, scratch: &Path, rounds: usize) {
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    println!("{title}: {} files, {} MB", files.len(), bytes / 1_000_000);
    let archive = scratch.join("bench.zip");
    let mut rows: Vec<(String, Vec<Took>, u64)> = Vec::new();
    let mut note = |name: String, took: Took, size: u64| match rows.iter_mut().find(|row| row.0 == name) {
        Some(row) => row.1.push(took),
        None => rows.push((name, vec![took], size)),
    };
    for _ in 0..rounds {
        let (took, size) = time_pipe(folder, &scratch.join("bench.tar.zst"), "zstd -1 -q");
        note("tar | zstd -1".into(), took, size);
        for mode in MODES {
            let took = time_of(|| write(files, &archive, mode));
            note(format!("write {mode:?}").to_lowercase(), took, archive.metadata().unwrap().len());
            let took = time_of(|| read(&archive));
            note(format!("read {mode:?}").to_lowercase(), took, archive.metadata().unwrap().len());
            fs::remove_file(&archive).unwrap();
        }
    }
    for (name, mut took, size) in rows {
        took.sort_by_key(|took| took.wall);
        let Took { wall, cpu } = took[took.len() / 2];
        let rate = bytes as f64 / 1e6 / wall.as_secs_f64();
        let (wall, size) = (wall.as_secs_f64(), size / 1_000_000);
        println!("  {name:16} {wall:6.2} s {rate:8.0} MB/s {size:6} MB {cpu:6.2} s of CPU");
    }
}

#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    /// Of this process and its children, in seconds.
    cpu: f64,
}

fn time_of(work: impl FnOnce()) -> Took {
    let (start, cpu) = (Instant::now(), cpu());
    work();
    Took { wall: start.elapsed(), cpu: self::cpu() - cpu }
}

/// User and system time so far, children included: fields 14 to 17 of the process's state, in 1/100 s.
fn cpu() -> f64 {
    let state = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = state.rsplit(") ").next().unwrap().split(' ');
    fields.skip(11).take(4).map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

fn time_pipe(folder: &Path, target: &Path, filter: &str) -> (Took, u64) {
    let took = time_of(|| {
        let mut tar = Command::new("tar");
        let mut tar = tar.arg("-cC").arg(folder).arg(".").stdout(Stdio::piped()).spawn().unwrap();
        let mut words = filter.split(' ');
        let mut filter = Command::new(words.next().unwrap());
        let filter =
            filter.args(words).stdin(tar.stdout.take().unwrap()).stdout(File::create(target).unwrap());
        assert!(filter.status().unwrap().success());
        assert!(tar.wait().unwrap().success());
        File::open(target).unwrap().sync_all().unwrap();
    });
    (took, target.metadata().unwrap().len())
}

fn write(files: &[PathBuf], archive: &Path, mode: Compression) {
    let output = FileOutput::create(archive, Existing::Keep).unwrap();
    let maker = sample::Maker::new(Box::new(output), WriterOptions::default());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let mut buffer = vec![0; 128 << 10];
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = file.file_name().unwrap().to_str().unwrap();
                    let mut part = maker.writer.part(&EntryName::new("files", name).unwrap(), mode).unwrap();
                    let mut file = File::open(file).unwrap();
                    loop {
                        let read = file.read(&mut buffer).unwrap();
                        if read == 0 {
                            break;
                        }
                        part.write_all(&buffer[..read]).unwrap();
                    }
                    maker.list("files", part.finish().unwrap());
                }
            });
        }
    });
    maker.seal();
}

fn read(archive: &Path) {
    let archive = Archive::open(Arc::new(File::open(archive).unwrap())).unwrap();
    let parts = sample::parts(&archive).unwrap();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let mut buffer = vec![0; 256 << 10];
                while let Some((node, part)) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut reader = archive.read(node, part).unwrap();
                    while reader.read(&mut buffer).unwrap() > 0 {}
                }
            });
        }
    });
}
