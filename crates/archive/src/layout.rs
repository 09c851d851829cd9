//! The bytes of zip headers. Each is a function of the entry's record alone, so that a reader can make them
//! again and compare: see `docs/format.md`.

use crate::entry_time::EntryTime;
use crate::method::Method;

/// What the headers say of one entry.
#[derive(Clone, Copy)]
pub(crate) struct Header<'a> {
    pub(crate) name: &'a str,
    pub(crate) method: Method,
    pub(crate) crc32: u32,
    pub(crate) size: u64,
    pub(crate) stored: u64,
    pub(crate) offset: u64,
    pub(crate) descriptor: bool,
    pub(crate) time: EntryTime,
}

pub(crate) const LOCAL: u32 = 0x0403_4b50;
pub(crate) const CENTRAL: u32 = 0x0201_4b50;
pub(crate) const DESCRIPTOR: u32 = 0x0807_4b50;
pub(crate) const END: u32 = 0x0605_4b50;
pub(crate) const END64: u32 = 0x0606_4b50;
pub(crate) const LOCATOR64: u32 = 0x0706_4b50;
pub(crate) const DESCRIPTOR_LEN: usize = 24;
pub(crate) const CENTRAL_LEN: usize = 46;
pub(crate) const END_LEN: usize = 22;
pub(crate) const END64_LEN: usize = 56;
pub(crate) const LOCATOR64_LEN: usize = 20;

const ZIP64_FIELD: u16 = 1;
const MAX16: u64 = 0xffff;
const MAX32: u64 = 0xffff_ffff;
/// Unix, zip 6.3.
const MADE_BY: u16 = 3 << 8 | 63;
/// A regular file that its owner may read and write.
const ATTRIBUTES: u32 = 0o100_600 << 16;

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// The value, or the mark that it stands in the zip64 field.
fn or_mark32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn or_mark16(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn length16(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

impl Header<'_> {
    fn local_is_zip64(&self) -> bool {
        self.descriptor || self.size >= MAX32 || self.stored >= MAX32
    }

    fn version_needed(&self) -> u16 {
        match self.method {
            Method::Zstd => 63,
            _ if self.local_is_zip64() || self.offset >= MAX32 => 45,
            _ => 20,
        }
    }

    fn flags(&self) -> u16 {
        const UTF8: u16 = 1 << 11;
        const DESCRIPTOR_FOLLOWS: u16 = 1 << 3;
        if self.descriptor { UTF8 | DESCRIPTOR_FOLLOWS } else { UTF8 }
    }

    /// From the version needed to the time and date: the same in both headers.
    fn put_start(&self, out: &mut Vec<u8>, version: u16) {
        for value in [version, self.flags(), self.method.id(), self.time.time, self.time.date] {
            put16(out, value);
        }
    }

    /// The header before the content. With a descriptor it is the same whatever the content is.
    pub(crate) fn put_local(&self, out: &mut Vec<u8>) {
        let zip64 = self.local_is_zip64();
        let (crc32, size, stored) =
            if self.descriptor { (0, 0, 0) } else { (self.crc32, self.size, self.stored) };
        put32(out, LOCAL);
        // The offset does not show in the local header, so it must not change the version either.
        let version = Self { offset: 0, ..*self }.version_needed();
        self.put_start(out, version);
        put32(out, crc32);
        put32(out, if zip64 { u32::MAX } else { or_mark32(stored) });
        put32(out, if zip64 { u32::MAX } else { or_mark32(size) });
        put16(out, length16(self.name.len()));
        put16(out, if zip64 { 20 } else { 0 });
        out.extend_from_slice(self.name.as_bytes());
        if zip64 {
            put16(out, ZIP64_FIELD);
            put16(out, 16);
            put64(out, size);
            put64(out, stored);
        }
    }

    pub(crate) fn local_len(&self) -> u64 {
        30 + self.name.len() as u64 + if self.local_is_zip64() { 20 } else { 0 }
    }

    /// All that the entry takes in the file.
    pub(crate) fn total_len(&self) -> u64 {
        let descriptor = if self.descriptor { DESCRIPTOR_LEN as u64 } else { 0 };
        self.local_len().saturating_add(self.stored).saturating_add(descriptor)
    }

    /// What follows the content of an entry that was streamed.
    pub(crate) fn put_descriptor(&self, out: &mut Vec<u8>) {
        put32(out, DESCRIPTOR);
        put32(out, self.crc32);
        put64(out, self.stored);
        put64(out, self.size);
    }

    /// The record in the central directory.
    pub(crate) fn put_central(&self, out: &mut Vec<u8>) {
        let wide: Vec<u64> =
            [self.size, self.stored, self.offset].into_iter().filter(|&v| v >= MAX32).collect();
        put32(out, CENTRAL);
        put16(out, MADE_BY);
        self.put_start(out, self.version_needed());
        put32(out, self.crc32);
        put32(out, or_mark32(self.stored));
        put32(out, or_mark32(self.size));
        put16(out, length16(self.name.len()));
        put16(out, if wide.is_empty() { 0 } else { 4 + length16(wide.len() * 8) });
        // No comment, disk 0, no internal attributes.
        out.extend_from_slice(&[0; 6]);
        put32(out, ATTRIBUTES);
        put32(out, or_mark32(self.offset));
        out.extend_from_slice(self.name.as_bytes());
        if !wide.is_empty() {
            put16(out, ZIP64_FIELD);
            put16(out, length16(wide.len() * 8));
            wide.iter().for_each(|&value| put64(out, value));
        }
    }
}

/// The central directory as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) entries: u64,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Directory {
    pub(crate) fn is_zip64(&self) -> bool {
        self.entries >= MAX16 || self.offset >= MAX32 || self.len >= MAX32
    }

    /// All that follows the central directory.
    pub(crate) fn put_end(&self, comment: &str, out: &mut Vec<u8>) {
        if self.is_zip64() {
            self.put_end64(out);
        }
        put32(out, END);
        put32(out, 0);
        put16(out, or_mark16(self.entries));
        put16(out, or_mark16(self.entries));
        put32(out, or_mark32(self.len));
        put32(out, or_mark32(self.offset));
        put16(out, length16(comment.len()));
        out.extend_from_slice(comment.as_bytes());
    }

    fn put_end64(&self, out: &mut Vec<u8>) {
        put32(out, END64);
        put64(out, END64_LEN as u64 - 12);
        put16(out, MADE_BY);
        put16(out, 45);
        put64(out, 0);
        put64(out, self.entries);
        put64(out, self.entries);
        put64(out, self.len);
        put64(out, self.offset);
        put32(out, LOCATOR64);
        put32(out, 0);
        put64(out, self.offset.saturating_add(self.len));
        put32(out, 1);
    }
}
