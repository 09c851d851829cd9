//! What `DUMP` gives and `RESTORE` takes: the type byte and the value as they stand in a file, the version, a checksum.

use dumprestore_driver::{Error, Result};

use super::checksum::Checksum;
use super::slice::Slice;
use super::walk::walk;
use super::{Kind, Version, module};

/// How long what follows the value is: two bytes of version, eight of checksum.
pub(crate) const FOOTER: usize = 10;

/// Type bytes of what modules make.
const MODULE_DRAFT: u8 = 6;
const MODULE: u8 = 7;
const KEY_META: u8 = 0xf3;

/// What follows a value, for those that have it in one piece.
pub(crate) fn footer(version: Version, kind: Kind, value: &[u8]) -> [u8; FOOTER] {
    let mut footer = Footer::of(kind);
    footer.update(value);
    footer.finish(version)
}

/// What follows a value, for those that have it in pieces.
pub(crate) struct Footer(Checksum);

impl Footer {
    pub(crate) fn of(kind: Kind) -> Self {
        let mut sum = Checksum::new();
        sum.update(&[kind.byte()]);
        Self(sum)
    }

    /// The next piece of the value.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(crate) fn finish(mut self, version: Version) -> [u8; FOOTER] {
        let version = version.number.to_le_bytes();
        self.0.update(&version);
        let mut footer = [0; FOOTER];
        footer[..2].copy_from_slice(&version);
        footer[2..].copy_from_slice(&self.0.value().to_le_bytes());
        footer
    }
}

/// Opens a payload: what kind of value it is, the value as it stands in a file, and the version of the server's format. The checksum
/// is checked, and the value is gone through: what is accepted here can be read again from a file.
///
/// # Errors
///
/// If it is damaged, of a module's type, or of a version that is not known here.
pub(crate) fn open(payload: &[u8]) -> Result<(Kind, &[u8], Version)> {
    let (content, footer) = payload.split_last_chunk::<FOOTER>().ok_or_else(cut_off)?;
    let (byte, value) = content.split_first().ok_or_else(cut_off)?;
    let [low, high, sum @ ..] = footer;
    let claimed = u64::from_le_bytes(*sum);
    let mut sum = Checksum::new();
    sum.update(&payload[..payload.len() - 8]);
    if claimed != sum.value() {
        return Err(Error::archive(
            "the payload of `DUMP` is damaged: its checksum is not that of its content",
        ));
    }
    let version = Version::of(u16::from_le_bytes([*low, *high]))?;
    let kind = match (byte, Kind::of(*byte, version)) {
        (&MODULE_DRAFT | &MODULE, _) => return Err(module::payload()),
        (&KEY_META, None) if !version.valkey => return Err(module::with_a_key()),
        (_, Some(kind)) => kind,
        (_, None) => return Err(foreign(*byte, version)),
    };
    let mut source = Slice::new(value);
    walk(kind, &mut source)?;
    source.end()?;
    Ok((kind, value, version))
}

fn cut_off() -> Error {
    Error::archive("the payload of `DUMP` is damaged: it is too short")
}

fn foreign(byte: u8, version: Version) -> Error {
    Error::unsupported(format!("the type {byte} of a value is not known")).with_context("version", version)
}
