//! The end of an archive: the manifest, the central directory, publication.

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::manifest::{Manifest, Node, Preceding, check};
use crate::name::{MANIFEST, full_name};
use crate::tail::{ManifestBytes, Tail, by_offset};
use crate::writer::append::{Entry, State};
use crate::writer::sink::Sink;
use crate::writer::{EntryId, Shared};
use sha2::{Digest as _, Sha256};
use std::io::{self, BufWriter, Write};
use time::OffsetDateTime;

/// An archive that stands complete under its final name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sealed {
    /// The manifest as it was written.
    pub manifest: Manifest,
    /// The SHA-256 of `manifest.json`: it stands for the whole archive.
    pub sha256: Digest,
    /// The archive's size in bytes.
    pub bytes: u64,
}

pub(crate) fn seal(shared: &Shared, mut manifest: Manifest, created: OffsetDateTime) -> Result<Sealed> {
    let (mut sink, entries) = close(shared)?;
    let written = fill_in(shared, &mut manifest, created, &mut sink, entries)
        .and_then(|()| write_tail(&manifest, &mut sink))
        .and_then(|sha256| shared.appender.check().map(|()| sha256));
    let (sha256, bytes) = (written, sink.offset);
    let sha256 = match sha256 {
        Ok(sha256) => sha256,
        Err(error) => {
            if let Some(output) = sink.discard() {
                output.abort();
            }
            return Err(error);
        }
    };
    let output = sink.close()?;
    if let Err(error) = shared.appender.check() {
        output.abort();
        return Err(error);
    }
    output.publish()?;
    Ok(Sealed { manifest, sha256, bytes })
}

/// Takes all further writing away from the lanes.
fn close(shared: &Shared) -> Result<(Sink, Vec<Option<Entry>>)> {
    let mut state = shared.appender.lock();
    let State { sink, entries, open, .. } = &mut *state;
    if *open > 0 {
        let message = format!("the archive cannot be sealed: {open} parts are neither finished nor dropped");
        return Err(Error::new(ErrorKind::Misuse, message));
    }
    let sink = sink.take().ok_or_else(super::append::closed)?;
    Ok((sink, std::mem::take(entries)))
}

fn fill_in(
    shared: &Shared,
    manifest: &mut Manifest,
    created: OffsetDateTime,
    sink: &mut Sink,
    mut entries: Vec<Option<Entry>>,
) -> Result<()> {
    for node in &mut manifest.nodes {
        place_parts(node, &mut entries)?;
    }
    if let Some(entry) = entries.iter().flatten().next() {
        let message = "the entry is neither listed in the manifest nor superseded";
        return Err(Error::new(ErrorKind::Misuse, message).at(entry.name.full()));
    }
    manifest.format = crate::Format::CURRENT;
    manifest.created = created;
    manifest.sealed = OffsetDateTime::now_utc();
    manifest.entry_time = shared.entry_time;
    manifest.preceding = Preceding { bytes: sink.offset, sha256: sink.digest()? };
    check(manifest, &Limits::default())
}

fn place_parts(node: &mut Node, entries: &mut [Option<Entry>]) -> Result<()> {
    for part in &mut node.parts {
        let at = |EntryId(id): EntryId| id as usize;
        let slot = part.entry.and_then(|id| entries.get_mut(at(id)));
        let entry = slot.and_then(Option::take);
        let entry = entry.filter(|entry| entry.name.node() == node.path && entry.name.part() == &*part.name);
        let entry = entry.ok_or_else(|| {
            let message =
                "the manifest lists a part that is not in the archive under that name, or lists it twice";
            Error::new(ErrorKind::Misuse, message).at(full_name(&node.path, &part.name))
        })?;
        entry.fill(part);
    }
    Ok(())
}

/// Writes the manifest and what follows it; returns the manifest's digest.
fn write_tail(manifest: &Manifest, sink: &mut Sink) -> Result<Digest> {
    let bytes = measure(manifest)?;
    let tail = Tail::new(manifest, bytes)?;
    let mut before = Vec::new();
    tail.put_before(&mut before);
    sink.push(&before)?;
    serialise(manifest, SinkWriter(sink))?;
    let failed = |e| Error::io("writing the central directory", e);
    tail.write_after(&by_offset(manifest), &mut SinkWriter(sink)).map_err(failed)?;
    Ok(bytes.sha256)
}

/// The manifest's length and digests, for its header stands before it. It may be too large to keep.
fn measure(manifest: &Manifest) -> Result<ManifestBytes> {
    let mut meter = Meter::default();
    serialise(manifest, &mut meter)?;
    let Meter { len, crc, sha256 } = meter;
    Ok(ManifestBytes { len, crc32: crc.finalize(), sha256: Digest(sha256.finalize().into()) })
}

fn serialise(manifest: &Manifest, out: impl Write) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    serde_json::to_writer(&mut out, manifest)
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .map_err(|e| Error::io("writing the manifest", e).at(MANIFEST))
}

#[derive(Default)]
struct Meter {
    len: u64,
    crc: crc32fast::Hasher,
    sha256: Sha256,
}

impl Write for Meter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.len += bytes.len() as u64;
        self.crc.update(bytes);
        self.sha256.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct SinkWriter<'a>(&'a mut Sink);

impl Write for SinkWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
