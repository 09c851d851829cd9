//! From the file's last bytes to a manifest that can be believed.

use crate::clash::NameKeys;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{
    CENTRAL, CENTRAL_LEN, Directory, END, END_LEN, END64, END64_LEN, LOCAL, LOCATOR64, LOCATOR64_LEN,
};
use crate::limits::Limits;
use crate::manifest::{Checker, Manifest, check_nodes};
use crate::name::{MANIFEST, full_name};
use crate::reader::Opened;
use crate::reader::compare::Compare;
use crate::reader::decode::Decoders;
use crate::reader::directory::{Places, too_short};
use crate::reader::elements::{Elements, Text};
use crate::reader::parts::List;
use crate::reader::range::{RangeRead, Stretch};
use crate::reader::skeleton::Skeleton;
use crate::scratch::{Scratch, Table};
use crate::tail::{COMMENT_LEN, ManifestBytes, Tail, header};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

/// How the comment of every version begins; the major version and the manifest's digest follow.
const COMMENT: &str = "dumprestore ";

pub(crate) fn open(file: Arc<dyn RangeRead>, limits: &Limits, scratch: &Scratch) -> Result<Opened> {
    let size = file.size().map_err(|e| Error::io("reading the archive", e))?;
    let (end, sha256) = find_end(&*file, size)?;
    let place = find_manifest(&*file, &end)?;
    if place.len > limits.manifest_bytes {
        let message = format!("its {} bytes are over the limit of {}", place.len, limits.manifest_bytes);
        return Err(Error::new(ErrorKind::Limit, message).at(MANIFEST));
    }
    let (manifest, lists, text, bytes) = read_manifest(&file, &place, sha256, limits)?;
    check_nodes(&manifest.nodes)?;
    if manifest.preceding.bytes != place.header {
        return Err(Error::damaged("it does not begin where it says").at(MANIFEST));
    }
    let lists = lists.into_iter().map(List::new).collect();
    let decoders = Decoders::default();
    let (keys, names) = (NameKeys::default(), Table::new(Scratch::default()));
    let mut opened = Opened { file, manifest, sha256, bytes: size, text, lists, keys, names, decoders };
    check_parts(&mut opened, bytes, limits, scratch)?;
    Ok(opened)
}

fn read_at<const N: usize>(file: &dyn RangeRead, at: u64) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at).map_err(|e| Error::io("reading the archive", e))?;
    Ok(bytes)
}

fn get<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    if let Some(range) = bytes.get(at..at + N) {
        value.copy_from_slice(range);
    }
    value
}

fn get16(bytes: &[u8], at: usize) -> u64 {
    u64::from(u16::from_le_bytes(get(bytes, at)))
}

fn get32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(get(bytes, at))
}

fn get64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(get(bytes, at))
}

const OUR_END: usize = END_LEN + COMMENT_LEN;

/// The end record's place, what it says of the central directory, and the manifest's digest.
fn find_end(file: &dyn RangeRead, size: u64) -> Result<(Directory, Digest)> {
    let Some(at) = size.checked_sub(OUR_END as u64) else { return Err(not_ours(file, size)) };
    let end: [u8; OUR_END] = read_at(file, at)?;
    let comment = std::str::from_utf8(&end[END_LEN..]).ok().and_then(|text| text.strip_prefix(COMMENT));
    let ours = get32(&end, 0) == END && get16(&end, 20) == COMMENT_LEN as u64;
    let Some(comment) = comment.filter(|_| ours) else { return Err(not_ours(file, size)) };
    if is_later_version(&end[END_LEN..]) {
        return Err(later_version());
    }
    let sha256 = comment.strip_prefix("1 ").and_then(Digest::from_hex);
    let sha256 = sha256.ok_or_else(|| Error::damaged("the zip's comment does not hold a digest"))?;
    let mut directory = Directory {
        entries: get16(&end, 10),
        len: u64::from(get32(&end, 12)),
        offset: u64::from(get32(&end, 16)),
    };
    let mut directory_end = at;
    if directory.is_zip64() {
        directory_end = at.saturating_sub((END64_LEN + LOCATOR64_LEN) as u64);
        directory = read_end64(file, directory_end)?;
    }
    if directory.offset.checked_add(directory.len) != Some(directory_end) {
        return Err(Error::damaged("the end record does not tell where the central directory is"));
    }
    Ok((directory, sha256))
}

