//! Passwords for the eyes of who has a private key.

use std::io;
use std::panic::catch_unwind;

use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::der::Decode;
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::wire::broken;

/// How much longer than what it seals a key must be.
const OVERHEAD: usize = 42;
/// Shorter ones are no protection, longer ones are to keep us busy.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 128..=2048;

/// Seals a password for who has the private part of that key.
///
/// # Errors
/// If it is no key of RSA, or the password is too long for it.
pub(super) fn seal(password: &[u8], nonce: &[u8], pem: &[u8]) -> io::Result<Vec<u8>> {
    let length = modulus_length(pem).ok_or_else(unfit)?;
    if !KEY_BYTES.contains(&length) {
        return Err(unfit());
    }
    if password.len() + OVERHEAD > length {
        return Err(broken("the password is too long for the server's public key: use TLS"));
    }
    let masked: Vec<u8> = password.iter().zip(nonce.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    // It panics on a key that it can't read. None comes as far as that.
    catch_unwind(|| mysql_common::crypto::encrypt(&masked, pem)).map_err(|_| unfit())
}

fn unfit() -> io::Error {
    broken("the server's public key can't be used: use TLS")
}

fn modulus_length(pem: &[u8]) -> Option<usize> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
    let info = SubjectPublicKeyInfoRef::from_der(&der).ok()?;
    let key = info.subject_public_key.as_bytes()?;
    let mut reader = SliceReader::new(key).ok()?;
    let modulus: UintRef<'_> = reader
        .sequence(|inner| {
            let modulus = UintRef::decode(inner)?;
            UintRef::decode(inner)?;
            Ok(modulus)
        })
        .ok()?;
    Some(modulus.as_bytes().len())
}
