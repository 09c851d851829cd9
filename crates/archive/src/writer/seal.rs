//! The end of an archive: the manifest, the central directory, publication.

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::manifest::{Checker, Document, Manifest, Part, Preceding, Streamed, check_nodes};
use crate::name::MANIFEST;
use crate::reader::Skeleton;
use crate::scratch::{Scratch, Sorted, Sorter};
use crate::tail::{ManifestBytes, Tail, header};
use crate::writer::Shared;
use crate::writer::append::State;
use crate::writer::entries::{Entries, LISTING, Section, listed_id};
use crate::writer::sink::Sink;
use sha2::{Digest as _, Sha256};
use std::io::{self, BufWriter, Write};
use time::OffsetDateTime;

/// An archive that stands complete under its final name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sealed {
    /// The manifest as it was written, but for the parts.
    pub manifest: Manifest,
    /// The SHA-256 of `manifest.json`: it stands for the whole archive.
    pub sha256: Digest,
    /// The archive's size in bytes.
    pub bytes: u64,
}

pub(crate) fn seal(shared: &Shared, mut manifest: Manifest, created: OffsetDateTime) -> Result<Sealed> {
    let (mut sink, entries) = close(shared)?;
    let written = write(shared, &mut manifest, created, &mut sink, entries)
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
fn close(shared: &Shared) -> Result<(Sink, Entries)> {
    let mut state = shared.appender.lock();
    let State { sink, entries, open, .. } = &mut *state;
    if *open > 0 {
        let message = format!("the archive cannot be sealed: {open} parts are neither finished nor dropped");
        return Err(Error::new(ErrorKind::Misuse, message));
    }
    let sink = sink.take().ok_or_else(super::append::closed)?;
    Ok((sink, std::mem::replace(entries, Entries::new(Scratch::default()))))
}

/// Writes all that follows the parts; returns the manifest's digest.
fn write(
    shared: &Shared,
    manifest: &mut Manifest,
    created: OffsetDateTime,
    sink: &mut Sink,
    mut entries: Entries,
) -> Result<Digest> {
    entries.check_complete()?;
    check_nodes(&manifest.nodes)?;
    let sections = std::mem::take(&mut entries.sections);
    let lists = lists(manifest, sections, &mut entries)?;
    manifest.format = crate::Format::CURRENT;
    manifest.created = created;
    manifest.sealed = OffsetDateTime::now_utc();
    manifest.entry_time = shared.entry_time;
    manifest.preceding = Preceding { bytes: sink.offset, sha256: sink.digest()? };
    let source = Source { entries: &entries, lists };
    let places = check(&source, manifest, &shared.scratch)?;
    let document = Document::new(manifest, &source);
    let bytes = measure(&document)?;
    let tail = Tail::new(manifest, bytes)?;
    let mut before = Vec::new();
    tail.put_before(&mut before);
    sink.push(&before)?;
    serialise(&document, SinkWriter(sink))?;
    write_directory(&tail, manifest, &entries, &places, sink)?;
    Ok(bytes.sha256)
}

type List = Sorted<LISTING>;

/// For each node of the manifest what is listed of it.
fn lists(manifest: &Manifest, sections: Vec<Section>, entries: &mut Entries) -> Result<Vec<Option<List>>> {
    let mut lists: Vec<Option<List>> = manifest.nodes.iter().map(|_| None).collect();
    for Section { path, list, listed, .. } in sections {
        // The lists move, the paths are still needed.
        entries.sections.push(Section::new(path.clone(), Scratch::default()));
        if listed == 0 {
            continue;
        }
        let at = manifest.nodes.iter().position(|node| *node.path == *path).ok_or_else(|| {
            let message = "parts are listed of a node that is not in the manifest";
            Error::new(ErrorKind::Misuse, message).at(&*path)
        })?;
        lists[at] = Some(list.finish()?);
    }
    Ok(lists)
}

/// What is listed, for the document.
struct Source<'a> {
    entries: &'a Entries,
    lists: Vec<Option<List>>,
}