fn read_end64(file: &dyn RangeRead, at: u64) -> Result<Directory> {
    let end: [u8; END64_LEN + LOCATOR64_LEN] = read_at(file, at)?;
    if get32(&end, 0) != END64 || get32(&end, END64_LEN) != LOCATOR64 {
        return Err(Error::damaged("the zip64 end record is missing"));
    }
    Ok(Directory { entries: get64(&end, 32), len: get64(&end, 40), offset: get64(&end, 48) })
}

/// Why the file does not end as an archive does.
fn not_ours(file: &dyn RangeRead, size: u64) -> Error {
    match last_end_record(file, size) {
        Err(error) => error,
        Ok(_) if size == 0 => Error::new(ErrorKind::NotAnArchive, "the file is empty"),
        Ok(Some(comment)) if is_later_version(&comment) => {
            let message =
                "the archive was written in a later version of the format, which this one cannot read";
            Error::new(ErrorKind::Unsupported, message).hint("update dumprestore")
        }
        Ok(Some(_)) => {
            Error::new(ErrorKind::NotAnArchive, "this is a zip, but not one that dumprestore made")
        }
        Ok(None) => match read_at(file, 0).map(u32::from_le_bytes) {
            Ok(LOCAL) => Error::new(ErrorKind::Incomplete, "the archive ends before its manifest")
                .hint("it was truncated or never completed; it is not a backup"),
            _ => Error::new(ErrorKind::NotAnArchive, "this is not an archive of dumprestore"),
        },
    }
}

fn later_version() -> Error {
    let message = "the archive was written in a later version of the format, which this one cannot read";
    Error::new(ErrorKind::Unsupported, message).hint("update dumprestore")
}

fn is_later_version(comment: &[u8]) -> bool {
    let rest = comment.strip_prefix(COMMENT.as_bytes()).unwrap_or_default();
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    rest.get(digits) == Some(&b' ') && rest[..digits] != *b"1" && digits > 0
}

/// The comment of any zip's end record.
fn last_end_record(file: &dyn RangeRead, size: u64) -> Result<Option<Vec<u8>>> {
    let searched = usize::try_from(size).unwrap_or(usize::MAX).min(END_LEN + 0xffff);
    let mut tail = vec![0; searched];
    let read = file.read_exact_at(&mut tail, size - searched as u64);
    read.map_err(|e| Error::io("reading the archive", e))?;
    let ends = tail.windows(END_LEN).enumerate().rev().filter(|(_, end)| get32(end, 0) == END);
    let mut exact = ends.filter(|(at, end)| at + END_LEN + get16(end, 20) as usize == searched);
    Ok(exact.next().map(|(at, _)| tail[at + END_LEN..].to_vec()))
}

struct Place {
    header: u64,
    start: u64,
    len: u64,
}

/// Finds the manifest through the last record of the central directory.
fn find_manifest(file: &dyn RangeRead, directory: &Directory) -> Result<Place> {
    const SHORT: usize = CENTRAL_LEN + MANIFEST.len();
    // Beyond 4 GiB the offset stands in a field of its own.
    const LONG: usize = SHORT + 12;
    let missing =
        || Error::new(ErrorKind::Incomplete, "`manifest.json` is not the last entry of the archive");
    let is_record = |bytes: &[u8]| {
        get32(bytes, 0) == CENTRAL && bytes.get(CENTRAL_LEN..SHORT) == Some(MANIFEST.as_bytes())
    };
    let end = directory.offset + directory.len;
    let record = match directory.len {
        len if len >= LONG as u64 => read_at::<LONG>(file, end - LONG as u64)?,
        len if len >= SHORT as u64 => {
            let mut record = [0; LONG];
            record[LONG - SHORT..].copy_from_slice(&read_at::<SHORT>(file, end - SHORT as u64)?);
            record
        }
        _ => return Err(missing()),
    };
    let (record, header) = match &record[LONG - SHORT..] {
        short if is_record(short) => (short, u64::from(get32(short, 42))),
        _ if is_record(&record) => (&record[..], get64(&record, SHORT + 4)),
        _ => return Err(missing()),
    };
    let len = u64::from(get32(record, 24));
    let start = directory.offset.checked_sub(len).ok_or_else(missing)?;
    let local = 30 + MANIFEST.len() as u64;
    if header.checked_add(local) != Some(start) {
        return Err(Error::damaged("its size or its place differs between the zip's headers").at(MANIFEST));
    }
    Ok(Place { header, start, len })
}

/// A manifest up to this size is kept in memory.
const AT_ONCE: u64 = 8 << 20;

type Lists = Vec<Option<Range<u64>>>;

