//! The compressors, each at its fastest level: a dump is bound by them.

use crate::error::{Error, ErrorKind, Result};
use crate::method::Method;
use flate2::{Compress, FlushCompress};
use libdeflater::{CompressionLvl, Compressor};

/// Ends a deflate stream that was made of blocks: an empty block with the mark of the last one.
pub(crate) const DEFLATE_END: [u8; 2] = [0x03, 0x00];

/// Level 1 of the block-wise encoder writes fixed codes only; 2 is the first that adapts to the content.
const BLOCK_LEVEL: u32 = 2;
/// Fast enough to be thrown away.
const PROBE_LEVEL: i32 = -5;

/// The state of all compressors, kept for reuse: setting one up costs more than a small file.
#[derive(Default)]
pub(crate) struct Encoder {
    deflate: Option<Compressor>,
    blocks: Option<Compress>,
    zstd: Option<Zstd>,
    probe: Option<Zstd>,
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("compressing: {error}"))
}

type Zstd = zstd::bulk::Compressor<'static>;

fn zstd_state(slot: &mut Option<Zstd>, level: i32) -> Result<&mut Zstd> {
    match slot {
        Some(state) => Ok(state),
        None => Ok(slot.insert(zstd::bulk::Compressor::new(level).map_err(failed)?)),
    }
}

impl Encoder {
    /// Compresses a whole part.
    pub(crate) fn whole(&mut self, method: Method, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match method {
            Method::Store => out.extend_from_slice(raw),
            Method::Zstd => self.zstd(raw, out)?,
            Method::Deflate => {
                let level = CompressionLvl::fastest();
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
            Method::Deflate => self.deflate_block(raw, out)?,
        }
        Ok(())
    }

    fn zstd(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let state = zstd_state(&mut self.zstd, 1)?;
        out.resize(zstd::zstd_safe::compress_bound(raw.len()), 0);
        let written = state.compress_to_buffer(raw, &mut out[..]).map_err(failed)?;
        out.truncate(written);
        Ok(())
    }

    fn deflate_block(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let level = flate2::Compression::new(BLOCK_LEVEL);
        let state = self.blocks.get_or_insert_with(|| Compress::new(level, false));
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

    /// How many bytes a sample takes when it is compressed in passing.
    pub(crate) fn probe(&mut self, sample: &[u8], scratch: &mut Vec<u8>) -> Result<usize> {
        let state = zstd_state(&mut self.probe, PROBE_LEVEL)?;
        scratch.resize(zstd::zstd_safe::compress_bound(sample.len()), 0);
        state.compress_to_buffer(sample, &mut scratch[..]).map_err(failed)
    }
}