impl Source<'_> {
    fn each_listed(&self, node: usize, take: &mut dyn FnMut(&Part, u32) -> Result<()>) -> Result<()> {
        let Some(list) = &self.lists[node] else { return Ok(()) };
        let (mut merge, mut reader) = (list.iter()?, self.entries.reader());
        while let Some(listing) = merge.next()? {
            take(&reader.part(&listing)?, listed_id(&listing))?;
        }
        Ok(())
    }
}

impl Streamed for Source<'_> {
    fn each(&self, node: usize, take: &mut dyn FnMut(&Part) -> Result<()>) -> Result<()> {
        self.each_listed(node, &mut |part, _| take(part))
    }
}

/// Where each entry begins, and its number.
type Places = Sorted<12>;

/// Checks what will stand in the manifest as a reader would. Returns the entries in the order of their places.
fn check(source: &Source<'_>, manifest: &Manifest, scratch: &Scratch) -> Result<Places> {
    let limits = Limits::default();
    let mut checker = Checker::new(&limits, scratch.clone());
    let mut places = Sorter::new(scratch.clone());
    for (at, node) in manifest.nodes.iter().enumerate() {
        source.each_listed(at, &mut |part, id| {
            checker.add(&node.path, part, id)?;
            let mut place = [0; 12];
            place[..8].copy_from_slice(&part.offset.to_be_bytes());
            place[8..].copy_from_slice(&id.to_be_bytes());
            places.push(place)
        })?;
    }
    checker.finish()?.sound(|id| source.entries.reader().full_name(id))?;
    check_head(manifest, &limits)?;
    places.finish()
}

/// What a reader would refuse must not be written.
fn check_head(manifest: &Manifest, limits: &Limits) -> Result<()> {
    let mut meter = Meter::default();
    serialise(&Document::new(manifest, &NoParts), &mut meter)?;
    if meter.len > limits.head_bytes {
        let message = format!("it is larger than {} bytes without its parts", limits.head_bytes);
        return Err(Error::new(ErrorKind::Limit, message).at(MANIFEST));
    }
    let mut head = Vec::new();
    serialise(&Document::new(manifest, &NoParts), &mut head)?;
    Skeleton::new(limits.head_bytes).take(&head).map_err(|error| error.at(MANIFEST))
}

struct NoParts;

impl Streamed for NoParts {
    fn each(&self, _: usize, _: &mut dyn FnMut(&Part) -> Result<()>) -> Result<()> {
        Ok(())
    }
}

fn write_directory(
    tail: &Tail<'_>,
    manifest: &Manifest,
    entries: &Entries,
    places: &Places,
    sink: &mut Sink,
) -> Result<()> {
    let (mut merge, mut reader) = (places.iter()?, entries.reader());
    let (mut count, mut len, mut end) = (0, 0, 0);
    let mut buffer = Vec::new();
    while let Some(place) = merge.next()? {
        let [.., a, b, c, d] = place;
        let id = u32::from_be_bytes([a, b, c, d]);
        let name = reader.full_name(id)?;
        let part = reader.record(id)?.part("");
        let header = header(manifest.entry_time, &part, &name);
        if part.offset < end || part.offset.saturating_add(header.total_len()) > manifest.preceding.bytes {
            return Err(Error::damaged("it overlaps what is beside it in the archive").at(name));
        }
        end = part.offset + header.total_len();
        buffer.clear();
        header.put_central(&mut buffer);
        sink.push(&buffer)?;
        (count, len) = (count + 1, len + buffer.len() as u64);
    }
    buffer.clear();
    tail.put_end(count, len, &mut buffer);
    sink.push(&buffer)
}

/// The manifest's length and digests, for its header stands before it. It may be too large to keep.
fn measure(document: &Document<'_>) -> Result<ManifestBytes> {
    let mut meter = Meter::default();
    serialise(document, &mut meter)?;
    let Meter { len, crc, sha256 } = meter;
    Ok(ManifestBytes { len, crc32: crc.finalize(), sha256: Digest(sha256.finalize().into()) })
}

fn serialise(document: &Document<'_>, out: impl Write) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    serde_json::to_writer(&mut out, document)
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
