//! Archives for the tests: content of every kind, and a writer that keeps the books.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses a part of it")]

use dumprestore_archive::*;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

/// The block size of most tests: the least there is, so that little data makes many blocks.
pub const BLOCK: usize = 4096;

/// Pseudo-random bytes, the same for the same seed: xorshift64*.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Text that compresses to about a third.
pub fn text(seed: u64, len: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "order",
        "customer",
        "apple",
        "invoice",
        "street",
        "42",
        "2026-11-21",
        "paid",
        "open",
        "pear",
        "image",
        "jpg",
        "thumb",
        "\t",
        "\n",
        "user@example.org",
    ];
    let mut text = Vec::with_capacity(len + 32);
    for byte in noise(seed, len) {
        if text.len() >= len {
            break;
        }
        text.extend_from_slice(WORDS[usize::from(byte % 16)].as_bytes());
        text.push(b' ' + byte / 16);
    }
    text.resize(len, b'.');
    text
}

pub fn options() -> WriterOptions {
    let mut options = WriterOptions::default();
    options.block_size = BLOCK;
    options.workers = 2;
    options.started = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
    options
}

/// Bytes that a `StreamOutput` wrote, to be looked at later.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer with the manifest that goes with it.
pub struct Maker {
    pub writer: ArchiveWriter,
    /// The nodes, and how many parts have been listed.
    nodes: Mutex<(BTreeMap<String, Node>, u64)>,
}

impl Maker {
    pub fn new(output: Box<dyn Output>, options: WriterOptions) -> Self {
        Self { writer: ArchiveWriter::create(output, options).unwrap(), nodes: Mutex::default() }
    }

    pub fn memory() -> (Self, Written) {
        let written = Written::default();
        (Self::new(Box::new(StreamOutput::new(written.clone())), options()), written)
    }

    pub fn write(&self, node: &str, part: &str, how: Compression, content: &[u8]) -> Result<Receipt> {
        let mut writer = self.writer.part(&EntryName::new(node, part)?, how)?;
        for piece in content.chunks(1000) {
            writer.write_all(piece)?;
        }
        writer.finish()
    }

    pub fn list(&self, node: &str, receipt: Receipt) {
        let mut nodes = self.nodes.lock().unwrap();
        self.writer.list(node, receipt.id, nodes.1, &Listed::default()).unwrap();
        nodes.1 += 1;
        nodes.0.entry(node.into()).or_insert_with(|| Node::new(node, "filesystem", 1));
    }

    pub fn add(&self, node: &str, part: &str, how: Compression, content: &[u8]) -> Receipt {
        let receipt = self.write(node, part, how, content).unwrap();
        self.list(node, receipt);
        receipt
    }

    /// Begins a part, writes to it and drops it.
    pub fn abandon(&self, node: &str, part: &str, how: Compression, content: &[u8]) {
        let mut writer = self.writer.part(&EntryName::new(node, part).unwrap(), how).unwrap();
        writer.write_all(content).unwrap();
    }

    pub fn manifest(&self) -> Manifest {
        let mut manifest = manifest();
        manifest.nodes = std::mem::take(&mut *self.nodes.lock().unwrap()).0.into_values().collect();
        manifest.order = manifest.nodes.iter().map(|node| node.path.clone()).collect();
        manifest
    }

    pub fn seal(self) -> Sealed {
        let manifest = self.manifest();
        self.writer.seal(manifest).unwrap()
    }
}

pub fn manifest() -> Manifest {
    let tool = Tool { name: "tests".into(), version: "1.0".into() };
    Manifest::new(tool, "shop", "run-1", time::OffsetDateTime::UNIX_EPOCH)
}

pub fn open(bytes: &[u8]) -> Result<Archive> {
    Archive::open(Arc::new(bytes.to_vec()))
}

pub fn content(archive: &Archive, node: &str, part: &str) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    archive.part(node, part)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Every part with the path of its node.
pub fn parts(archive: &Archive) -> Result<Vec<(String, Part)>> {
    let nodes = archive.manifest().nodes.iter().map(|node| &*node.path);
    let each = nodes.map(|node| archive.parts(node)?.map(|part| Ok((node.to_owned(), part?))).collect());
    Ok(each.collect::<Result<Vec<Vec<_>>>>()?.into_iter().flatten().collect())
}

/// All parts by the names they have in the zip.
pub fn contents(archive: &Archive) -> Result<BTreeMap<String, Vec<u8>>> {
    let all = parts(archive)?.into_iter().map(|(node, part)| {
        let mut content = Vec::new();
        let mut reader = archive.read(&node, &part)?;
        reader.read_to_end(&mut content)?;
        Ok((reader.name().to_owned(), content))
    });
    all.collect()
}

pub fn verify(archive: &Archive) -> Result<Verified> {
    archive.verify(&VerifyOptions::default(), &|_| {}, &|| false)
}

pub const METHODS: [Compression; 3] = [Compression::Deflate, Compression::Zstd, Compression::Store];

/// A small archive with all that one can hold: each method, empty, one-block, several-block and streamed parts,
/// incompressible ones, a superseded and an abandoned entry of each kind.
pub fn everything(methods: &[Compression], scale: usize) -> (Vec<u8>, BTreeMap<String, Vec<u8>>) {
    let (maker, written) = Maker::memory();
    let expected = fill(&maker, methods, scale);
    maker.seal();
    (written.bytes(), expected)
}

pub fn fill(maker: &Maker, methods: &[Compression], scale: usize) -> BTreeMap<String, Vec<u8>> {
    let mut expected = BTreeMap::new();
    for (seed, &how) in (1..).zip(methods) {
        let node = format!("shop.{how:?}").to_lowercase();
        for (name, content) in [
            ("empty", Vec::new()),
            ("small.txt", text(seed, 300 * scale)),
            ("ein Ordner/übel.txt", text(seed, 50)),
            ("held.txt", text(seed + 10, BLOCK * 2 + 17)),
            ("streamed.txt", text(seed + 20, BLOCK * (5 + 4 * scale) + 1)),
            ("noise.bin", noise(seed, 100 * scale)),
            ("streamed.bin", noise(seed + 1, BLOCK * 7)),
        ] {
            maker.add(&node, name, how, &content);
            expected.insert(format!("{}/{name}", node.replace('.', "/")), content);
        }
        let old = maker.write(&node, "old", how, &text(seed, 200)).unwrap();
        maker.writer.supersede(old.id).unwrap();
        let old = maker.write(&node, "old", how, &text(seed, BLOCK * 8)).unwrap();
        maker.writer.supersede(old.id).unwrap();
        maker.abandon(&node, "abandoned", how, &text(seed, BLOCK * 9 + 5));
        maker.abandon(&node, "abandoned early", how, &text(seed, 5));
    }
    expected
}
