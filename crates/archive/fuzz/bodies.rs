//! What must hold for any input whatever. Each function takes bytes and panics if it does not.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, reason = "each target uses one")]

use crate::handmade::{Made, Wrong, archive};
use dumprestore_archive::*;
use std::io::Read;
use std::path::{Component, Path};
use std::sync::Arc;

/// A file of any bytes: an archive that opens can be believed.
pub fn open(data: &[u8]) {
    let mut limits = Limits::default();
    limits.total_bytes = 64 << 20;
    let Ok(opened) = Archive::open_within(Arc::new(data.to_vec()), &limits) else { return };
    believe(&opened);
}

/// A manifest of any bytes, whose digest is right.
pub fn manifest(data: &[u8]) {
    let preceding = vec![0; 300];
    let local = |signature: &[u8], rest: usize| [signature, &vec![0; rest]].concat();
    let mut record = local(b"PK\x01\x02", 42);
    record[24..28].copy_from_slice(&(data.len() as u32).to_le_bytes());
    record[42..46].copy_from_slice(&(preceding.len() as u32).to_le_bytes());
    record.extend(b"manifest.json");
    let mut end = local(b"PK\x05\x06", 18);
    let offset = preceding.len() + 43 + data.len();
    end[12..16].copy_from_slice(&(record.len() as u32).to_le_bytes());
    end[16..20].copy_from_slice(&(offset as u32).to_le_bytes());
    end[20..22].copy_from_slice(&78u16.to_le_bytes());
    let comment = format!("dumprestore 1 {}", crate::handmade::sha256(data));
    open(&[&preceding, &[0; 43][..], data, &record, &end, comment.as_bytes()].concat());
}

/// Entries of any names, sizes and bytes, in an archive whose digests are right.
pub fn entries(data: &[u8]) {
    let mut rest = data;
    let mut made = Vec::new();
    while made.len() < 8 && !rest.is_empty() {
        made.push(entry(&mut rest));
    }
    open(&archive(&made, &Wrong::default()));
}

fn entry(rest: &mut &[u8]) -> Made {
    let [kind, node, name, size, stored] =
        std::array::from_fn(|_| take(rest, 1).first().copied().unwrap_or(0));
    let node = String::from_utf8_lossy(take(rest, usize::from(node % 8))).into_owned();
    let name = String::from_utf8_lossy(take(rest, usize::from(name % 16))).into_owned();
    let stored = take(rest, usize::from(stored)).to_vec();
    let mut made = Made::of(&node, &name, [0, 8, 93][usize::from(kind % 3)], &stored, stored.clone());
    if kind & 0x10 != 0 {
        made.size = u64::from(size) * 17;
    }
    if kind & 0x20 != 0 {
        made.offset = Some(u64::from(size));
    }
    if kind & 0x40 != 0 {
        made.declared = Some(u64::from(size));
    }
    made
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(len.min(rest.len()));
    *rest = left;
    taken
}

/// A node path and a part name, divided by the first NUL.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (node, part) = text.split_once('\0').unwrap_or((&text, "part"));
    if let Ok(name) = EntryName::new(node, part) {
        assert_safe(&name.full());
        assert_safe(name.part());
    }
}

/// Joined to a folder, the name stays below it, here and on Windows.
fn assert_safe(name: &str) {
    assert!(!name.is_empty() && name.len() <= 65_535);
    assert!(
        Path::new(name).components().all(|component| matches!(component, Component::Normal(_))),
        "{name:?}"
    );
    assert_eq!(Path::new(name).components().count(), name.split('/').count(), "{name:?}");
    assert!(!name.contains(['\\', '\0', '\n']), "{name:?}");
    assert!(!matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic()), "{name:?}");
}

fn believe(opened: &Archive) {
    let mut options = VerifyOptions::default();
    options.workers = 1;
    let verified = opened.verify(&options, &|_| {}, &|| false);
    let mut sound = true;
    let nodes = opened.manifest().nodes.iter().map(|node| &*node.path);
    for (node, part) in
        nodes.flat_map(|node| opened.parts(node).unwrap().map(move |part| (node, part.unwrap())))
    {
        let name = EntryName::new(node, &part.name).unwrap();
        assert_safe(&name.full());
        let mut content = Vec::new();
        let read = opened.part(node, &part.name).and_then(|mut reader| {
            reader.by_ref().take(part.size + 1).read_to_end(&mut content)?;
            Ok(())
        });
        assert!(content.len() as u64 <= part.size, "{name}: more than declared");
        assert!(read.is_err() || content.len() as u64 == part.size, "{name}: less than declared");
        sound &= read.is_ok();
    }
    assert!(sound || verified.is_err(), "verified, though a part cannot be read");
}
