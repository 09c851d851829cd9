//! Sizes at which zip changes its ways, and memory that does not grow with the data.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod sample;

use dumprestore_archive::*;
use sample::*;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn run(program: &str, package: &str, args: &[&std::ffi::OsStr]) -> String {
    let ran = Command::new(program).args(args).output();
    let ran = ran.unwrap_or_else(|_| panic!("`{program}` is needed: install the package `{package}`"));
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success(), "{program}: {said}");
    said
}

fn seven_zip() -> &'static str {
    if Command::new("7z").output().is_ok() { "7z" } else { "7zz" }
}

fn create(path: &Path) -> Maker {
    let output = FileOutput::create(path, Existing::Keep).unwrap();
    Maker::new(Box::new(output), WriterOptions::default())
}

fn open_file(path: &Path) -> Archive {
    Archive::open(Arc::new(File::open(path).unwrap())).unwrap()
}

const OVER_4_GIB: u64 = (4 << 30) + 12_345;

/// 4 GiB and some of zeros with text at both ends, a MiB at a time.
fn write_large(maker: &Maker, name: &str, how: Compression) {
    let mut part = maker.writer.part(&EntryName::new("db", name).unwrap(), how).unwrap();
    let zeros = vec![0; 1 << 20];
    part.write_all(b"begin").unwrap();
    while part.size() < OVER_4_GIB - 3 {
        let left = usize::try_from(OVER_4_GIB - 3 - part.size()).unwrap();
        part.write_all(&zeros[..left.min(1 << 20)]).unwrap();
    }
    part.write_all(b"end").unwrap();
    let receipt = part.finish().unwrap();
    assert_eq!(receipt.size, OVER_4_GIB);
    maker.list("db", receipt);
}

fn assert_large(mut from: impl Read) {
    let mut buffer = vec![0; 1 << 20];
    let (mut size, mut last) = (0, [0; 3]);
    loop {
        let read = from.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        assert!(size > 0 || buffer.starts_with(b"begin"));
        size += read as u64;
        let tail = [&last[..], &buffer[..read]].concat();
        last.copy_from_slice(&tail[tail.len() - 3..]);
    }
    assert_eq!((size, &last), (OVER_4_GIB, b"end"));
}

#[test]
fn a_part_over_4_gib_is_read_by_us_and_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.zip");
    let maker = create(&path);
    write_large(&maker, "large", Compression::Deflate);
    maker.add("db", "behind", Compression::Deflate, b"behind it");
    maker.seal();
    let archive = open_file(&path);
    assert_large(archive.part("db", "large").unwrap());
    assert_eq!(content(&archive, "db", "behind").unwrap(), b"behind it");

    let said = run("unzip", "unzip", &["-t".as_ref(), path.as_ref()]);
    assert!(said.contains("No errors detected"), "{said}");
    let script = "import sys, zipfile; i = zipfile.ZipFile(sys.argv[1]).infolist(); print(*[x.file_size for x in i[:2]])";
    let said = run("python3", "python3", &["-c".as_ref(), script.as_ref(), path.as_ref()]);
    assert_eq!(said.trim(), format!("{OVER_4_GIB} 9"));
}

#[test]
fn a_zstd_part_over_4_gib_is_read_by_us_and_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.zip");
    let maker = create(&path);
    write_large(&maker, "large", Compression::Zstd);
    maker.add("db", "behind", Compression::Zstd, b"behind it");
    maker.seal();
    verify(&open_file(&path)).unwrap();
    let said = run(seven_zip(), "7zip", &["t".as_ref(), path.as_ref()]);
    assert!(said.contains("Everything is Ok"), "{said}");
    let said = run("bsdtar", "libarchive-tools", &["-xOf".as_ref(), path.as_ref(), "db/behind".as_ref()]);
    assert_eq!(said, "behind it");
}

/// The archive itself is over 4 GiB, so offsets and the central directory's place need zip64 as well.
#[test]
fn an_archive_over_4_gib_is_read_by_us_and_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.zip");
    let maker = create(&path);
    write_large(&maker, "large", Compression::Store);
    maker.add("db", "behind", Compression::Deflate, b"behind it");
    maker.seal();
    assert!(fs::metadata(&path).unwrap().len() > 4 << 30);
    let archive = open_file(&path);
    assert_eq!(content(&archive, "db", "behind").unwrap(), b"behind it");
    verify(&archive).unwrap();
    for (program, package, args) in [
        ("unzip", "unzip", ["-p".as_ref(), path.as_os_str(), "db/behind".as_ref()]),
        ("bsdtar", "libarchive-tools", ["-xOf".as_ref(), path.as_ref(), "db/behind".as_ref()]),
    ] {
        assert_eq!(run(program, package, &args), "behind it");
    }
    let said = run(seven_zip(), "7zip", &["l".as_ref(), path.as_ref()]);
    assert!(said.contains(&OVER_4_GIB.to_string()), "{said}");
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reader.py");
    let args = [reader.as_os_str(), path.as_ref(), "cat".as_ref(), "db/behind".as_ref()];
    assert_eq!(run("python3", "python3", &args), "behind it");
}

