//! The checksum at the end of a file and of a payload: CRC-64 with the polynomial of Jones, nothing inverted.

use crc_fast::{CrcAlgorithm, Digest};

/// A CRC-64 under way.
pub(super) struct Checksum(Digest);

impl Checksum {
    pub(super) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Redis))
    }

    /// The most is got out of it with a kilobyte or more at once.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_that_servers_use() {
        let mut sum = Checksum::new();
        sum.update(b"1234");
        sum.update(b"56789");
        assert_eq!(sum.value(), 0xe9c6_d914_c4b8_d9ca);
    }
}
