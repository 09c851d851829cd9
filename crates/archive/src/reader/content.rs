//! The content of one part, with its proof.

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::layout::{DESCRIPTOR_LEN, Header};
use crate::manifest::Part;
use crate::name::full_name;
use crate::reader::Opened;
use crate::reader::compare::Compare;
use crate::reader::decode::{Decoder, Streaming, is_small};
use crate::reader::range::Stretch;
use crate::tail::header;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

/// Reads the content of one part.
///
/// # Behavior
/// - Never yields more bytes than the manifest declares.
/// - Size, CRC-32 and SHA-256 are compared before the last byte is handed out: whoever has read all the bytes
///   that are declared, has read the right ones. An error names the entry, and is final.
pub struct PartReader {
    archive: Arc<Opened>,
    name: String,
    size: u64,
    sha256: Digest,
    crc32: u32,
    left: u64,
    source: Source,
    proof: (Sha256, crc32fast::Hasher),
}

enum Source {
    /// Decoded and proved; the number is how much has been read.
    Whole(Decoder, usize),
    Streaming(Streaming),
    Failed,
}

impl fmt::Debug for PartReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartReader").field("name", &self.name).field("left", &self.left).finish()
    }
}

impl PartReader {
    pub(crate) fn open(archive: Arc<Opened>, node: &str, part: &Part) -> Result<Self> {
        let name = full_name(node, &part.name);
        let header = header(archive.manifest.entry_time, part, &name);
        let at = |error: Error| error.at(name.clone());
        let start = compare_headers(&archive, &header).map_err(at)?;
        let (source, proof) = open_content(&archive, part, start).map_err(at)?;
        let &Part { size, sha256, crc32, .. } = part;
        let mut reader = Self { archive, size, sha256, crc32, left: size, source, proof, name };
        if size == 0 || matches!(reader.source, Source::Whole(..)) {
            reader.prove().map_err(|error| error.at(reader.name.clone()))?;
        }
        Ok(reader)
    }

    /// The entry's name in the zip.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of content.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let buffer = &mut buffer[..wanted];
        let read = match &mut self.source {
            Source::Failed => Err(Error::damaged("it was read on after an error")),
            Source::Whole(decoder, read) => {
                buffer.copy_from_slice(&decoder.content[*read..][..wanted]);
                *read += wanted;
                self.left -= wanted as u64;
                return Ok(wanted);
            }
            Source::Streaming(_) if buffer.is_empty() => return Ok(0),
            Source::Streaming(streaming) => streaming.read(buffer),
        }?;
        if read == 0 {
            let got = self.size - self.left;
            return Err(Error::damaged(format!("{} bytes are declared, the content has {got}", self.size)));
        }
        self.proof.0.update(&buffer[..read]);
        self.proof.1.update(&buffer[..read]);
        self.left -= read as u64;
        if self.left == 0 {
            self.prove()?;
        }
        Ok(read)
    }

    /// Compares what has been read with what the manifest says of it.
    fn prove(&mut self) -> Result<()> {
        if let Source::Streaming(streaming) = &mut self.source {
            if streaming.read(&mut [0])? != 0 {
                return Err(Error::damaged(format!(
                    "the content has more than the {} declared bytes",
                    self.size
                )));
            }
            if !streaming.is_used_up() {
                return Err(Error::damaged("the content ends before its stored bytes do"));
            }
        }
        let (sha256, crc32) = std::mem::take(&mut self.proof);
        if crc32.finalize() != self.crc32 {
            return Err(Error::damaged("the content's CRC-32 differs from the manifest"));
        }
        if Digest(sha256.finalize().into()) != self.sha256 {
            return Err(Error::damaged("the content's SHA-256 differs from the manifest"));
        }
        Ok(())
    }
}

/// Compares local header and descriptor with the manifest. Returns where the content begins.
fn compare_headers(archive: &Opened, header: &Header<'_>) -> Result<u64> {
    let mut bytes = Vec::with_capacity(64 + header.name.len());
    header.put_local(&mut bytes);
    let mut compare = Compare::new(&*archive.file, header.offset, "its local header");
    compare.write_all(&bytes)?;
    let start = compare.at;
    if header.descriptor {
        bytes.clear();
        header.put_descriptor(&mut bytes);
        let at = header.offset + header.total_len() - DESCRIPTOR_LEN as u64;
        Compare::new(&*archive.file, at, "its data descriptor").write_all(&bytes)?;
    }
    Ok(start)
}

type Proof = (Sha256, crc32fast::Hasher);

fn open_content(archive: &Arc<Opened>, part: &Part, at: u64) -> Result<(Source, Proof)> {
    let mut proof = Proof::default();
    if !is_small(part.size, part.stored) {
        let stretch = Stretch { file: archive.clone(), at, left: part.stored };
        return Ok((Source::Streaming(Streaming::new(part.method, stretch)?), proof));
    }
    let mut decoder = archive.decoders.take();
    decoder.decode(part.method, part.size, Stretch { file: &*archive.file, at, left: part.stored })?;
    proof.0.update(&decoder.content);
    proof.1.update(&decoder.content);
    Ok((Source::Whole(decoder, 0), proof))
}

impl io::Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(|error| {
            self.source = Source::Failed;
            error.at(self.name.clone()).into()
        })
    }
}

impl Drop for PartReader {
    fn drop(&mut self) {
        if let Source::Whole(decoder, _) = std::mem::replace(&mut self.source, Source::Failed) {
            self.archive.decoders.give(decoder);
        }
    }
}