#[test]
fn a_hundred_thousand_parts_are_read_by_us_and_by_others() {
    const PARTS: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.zip");
    let maker = create(&path);
    std::thread::scope(|scope| {
        for lane in 0..4 {
            let maker = &maker;
            scope.spawn(move || {
                for number in (lane..PARTS).step_by(4) {
                    let name = format!("{:03}/{number}.txt", number / 1000);
                    maker.add(
                        "files",
                        &name,
                        Compression::Deflate,
                        format!("this is part {number}").as_bytes(),
                    );
                }
            });
        }
    });
    maker.seal();
    let archive = open_file(&path);
    assert_eq!(verify(&archive).unwrap().parts, PARTS as u64);
    assert_eq!(content(&archive, "files", "070/70123.txt").unwrap(), b"this is part 70123");

    let said = run("unzip", "unzip", &["-tqq".as_ref(), path.as_ref()]);
    assert_eq!(said, "");
    let script = "import sys, zipfile; print(len(zipfile.ZipFile(sys.argv[1]).namelist()))";
    let said = run("python3", "python3", &["-c".as_ref(), script.as_ref(), path.as_ref()]);
    assert_eq!(said.trim(), (PARTS + 1).to_string());
    let said = run(seven_zip(), "7zip", &["t".as_ref(), path.as_ref()]);
    assert!(said.contains("Everything is Ok") && said.contains(&format!("Files: {}", PARTS + 1)), "{said}");
    let said = run("bsdtar", "libarchive-tools", &["-tf".as_ref(), path.as_ref()]);
    assert_eq!(said.lines().count(), PARTS + 1);
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reader.py");
    let said = run("python3", "python3", &[reader.as_os_str(), path.as_ref(), "verify".as_ref()]);
    assert!(said.starts_with("100000 parts"), "{said}");
}

const CHILD: &str = "DUMPRESTORE_TEST_WRITES_2_GB";
const MODES: [&str; 3] = ["deflate", "zstd", "store"];

/// Eight lanes, 2 GB in parts of up to 100 MB, all open at once.
fn write_2_gb(how: Compression) {
    let mut options = WriterOptions::default();
    options.workers = 2;
    let maker = Maker::new(Box::new(StreamOutput::new(std::io::sink())), options);
    let (words, noise) = (text(1, 1 << 20), noise(1, 1 << 20));
    std::thread::scope(|scope| {
        for lane in 0..8 {
            let (maker, words, noise) = (&maker, &words, &noise);
            scope.spawn(move || {
                for (number, blocks) in [100, 1, 7, 30, 0, 100, 12].into_iter().enumerate() {
                    let name = EntryName::new("db", &format!("{lane}/{number}")).unwrap();
                    let mut part = maker.writer.part(&name, how).unwrap();
                    for block in 0..blocks {
                        part.write_all(if block % 3 == 2 { noise } else { words }).unwrap();
                    }
                    maker.list("db", part.finish().unwrap());
                }
            });
        }
    });
    maker.seal();
}

/// The process's greatest resident set so far, in MB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1000
}

/// Runs itself once more for each method, for a process's peak is of all its tests.
#[test]
fn memory_stays_bounded_however_much_is_written() {
    if let Ok(mode) = std::env::var(CHILD) {
        let how = METHODS[MODES.iter().position(|other| *other == mode).unwrap()];
        write_2_gb(how);
        let peak = peak_memory();
        assert!(peak < 64, "{peak} MB for {mode}");
        println!("peak of {mode}: {peak} MB");
        return;
    }
    for mode in MODES {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let child = child.args(["--exact", "memory_stays_bounded_however_much_is_written", "--nocapture"]);
        let ran = child.env(CHILD, mode).output().unwrap();
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert!(ran.status.success() && said.contains("peak of"), "{said}");
        print!("{}", said.lines().filter(|line| line.contains("peak of")).collect::<String>());
    }
}
