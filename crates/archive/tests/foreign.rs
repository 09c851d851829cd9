//! Other people's tools read our archives: a crate's own round trip hides malformed zips.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]

mod sample;

use dumprestore_archive::*;
use sample::*;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Ran, Stdio};

/// The program, or a failure that says which package brings it.
fn tool(names: &[&str], package: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = |name: &&&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let found = names.iter().find(in_path);
    found.unwrap_or_else(|| panic!("`{}` is needed: install the package `{package}`", names[0])).to_string()
}

fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Ran {
    let ran =
        Command::new(program).args(args).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{program}: {out}{err}");
    ran
}

type Expected = BTreeMap<String, Vec<u8>>;

/// One archive by way of a file, the other by way of a stream.
fn archives(folder: &Path, methods: &[Compression]) -> (Vec<PathBuf>, Expected) {
    let (file, stream) = (folder.join("file.zip"), folder.join("stream.zip"));
    let maker = Maker::new(Box::new(FileOutput::create(&file, Existing::Keep).unwrap()), options());
    let expected = fill(&maker, methods, 20);
    maker.seal();
    let (bytes, _) = everything(methods, 20);
    fs::write(&stream, bytes).unwrap();
    (vec![file, stream], expected)
}

fn files_below(folder: &Path, prefix: &str) -> Expected {
    let mut found = Expected::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_below(&entry.path(), &format!("{name}/")));
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// What was extracted is what went in, and the manifest; nothing superseded or abandoned.
fn assert_extracted(folder: &Path, expected: &Expected) {
    let mut found = files_below(folder, "");
    let manifest = found.remove("manifest.json").expect("the manifest");
    serde_json::from_slice::<Manifest>(&manifest).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(found == *expected, "contents differ");
}

const READ_BY_ALL: [Compression; 2] = [Compression::Deflate, Compression::Store];

#[test]
fn unzip_tests_and_extracts_deflated_archives() {
    let unzip = tool(&["unzip"], "unzip");
    let folder = tempfile::tempdir().unwrap();
    let (archives, expected) = archives(folder.path(), &READ_BY_ALL);
    for archive in archives {
        let tested = run(&unzip, [OsStr::new("-t"), archive.as_ref()]);
        let said = String::from_utf8_lossy(&tested.stdout).into_owned();
        assert!(said.contains("No errors detected") && tested.stderr.is_empty(), "{said}");
        let target = archive.with_extension("unzip");
        run(&unzip, [OsStr::new("-q"), archive.as_ref(), "-d".as_ref(), target.as_ref()]);
        assert_extracted(&target, &expected);
    }
}

#[test]
fn python_tests_and_extracts_deflated_archives() {
    let python = tool(&["python3"], "python3");
    let folder = tempfile::tempdir().unwrap();
    let (archives, expected) = archives(folder.path(), &READ_BY_ALL);
    let script = "import sys, zipfile\n\
                  z = zipfile.ZipFile(sys.argv[1])\n\
                  assert z.testzip() is None\n\
                  assert z.namelist()[-1] == 'manifest.json'\n\
                  z.extractall(sys.argv[2])";
    for archive in archives {
        let target = archive.with_extension("python");
        run(&python, [OsStr::new("-c"), script.as_ref(), archive.as_ref(), target.as_ref()]);
        assert_extracted(&target, &expected);
    }
}

#[test]
fn bsdtar_lists_and_extracts_archives_of_every_method() {
    let bsdtar = tool(&["bsdtar"], "libarchive-tools");
    let folder = tempfile::tempdir().unwrap();
    let (archives, expected) = archives(folder.path(), &METHODS);
    for archive in archives {
        let listed = run(&bsdtar, [OsStr::new("-tf"), archive.as_ref()]);
        let mut names: Vec<_> = std::str::from_utf8(&listed.stdout).unwrap().lines().collect();
        assert_eq!(names.pop(), Some("manifest.json"));
        names.sort_unstable();
        assert_eq!(names, expected.keys().collect::<Vec<_>>());
        let target = archive.with_extension("bsdtar");
        fs::create_dir(&target).unwrap();
        run(&bsdtar, [OsStr::new("-xf"), archive.as_ref(), "-C".as_ref(), target.as_ref()]);
        assert_extracted(&target, &expected);
        let name = "shop/zstd/streamed.txt";
        let one = run(&bsdtar, [OsStr::new("-xOf"), archive.as_ref(), name.as_ref()]);
        assert!(one.stdout == expected[name]);
    }
}

