//! All that follows the parts: the manifest's entry, the central directory, the end records.
//!
//! It is a function of the manifest's bytes and of what they say, nothing else. The writer makes it once; a
//! reader makes it again and compares.

use crate::digest::Digest;
use crate::entry_time::EntryTime;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Directory, Header};
use crate::manifest::{Manifest, Part};
use crate::method::Method;
use crate::name::MANIFEST;

/// The major version of the format, as it stands in the zip's comment.
const COMMENT_START: &str = "dumprestore 1 ";
pub(crate) const COMMENT_LEN: usize = COMMENT_START.len() + 64;

pub(crate) fn comment(manifest: Digest) -> String {
    format!("{COMMENT_START}{manifest}")
}

/// The bytes of `manifest.json` in figures.
#[derive(Clone, Copy)]
pub(crate) struct ManifestBytes {
    pub(crate) len: u64,
    pub(crate) crc32: u32,
    pub(crate) sha256: Digest,
}

/// What is known before the central directory is written.
pub(crate) struct Tail<'a> {
    manifest: &'a Manifest,
    bytes: ManifestBytes,
}

pub(crate) fn header<'a>(time: EntryTime, part: &Part, name: &'a str) -> Header<'a> {
    Header {
        name,
        method: part.method,
        crc32: part.crc32,
        size: part.size,
        stored: part.stored,
        offset: part.offset,
        descriptor: part.descriptor,
        time,
    }
}

impl<'a> Tail<'a> {
    pub(crate) fn new(manifest: &'a Manifest, bytes: ManifestBytes) -> Result<Self> {
        if bytes.len >= u64::from(u32::MAX) {
            return Err(Error::new(ErrorKind::Limit, "the manifest is larger than 4 GiB").at(MANIFEST));
        }
        Ok(Self { manifest, bytes })
    }

    fn manifest_header(&self) -> Header<'static> {
        Header {
            name: MANIFEST,
            method: Method::Store,
            crc32: self.bytes.crc32,
            size: self.bytes.len,
            stored: self.bytes.len,
            offset: self.manifest.preceding.bytes,
            descriptor: false,
            time: self.manifest.entry_time,
        }
    }

    /// Where the bytes of `manifest.json` begin.
    pub(crate) fn manifest_start(&self) -> u64 {
        self.manifest.preceding.bytes.saturating_add(self.manifest_header().local_len())
    }

    /// What comes before the bytes of `manifest.json`.
    pub(crate) fn put_before(&self, out: &mut Vec<u8>) {
        self.manifest_header().put_local(out);
    }

    /// Where the central directory begins.
    pub(crate) fn directory_start(&self) -> u64 {
        self.manifest_start().saturating_add(self.bytes.len)
    }

    /// What comes after the records of that many parts, which take that many bytes.
    pub(crate) fn put_end(&self, parts: u64, len: u64, out: &mut Vec<u8>) {
        let before = out.len();
        self.manifest_header().put_central(out);
        let len = len.saturating_add((out.len() - before) as u64);
        let directory = Directory { entries: parts + 1, offset: self.directory_start(), len };
        directory.put_end(&comment(self.bytes.sha256), out);
    }
}
