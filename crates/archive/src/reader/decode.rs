//! Turns stored bytes into content: at once where both are small, else as a stream.

use crate::error::{Error, Result};
use crate::method::Method;
use crate::reader::Opened;
use crate::reader::range::{AsFile, RangeRead, Stretch};
use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// Up to this many bytes of content a part is decoded at once.
const AT_ONCE: u64 = 1 << 20;
const READ_AHEAD: usize = 256 << 10;
/// The largest window a zstd frame may ask for, as a power of two: 16 MiB.
const LARGEST_WINDOW: u32 = 24;
const IDLE: usize = 16;

/// Decompressors and buffers that wait for their next part.
#[derive(Default)]
pub(crate) struct Decoders(Mutex<Vec<Decoder>>);

impl Decoders {
    pub(crate) fn take(&self) -> Decoder {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(crate) fn give(&self, decoder: Decoder) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(decoder);
        }
    }
}

#[derive(Default)]
pub(crate) struct Decoder {
    deflate: Option<libdeflater::Decompressor>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    stored: Vec<u8>,
    pub(crate) content: Vec<u8>,
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::damaged(format!("the content cannot be decompressed: {error}"))
}

pub(crate) fn is_small(size: u64, stored: u64) -> bool {
    size <= AT_ONCE && stored <= AT_ONCE + AT_ONCE / 8
}

impl Decoder {
    /// Reads and decodes a part for which [`is_small`] holds.
    pub(crate) fn decode(
        &mut self,
        method: Method,
        size: u64,
        mut from: Stretch<&dyn RangeRead>,
    ) -> Result<()> {
        let reading = |e| Error::io("reading the archive", e);
        let length = |bytes| usize::try_from(bytes).map_err(|_| Error::damaged("the content is too large"));
        let target = if method == Method::Store { &mut self.content } else { &mut self.stored };
        target.resize(length(from.left)?, 0);
        from.read_exact(target).map_err(reading)?;
        if method == Method::Store {
            return Ok(());
        }
        // One byte more than declared, for content that would not end there.
        self.content.resize(length(size)? + 1, 0);
        let got = if method == Method::Deflate { self.inflate()? } else { self.unzstd()? };
        if got as u64 != size {
            return Err(Error::damaged(format!("{size} bytes are declared, the content has {got}")));
        }
        self.content.truncate(got);
        Ok(())
    }

    fn inflate(&mut self) -> Result<usize> {
        let state = self.deflate.get_or_insert_with(libdeflater::Decompressor::new);
        state.deflate_decompress(&self.stored, &mut self.content).map_err(broken)
    }

    fn unzstd(&mut self) -> Result<usize> {
        let state = match &mut self.zstd {
            Some(state) => state,
            none => none.insert(zstd::bulk::Decompressor::new().map_err(broken)?),
        };
        state.decompress_to_buffer(&self.stored, &mut self.content[..]).map_err(broken)
    }
}

/// A stretch of an archive that is held open.
pub(crate) type Owned = Stretch<Arc<Opened>>;

impl AsFile for Arc<Opened> {
    fn as_file(&self) -> &dyn RangeRead {
        &*self.file
    }
}

/// A part that is decoded as it is read.
pub(crate) enum Streaming {
    Store(Owned),
    Deflate(Box<flate2::bufread::DeflateDecoder<BufReader<Owned>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<Owned>>>),
}

impl Streaming {
    pub(crate) fn new(method: Method, from: Owned) -> Result<Self> {
        if method == Method::Store {
            return Ok(Self::Store(from));
        }
        let buffered = BufReader::with_capacity(READ_AHEAD, from);
        if method == Method::Deflate {
            return Ok(Self::Deflate(Box::new(flate2::bufread::DeflateDecoder::new(buffered))));
        }
        let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered).map_err(broken)?;
        decoder.window_log_max(LARGEST_WINDOW).map_err(broken)?;
        Ok(Self::Zstd(Box::new(decoder)))
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let (read, decoding) = match self {
            Self::Store(from) => (from.read(buffer), false),
            Self::Deflate(decoder) => (decoder.read(buffer), true),
            Self::Zstd(decoder) => (decoder.read(buffer), true),
        };
        read.map_err(|error| match error.raw_os_error() {
            None if decoding && is_about_data(&error) => broken(error),
            _ => Error::io("reading the archive", error),
        })
    }

    /// Whether nothing stored is left. To be asked at the end of the content.
    pub(crate) fn is_used_up(&mut self) -> bool {
        let (buffered, left) = match self {
            Self::Store(from) => (0, from.left),
            Self::Deflate(decoder) => (decoder.get_ref().buffer().len(), decoder.get_ref().get_ref().left),
            Self::Zstd(decoder) => (decoder.get_ref().buffer().len(), decoder.get_ref().get_ref().left),
        };
        buffered == 0 && left == 0
    }
}

fn is_about_data(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof)
}