fn read_manifest(
    file: &Arc<dyn RangeRead>,
    place: &Place,
    sha256: Digest,
    limits: &Limits,
) -> Result<(Manifest, Lists, Text, ManifestBytes)> {
    let mut stretch = Stretch { file: &**file, at: place.start, left: place.len };
    let (mut crc, mut hash) = (crc32fast::Hasher::new(), Sha256::new());
    let mut skeleton = Skeleton::new(limits.head_bytes);
    let mut gone_through = Ok(());
    let mut kept = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = stretch.read(&mut buffer).map_err(|e| Error::io("reading the archive", e).at(MANIFEST))?;
        if read == 0 {
            break;
        }
        let bytes = &buffer[..read];
        crc.update(bytes);
        hash.update(bytes);
        if place.len <= AT_ONCE {
            kept.extend_from_slice(bytes);
        }
        gone_through = gone_through.and_then(|()| skeleton.take(bytes));
    }
    // The digest decides first whether these are the bytes that were written.
    if Digest(hash.finalize().into()) != sha256 {
        return Err(Error::damaged("its SHA-256 differs from the one at the end of the file").at(MANIFEST));
    }
    gone_through.map_err(|error| error.at(MANIFEST))?;
    let Skeleton { head, lists, .. } = skeleton;
    let manifest = parse(&head)?;
    if manifest.nodes.len() != lists.len() {
        return Err(Error::damaged("it is not a manifest: it has nodes twice").at(MANIFEST));
    }
    let text = match kept.is_empty() {
        true => Text { file: file.clone(), start: place.start },
        false => Text { file: Arc::new(kept), start: 0 },
    };
    Ok((manifest, lists, text, ManifestBytes { len: place.len, crc32: crc.finalize(), sha256 }))
}

fn parse(head: &[u8]) -> Result<Manifest> {
    let manifest: serde_json::Result<Manifest> = serde_json::from_slice(head);
    let manifest = manifest.map_err(|e| Error::damaged(format!("it is not a manifest: {e}")).at(MANIFEST))?;
    if manifest.format.major != crate::Format::CURRENT.major {
        let message = format!("format {} cannot be read by this version", manifest.format);
        return Err(Error::new(ErrorKind::Unsupported, message).at(MANIFEST).hint("update dumprestore"));
    }
    Ok(manifest)
}

/// Checks what the manifest says of the parts, and makes all bytes around it once more and compares.
fn check_parts(opened: &mut Opened, bytes: ManifestBytes, limits: &Limits, scratch: &Scratch) -> Result<()> {
    let mut checker = Checker::new(limits, scratch.clone());
    let mut places = Places::new(scratch.clone());
    let time = opened.manifest.entry_time;
    for (list, node) in opened.lists.iter_mut().zip(&opened.manifest.nodes) {
        let mut elements = Elements::new(opened.text.clone(), list.stretch.clone(), 64 << 10);
        while let Some((at, part)) = elements.next()? {
            // A manifest has less than 4 GiB.
            let at = u32::try_from(at).map_err(|_| Error::damaged("it is too large").at(MANIFEST))?;
            let name = checker.add(&node.path, &part, at)?;
            places.add(&header(time, &part, &name), at)?;
            list.count(&part, at);
        }
    }
    let checked = checker.finish()?;
    (opened.keys, opened.names) = checked.sound(|at| opened.name_at(at))?;
    compare_tail(opened, bytes, places)
}

fn compare_tail(opened: &Opened, bytes: ManifestBytes, places: Places) -> Result<()> {
    let Opened { file, manifest, bytes: size, .. } = opened;
    let tail = Tail::new(manifest, bytes)?;
    let mut made = Vec::new();
    tail.put_before(&mut made);
    let mut compare = Compare::new(&**file, manifest.preceding.bytes, "its local header");
    compare.write_all(&made).map_err(|e| Error::from(e).at(MANIFEST))?;
    let start = tail.directory_start();
    let compared = places.compare((&**file, *size), start, manifest.preceding.bytes, &mut |at| {
        let (node, part) = opened.part_at(at)?;
        let name = full_name(&manifest.nodes[node].path, &part.name);
        let mut record = Vec::new();
        header(manifest.entry_time, &part, &name).put_central(&mut record);
        Ok((name, record))
    })?;
    made.clear();
    tail.put_end(compared.parts, compared.len, &mut made);
    let at = start.saturating_add(compared.len);
    Compare::new(&**file, at, "the central directory").write_all(&made).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => too_short(),
        _ => Error::from(e),
    })?;
    if at.checked_add(made.len() as u64) != Some(*size) {
        return Err(Error::damaged("the central directory is not that of the manifest"));
    }
    Ok(())
}
