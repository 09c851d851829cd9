//! The compressors, each at its fastest level: a dump is bound by them.

use crate::error::{Error, ErrorKind, Result};
use crate::method::Method;
use crate::writer::deflate_join::make_joinable;
use crate::writer::probe::compresses;
use flate2::{Compress, FlushCompress};
use libdeflater::{CompressionLvl, Compressor};

/// Ends a deflate stream that was made of blocks: an empty block with the mark of the last one.
pub(crate) const DEFLATE_END: [u8; 2] = [0x03, 0x00];

/// The first level that compresses.
const DEFLATE_LEVEL: i32 = 1;
/// Level 1 of the encoder that can flush writes fixed codes only; 2 is the first that adapts to the content.
const FLUSHED_LEVEL: u32 = 2;
const ZSTD_LEVEL: i32 = 1;
/// What is looked at as one when a block is partly noise.
const PIECE: usize = 32 << 10;

/// The state of all compressors, kept for reuse: setting one up costs more than a small file.
#[derive(Default)]
pub(crate) struct Encoder {
    deflate: Option<Compressor>,
    flushed: Option<Compress>,
    zstd: Option<Zstd>,
    scratch: Vec<u8>,
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("compressing: {error}"))
}

type Zstd = zstd::bulk::Compressor<'static>;

fn zstd_state(slot: &mut Option<Zstd>) -> Result<&mut Zstd> {
    match slot {
        Some(state) => Ok(state),
        None => Ok(slot.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(failed)?)),
    }
}

impl Encoder {
    /// Compresses a whole part.
    pub(crate) fn whole(&mut self, method: Method, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match method {
            Method::Store => out.extend_from_slice(raw),
            Method::Zstd => self.zstd(raw, out)?,
            Method::Deflate => {
                let level = CompressionLvl::new(DEFLATE_LEVEL).unwrap_or_default();
                let state = self.deflate.get_or_insert_with(|| Compressor::new(level));
                out.resize(state.deflate_compress_bound(raw.len()), 0);
                let written = state.deflate_compress(raw, out).map_err(failed)?;
                out.truncate(written);
            }
        }
        Ok(())
    }

    /// Compresses one block of a large part, so that it can stand behind any other block.
    pub(crate) fn block(&mut self, method: Method, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match method {
            Method::Store => out.extend_from_slice(raw),
            Method::Zstd => self.zstd(raw, out)?,
            Method::Deflate => self.deflate_runs(raw, out)?,
        }
        Ok(())
    }

    fn zstd(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let state = zstd_state(&mut self.zstd)?;
        out.resize(zstd::zstd_safe::compress_bound(raw.len()), 0);
        let written = state.compress_to_buffer(raw, &mut out[..]).map_err(failed)?;
        out.truncate(written);
        Ok(())
    }

    /// Compresses what compresses and stores the rest in deflate's own form: on noise the encoder would take
    /// several times as long as on text.
    fn deflate_runs(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut run = 0..0;
        let mut run_compresses = true;
        for piece in raw.chunks(PIECE) {
            let piece_compresses = compresses(piece, self)?;
            if piece_compresses != run_compresses {
                self.deflate_run(run_compresses, &raw[run.clone()], out)?;
                run = run.end..run.end;
                run_compresses = piece_compresses;
            }
            run.end += piece.len();
        }
        self.deflate_run(run_compresses, &raw[run], out)
    }

    fn deflate_run(&mut self, compresses: bool, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if compresses && !raw.is_empty() {
            return self.deflate_block(raw, out);
        }
        deflate_stored(raw, out);
        Ok(())
    }

    fn deflate_block(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        self.whole(Method::Deflate, raw, &mut scratch)?;
        let joinable = make_joinable(&mut scratch, raw.len());
        if joinable {
            out.extend_from_slice(&scratch);
        }
        self.scratch = scratch;
        if joinable { Ok(()) } else { self.deflate_flushed(raw, out) }
    }

    /// The same with the slower encoder that can flush, should the fast one ever make streams that are not
    /// understood.
    fn deflate_flushed(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let level = flate2::Compression::new(FLUSHED_LEVEL);
        let state = self.flushed.get_or_insert_with(|| Compress::new(level, false));
        state.reset();
        out.reserve(raw.len() / 2 + 64);
        loop {
            let consumed = usize::try_from(state.total_in()).map_err(failed)?;
            state.compress_vec(&raw[consumed..], out, FlushCompress::Sync).map_err(failed)?;
            // Room left over means that the flush is complete.
            if out.len() < out.capacity() {
                return Ok(());
            }
            out.reserve(raw.len() / 8 + 64);
        }
    }
}

/// Content in deflate's own form of storing, for which the encoder would take longer than for text.
fn deflate_stored(raw: &[u8], out: &mut Vec<u8>) {
    const LONGEST: usize = 0xffff;
    for piece in raw.chunks(LONGEST) {
        let len = u16::try_from(piece.len()).unwrap_or(u16::MAX);
        // Not the last block, stored; then the length and its complement.
        out.push(0);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_encoder_that_can_flush_makes_blocks_that_join() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let (mut encoder, mut joined) = (Encoder::default(), Vec::new());
        for raw in [&text[..], b"", b"a", &text[7..]] {
            encoder.deflate_flushed(raw, &mut joined).unwrap();
        }
        joined.extend(DEFLATE_END);
        let mut decoded = Vec::new();
        flate2::read::DeflateDecoder::new(&joined[..]).read_to_end(&mut decoded).unwrap();
        assert!(decoded == [&text[..], b"a", &text[7..]].concat());
    }
}
