//! What is done with each input: whatever it is, there is no panic, and what is accepted keeps its promises.

#![allow(dead_code, reason = "each target uses one")]

use crc_fast::{CrcAlgorithm, checksum};
use dumprestore_driver::{ErrorKind, Result};
use dumprestore_redis::{look_into_payload, look_into_rdb, rewrite_rdb};

/// As a file, and as what is in one that is whole otherwise.
pub(crate) fn rdb(data: &[u8]) {
    file(data);
    if let Some((_, content)) = data.split_at_checked(9) {
        for magic in [b"REDIS0014", b"VALKEY080"] {
            file(&[magic, content].concat());
            file(&[magic, content, &[0xff], &[0; 8]].concat());
        }
    }
}

fn file(data: &[u8]) {
    no_defect(look_into_rdb(data));
    let mut anew = Vec::new();
    let Ok(keys) = rewrite_rdb(data, &mut anew) else { return };
    let mut again = Vec::new();
    assert_eq!(rewrite_rdb(&anew[..], &mut again).ok(), Some(keys));
    assert!(anew == again);
}

/// As a payload of `DUMP`, and as the value in one.
pub(crate) fn payload(data: &[u8]) {
    no_defect(look_into_payload(data));
    for version in [11u16, 14, 80] {
        let mut closed = [data, &version.to_le_bytes()].concat();
        let sum = checksum(CrcAlgorithm::Crc64Redis, &closed);
        closed.extend_from_slice(&sum.to_le_bytes());
        no_defect(look_into_payload(&closed));
    }
}

fn no_defect(result: Result<u64>) {
    if let Err(error) = result {
        assert_ne!(error.kind(), ErrorKind::Defect, "{error}");
    }
}
