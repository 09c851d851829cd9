//! A zip builder of the tests' own, made from `docs/format.md`: it shares no code with the crate, and makes
//! what the crate would never make.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses a part of it")]

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An entry with all that can be said of it, honest or not.
#[derive(Clone)]
pub struct Made {
    pub node: String,
    pub name: String,
    pub method: u16,
    pub size: u64,
    pub crc32: u32,
    pub sha256: String,
    pub stored: Vec<u8>,
    /// Where the manifest says it lies, if not where it does.
    pub offset: Option<u64>,
    /// How many stored bytes the manifest declares, if not as many as there are.
    pub declared: Option<u64>,
    /// More members of its record in the manifest.
    pub more: Value,
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Made {
    pub fn stored(node: &str, name: &str, content: &[u8]) -> Self {
        Self::of(node, name, 0, content, content.to_vec())
    }

    pub fn of(node: &str, name: &str, method: u16, content: &[u8], stored: Vec<u8>) -> Self {
        Self {
            node: node.into(),
            name: name.into(),
            method,
            size: content.len() as u64,
            crc32: crc32fast::hash(content),
            sha256: sha256(content),
            stored,
            offset: None,
            declared: None,
            more: json!({}),
        }
    }

    fn full(&self) -> String {
        format!("{}/{}", self.node.replace('.', "/"), self.name)
    }

    fn declared(&self) -> u64 {
        self.declared.unwrap_or(self.stored.len() as u64)
    }

    fn record(&self, offset: u64) -> Value {
        let method = match self.method {
            0 => "store",
            8 => "deflate",
            93 => "zstd",
            _ => "other",
        };
        let mut record = json!({
            "name": self.name, "size": self.size, "sha256": self.sha256, "method": method,
            "offset": self.offset.unwrap_or(offset), "stored": self.declared(),
            "crc32": format!("{:08x}", self.crc32),
        });
        record.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        record
    }
}

/// What is wrong with the archive beside its entries.
#[derive(Clone)]
pub struct Wrong {
    pub manifest: fn(&mut Value),
    pub external_attributes: u32,
    pub comment: fn(String) -> String,
    pub entries_counted: fn(u16) -> u16,
    /// Records of parts in the central directory: which of them, in which order.
    pub listed: fn(usize) -> Vec<usize>,
}

impl Default for Wrong {
    fn default() -> Self {
        Self {
            manifest: |_| {},
            external_attributes: 0x8180_0000,
            comment: |comment| comment,
            entries_counted: |entries| entries,
            listed: |parts| (0..parts).collect(),
        }
    }
}

struct Head<'a> {
    name: &'a str,
    method: u16,
    crc32: u32,
    size: u64,
    stored: u64,
    offset: u64,
}

fn cut32(value: u64) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes()
}

impl Head<'_> {
    fn common(&self) -> Vec<u8> {
        let version: u16 = if self.method == 93 { 63 } else { 20 };
        let words: [u16; 5] = [version, 1 << 11, self.method, 0, 1 << 5 | 1];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(self.crc32.to_le_bytes());
        bytes.extend(cut32(self.stored));
        bytes.extend(cut32(self.size));
        bytes.extend((self.name.len() as u16).to_le_bytes());
        bytes.extend([0; 2]);
        bytes
    }

    fn local(&self) -> Vec<u8> {
        [b"PK\x03\x04".to_vec(), self.common(), self.name.into()].concat()
    }

    fn central(&self, attributes: u32) -> Vec<u8> {
        let mut bytes = [b"PK\x01\x02\x3f\x03".to_vec(), self.common(), vec![0; 6]].concat();
        bytes.extend(attributes.to_le_bytes());
        bytes.extend(cut32(self.offset));
        bytes.extend(self.name.as_bytes());
        bytes
    }
}

fn head<'a>(made: &Made, full: &'a str, offset: u64) -> Head<'a> {
    let (size, stored) = (made.size, made.declared());
    Head { name: full, method: made.method, crc32: made.crc32, size, stored, offset }
}

/// An archive of these entries; sound, unless they or `wrong` are not.
pub fn archive(entries: &[Made], wrong: &Wrong) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut offsets = Vec::new();
    for made in entries {
        let at = bytes.len() as u64;
        offsets.push(made.offset.unwrap_or(at));
        bytes.extend(head(made, &made.full(), at).local());
        bytes.extend(&made.stored);
    }
    let manifest = manifest(entries, &offsets, &bytes, wrong);
    let at = bytes.len() as u64;
    let len = manifest.len() as u64;
    let crc32 = crc32fast::hash(&manifest);
    let last = Head { name: "manifest.json", method: 0, crc32, size: len, stored: len, offset: at };
    bytes.extend(last.local());
    bytes.extend(&manifest);

    let directory = bytes.len();
    for index in (wrong.listed)(entries.len()) {
        let made = &entries[index];
        bytes.extend(head(made, &made.full(), offsets[index]).central(wrong.external_attributes));
    }
    bytes.extend(last.central(0x8180_0000));
    end(&mut bytes, directory, entries.len() as u16 + 1, &sha256(&manifest), wrong);
    bytes
}

fn end(bytes: &mut Vec<u8>, directory: usize, entries: u16, sha256: &str, wrong: &Wrong) {
    let len = bytes.len() - directory;
    let comment = (wrong.comment)(format!("dumprestore 1 {sha256}"));
    let entries = (wrong.entries_counted)(entries);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(entries.to_le_bytes());
    bytes.extend(entries.to_le_bytes());
    bytes.extend((len as u32).to_le_bytes());
    bytes.extend((directory as u32).to_le_bytes());
    bytes.extend((comment.len() as u16).to_le_bytes());
    bytes.extend(comment.as_bytes());
}

fn manifest(entries: &[Made], offsets: &[u64], preceding: &[u8], wrong: &Wrong) -> Vec<u8> {
    let mut nodes: Vec<Value> = Vec::new();
    for (made, &offset) in entries.iter().zip(offsets) {
        let node = match nodes.iter().position(|node| node["path"] == *made.node) {
            Some(index) => index,
            None => {
                nodes.push(json!({
                    "path": made.node, "driver": "filesystem", "driver_format": 1, "status": "ok", "parts": []
                }));
                nodes.len() - 1
            }
        };
        nodes[node]["parts"].as_array_mut().unwrap().push(made.record(offset));
    }
    let epoch = "1970-01-01T00:00:00Z";
    let mut manifest = json!({
        "format": "1.0", "tool": {"name": "by hand", "version": "1"}, "run": "1", "set": "shop",
        "started": epoch, "created": epoch, "sealed": epoch, "entry_time": "1980-01-01T00:00:00",
        "preceding": {"bytes": preceding.len(), "sha256": sha256(preceding)},
        "nodes": nodes,
    });
    (wrong.manifest)(&mut manifest);
    serde_json::to_vec(&manifest).unwrap()
}
