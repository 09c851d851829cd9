//! How a part is stored.

use serde::{Deserialize, Serialize};

/// How parts are to be compressed. Content that does not compress is stored whatever is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compression {
    /// Any zip tool can read it.
    #[default]
    Deflate,
    /// Faster and smaller. Read by 7-Zip 22, libarchive and others, not by Info-ZIP's `unzip`.
    Zstd,
    /// Not at all.
    Store,
}

/// How a part was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Method {
    /// Zip method 0.
    Store,
    /// Zip method 8.
    Deflate,
    /// Zip method 93, of one or several frames.
    Zstd,
}

impl Method {
    pub(crate) fn id(self) -> u16 {
        match self {
            Self::Store => 0,
            Self::Deflate => 8,
            Self::Zstd => 93,
        }
    }

    /// The method of an id that [`id`](Self::id) gave.
    pub(crate) fn of_id(id: u16) -> Self {
        match id {
            8 => Self::Deflate,
            93 => Self::Zstd,
            _ => Self::Store,
        }
    }

    /// How many bytes one stored byte can become at the most, by the nature of the method: a deflate match of
    /// 258 bytes takes two bits, a zstd block of 128 KiB four bytes.
    pub(crate) fn greatest_ratio(self) -> u64 {
        match self {
            Self::Store => 1,
            Self::Deflate => 1032,
            Self::Zstd => 32 * 1024,
        }
    }
}

impl From<Compression> for Method {
    fn from(asked: Compression) -> Self {
        match asked {
            Compression::Deflate => Self::Deflate,
            Compression::Zstd => Self::Zstd,
            Compression::Store => Self::Store,
        }
    }
}
