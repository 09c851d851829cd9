//! All that follows the parts: the manifest's entry, the central directory, the end records.
//!
//! It is a function of the manifest's bytes and of what they say, nothing else. The writer makes it once; a
//! reader makes it again and compares.

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Directory, Header};
use crate::manifest::{Manifest, Part};
use crate::method::Method;
use crate::name::{MANIFEST, full_name};
use std::io::{self, Write};

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

/// Every part with the path of its node, in the order of their places in the file.
pub(crate) fn by_offset(manifest: &Manifest) -> Vec<(&str, &Part)> {
    let mut parts: Vec<_> = manifest.parts().map(|(node, part)| (&*node.path, part)).collect();
    parts.sort_unstable_by_key(|(_, part)| part.offset);
    parts
}

pub(crate) fn header<'a>(manifest: &Manifest, part: &Part, name: &'a str) -> Header<'a> {
    Header {
        name,
        method: part.method,
        crc32: part.crc32,
        size: part.size,
        stored: part.stored,
        offset: part.offset,
        descriptor: part.descriptor,
        time: manifest.entry_time,
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

    /// What comes after the bytes of `manifest.json`; returns how long it is.
    pub(crate) fn write_after(&self, parts: &[(&str, &Part)], out: &mut dyn Write) -> io::Result<u64> {
        let mut directory = Directory {
            entries: parts.len() as u64 + 1,
            offset: self.manifest_start().saturating_add(self.bytes.len),
            len: 0,
        };
        let mut buffer = Vec::new();
        for (node, part) in parts {
            header(self.manifest, part, &full_name(node, &part.name)).put_central(&mut buffer);
            if buffer.len() >= 1 << 16 {
                directory.len += buffer.len() as u64;
                out.write_all(&buffer)?;
                buffer.clear();
            }
        }
        self.manifest_header().put_central(&mut buffer);
        directory.len += buffer.len() as u64;
        let end = buffer.len();
        directory.put_end(&comment(self.bytes.sha256), &mut buffer);
        out.write_all(&buffer)?;
        Ok(directory.len + (buffer.len() - end) as u64)
    }
}
