//! The DO and DON'T pairs of `docs/driver-guide.md`, compiled, and shown to be what they are called.

#![allow(clippy::unwrap_used, reason = "a surrounding that fails ends the test")]

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{
    ArchivedNode, ArchivedPart, CutMode, Error, ErrorKind, NodePath, OpenContext, PartReader, PartWriter,
    Result, Secret,
};
use dumprestore_testkit::{Damage, Dumping, StoredNode, TempDir};

fn dont_stop_at_the_size(
    part: &ArchivedPart,
    from: &mut PartReader<'_>,
    file: &mut impl Write,
) -> Result<()> {
    io::copy(&mut from.take(part.size), file)
        .map(drop)
        .map_err(|error| Error::io("can't write the new ledger", error))
}

fn do_read_to_the_end(from: &mut PartReader<'_>, file: &mut impl Write) -> Result<()> {
    io::copy(from, file).map(drop).map_err(|error| Error::io("can't write the new ledger", error))
}

fn dont_retell_errors(entry: &[u8], out: &mut PartWriter<'_>) -> Result<()> {
    out.write_all(entry).map_err(|error| Error::environment(format!("write failed: {error}")))
}

fn do_pass_errors_on(entry: &[u8], out: &mut PartWriter<'_>) -> Result<()> {
    out.write_all(entry).map_err(|error| Error::io("can't dump the ledger", error))
}

fn dont_take_absence_for_emptiness(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

fn do_fail_if_it_is_gone(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::io("can't open the ledger", error).with_context("path", path.display()))
}

fn dont_expect_what_is_undone_already(new: &Path) -> io::Result<()> {
    std::fs::remove_file(new)
}

fn do_undo_what_is_there(new: &Path) -> io::Result<()> {
    match std::fs::remove_file(new) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

struct DontHideInPlainSight {
    password: String,
}

struct DoKeepSecrets {
    password: Secret,
}

fn a_part(folder: &Path) -> Arc<StoredNode> {
    let config: dumprestore_ledger::LedgerConfig =
        serde_json::from_value(serde_json::json!({ "path": "ledger" })).unwrap();
    let cx = dumprestore_driver::BuildContext::new(NodePath::new("ledger").unwrap(), folder);
    let driver = dumprestore_driver::DriverConfig::build(config, &cx).unwrap();
    std::fs::write(folder.join("ledger"), "one\ntwo\n").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let cx = OpenContext::new("run", folder);
        let mut dumping = Dumping::open(&*driver, cx, folder.join("archive"), Arc::default()).await.unwrap();
        dumping.pin(CutMode::Open).await.unwrap();
        dumping.stream(async || {}).await.unwrap();
        Arc::new(dumping.release().await.0)
    })
}

#[test]
fn only_who_reads_to_the_end_sees_damage() {
    let folder = TempDir::new().unwrap();
    let node = a_part(folder.path());
    let part = node.parts().next().unwrap();
    let damaged = node.with_damage(part.name.clone(), Damage::AtTheEnd);
    let mut stream = damaged.read(&part.name).unwrap();
    assert!(dont_stop_at_the_size(&part, &mut PartReader::new(&mut *stream), &mut io::sink()).is_ok());
    let mut stream = damaged.read(&part.name).unwrap();
    let error = do_read_to_the_end(&mut PartReader::new(&mut *stream), &mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Archive);
}

struct Interrupted;

impl dumprestore_driver::PartSink for Interrupted {
    fn write(&mut self, _data: &[u8]) -> Result<()> {
        Err(Error::cancelled())
    }

    fn finish(&mut self) -> Result<dumprestore_driver::Receipt> {
        Err(Error::cancelled())
    }
}

#[test]
fn only_who_passes_an_error_on_keeps_its_kind() {
    let mut sink = Interrupted;
    let retold = dont_retell_errors(b"x", &mut PartWriter::new(&mut sink)).unwrap_err();
    assert_eq!(retold.kind(), ErrorKind::Environment);
    let passed_on = do_pass_errors_on(b"x", &mut PartWriter::new(&mut sink)).unwrap_err();
    assert_eq!(passed_on.kind(), ErrorKind::Cancelled);
}

#[test]
fn only_who_fails_notices_that_the_source_is_gone() {
    let path = PathBuf::from("/nowhere/ledger");
    assert!(dont_take_absence_for_emptiness(&path).is_empty());
    assert!(do_fail_if_it_is_gone(&path).is_err());
}

#[test]
fn only_who_undoes_what_is_there_can_do_it_twice() {
    let folder = TempDir::new().unwrap();
    let new = folder.path().join("new");
    std::fs::write(&new, "").unwrap();
    assert!(dont_expect_what_is_undone_already(&new).is_ok());
    assert!(dont_expect_what_is_undone_already(&new).is_err());
    assert!(do_undo_what_is_there(&new).is_ok());
}

#[test]
fn only_a_secret_stays_one() {
    let plain = DontHideInPlainSight { password: "s3cret".to_owned() };
    let kept = DoKeepSecrets { password: Secret::new("s3cret") };
    assert!(format!("{:?}", plain.password).contains("s3cret"));
    assert!(!format!("{:?}", kept.password).contains("s3cret"));
}