#[test]
fn seven_zip_tests_and_extracts_archives_of_every_method() {
    let seven = tool(&["7z", "7zz"], "7zip");
    let folder = tempfile::tempdir().unwrap();
    let (archives, expected) = archives(folder.path(), &METHODS);
    for archive in archives {
        let tested = run(&seven, [OsStr::new("t"), archive.as_ref()]);
        let said = String::from_utf8_lossy(&tested.stdout).into_owned();
        assert!(said.contains("Everything is Ok") && !said.contains("Warning"), "{said}");
        let target = archive.with_extension("7z");
        let to = format!("-o{}", target.display());
        run(&seven, [OsStr::new("x"), archive.as_ref(), to.as_ref()]);
        assert_extracted(&target, &expected);
    }
}

/// The reader that was written from `docs/format.md`.
fn reader() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reader.py")
}

#[test]
fn the_reader_written_from_the_format_reads_archives_of_every_method() {
    let python = tool(&["python3"], "python3");
    tool(&["zstd"], "zstd");
    let folder = tempfile::tempdir().unwrap();
    let (archives, expected) = archives(folder.path(), &METHODS);
    for archive in archives {
        let reader = reader();
        let said = |args: &[&str]| {
            let args = [reader.as_os_str(), archive.as_ref()].into_iter().chain(args.iter().map(OsStr::new));
            run(&python, args).stdout
        };
        let listed = said(&["list"]);
        assert_eq!(std::str::from_utf8(&listed).unwrap().lines().count(), expected.len());
        assert!(
            String::from_utf8(said(&["verify"])).unwrap().starts_with(&format!("{} parts", expected.len()))
        );
        assert_eq!(said(&["cat", "shop/store/small.txt"]), expected["shop/store/small.txt"]);
        serde_json::from_slice::<Manifest>(&said(&["manifest"])).unwrap();
        let target = archive.with_extension("reader");
        said(&["extract", target.to_str().unwrap()]);
        assert!(files_below(&target, "") == expected);
    }
}

#[test]
fn the_reader_written_from_the_format_refuses_damage() {
    let python = tool(&["python3"], "python3");
    let folder = tempfile::tempdir().unwrap();
    let (bytes, _) = everything(&READ_BY_ALL, 1);
    let archive = folder.path().join("damaged.zip");
    for at in (0..bytes.len() - 100).step_by(bytes.len() / 12).chain([bytes.len() - 1, bytes.len() - 99]) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs::write(&archive, damaged).unwrap();
        let mut reading = Command::new(&python);
        let read = reading.arg(reader()).arg(&archive).arg("verify").output().unwrap();
        let in_directory = at > open(&bytes).unwrap().manifest().preceding.bytes as usize;
        assert!(!read.status.success() || in_directory, "byte {at}");
    }
}

#[test]
fn a_foreign_reader_that_goes_from_header_to_header_finds_every_entry() {
    let bsdtar = tool(&["bsdtar"], "libarchive-tools");
    let (bytes, expected) = everything(&[Compression::Deflate], 20);
    let mut reading = Command::new(bsdtar);
    let mut reading =
        reading.args(["-tf", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = reading.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &bytes));
    let read = reading.wait_with_output().unwrap();
    feeding.join().unwrap().unwrap();
    let names = String::from_utf8(read.stdout).unwrap();
    for name in expected.keys() {
        assert!(names.lines().any(|line| line == name), "{name} in {names}");
    }
}
