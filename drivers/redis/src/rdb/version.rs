//! Which format a file or a payload is written in.

use std::fmt;

use dumprestore_driver::{Error, Result};

/// The version of the format. Redis and Valkey count apart: what they added since they parted has the same numbers and means
/// different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// Valkey's own: 9.0 or newer. Older ones write what Redis 7.2 writes.
    pub(crate) valkey: bool,
    /// 1 to 79 of Redis, 80 and more of Valkey.
    pub(crate) number: u16,
}

/// The first number that Valkey uses; those below are left to Redis.
const VALKEYS: u16 = 80;
/// Redis 8.8. What 8.10 writes can't be taken apart: its hashes refer to lists of field names elsewhere in the file.
const NEWEST_REDIS: u16 = 14;
/// Valkey 9.
const NEWEST_VALKEY: u16 = 80;
/// The first version that ends in a checksum.
const CHECKED: u16 = 5;

/// How long the magic of a file is.
pub(super) const MAGIC: usize = 9;

impl Version {
    /// The version with that number, as it stands in the footer of a payload.
    ///
    /// # Errors
    ///
    /// If it is not known here.
    pub(crate) fn of(number: u16) -> Result<Self> {
        let version = Self { valkey: number >= VALKEYS, number };
        let newest = if version.valkey { NEWEST_VALKEY } else { NEWEST_REDIS };
        if number == 0 || number > newest {
            return Err(Error::unsupported(format!("version {number} of the RDB format is not known"))
                .with_hint("a newer version of dumprestore may know it"));
        }
        Ok(version)
    }

    /// Reads the first nine bytes of a file.
    pub(super) fn of_magic(magic: &[u8; MAGIC]) -> Result<Self> {
        let (valkey, digits) = match magic {
            [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (false, &digits[..]),
            [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => (true, &digits[..]),
            _ => return Err(foreign(magic)),
        };
        let number = digits.iter().try_fold(0u16, |number, digit| match digit {
            b'0'..=b'9' => Some(number * 10 + u16::from(digit - b'0')),
            _ => None,
        });
        let number = number.ok_or_else(|| foreign(magic))?;
        let version = Self::of(number)?;
        if version.valkey == valkey { Ok(version) } else { Err(foreign(magic)) }
    }

    /// The first nine bytes of a file.
    pub(super) fn magic(self) -> String {
        if self.valkey { format!("VALKEY{:03}", self.number) } else { format!("REDIS{:04}", self.number) }
    }

    /// Whether files of this version end in a checksum.
    pub(super) fn checked(self) -> bool {
        self.number >= CHECKED
    }
}

fn foreign(magic: &[u8]) -> Error {
    Error::archive(format!("this is no RDB file: it begins with `{}`", magic.escape_ascii()))
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.magic())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_magic_is_read_as_it_is_written() {
        for number in (1..=NEWEST_REDIS).chain(VALKEYS..=NEWEST_VALKEY) {
            let version = Version::of(number).unwrap();
            let magic: [u8; MAGIC] = version.magic().into_bytes().try_into().unwrap();
            assert_eq!(Version::of_magic(&magic).unwrap(), version);
        }
    }

    #[test]
    fn other_versions_are_refused_by_name() {
        for (magic, said) in [
            (b"REDIS0000", "version 0 of the RDB format is not known"),
            (b"REDIS0079", "version 79 of the RDB format is not known"),
            (b"VALKEY999", "version 999 of the RDB format is not known"),
            (b"REDIS0080", "this is no RDB file: it begins with `REDIS0080`"),
            (b"VALKEY011", "this is no RDB file: it begins with `VALKEY011`"),
            (b"REDIS00x1", "this is no RDB file: it begins with `REDIS00x1`"),
            (b"\x00PK\x03\x04abcd", "this is no RDB file: it begins with `\\x00PK\\x03\\x04abcd`"),
        ] {
            assert_eq!(Version::of_magic(magic).unwrap_err().message(), said);
        }
    }
}
