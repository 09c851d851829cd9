//! Whether a server is who it says.

use std::path::Path;
use std::sync::Arc;

use dumprestore_driver::{Error, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::{Certificate, Version};

use super::tls::certificates;

/// How much of a certificate is checked.
#[derive(Debug)]
pub(super) enum Trust {
    /// Nothing: this is against listeners, not against impostors.
    Anybody,
    /// That one of these has signed it.
    Roots { store: RootCertStore, certificates: Vec<CertificateDer<'static>>, with_name: bool },
}

impl Trust {
    pub(super) fn file(path: &Path, with_name: bool) -> Result<Self> {
        Self::roots(certificates(path)?, with_name)
    }

    pub(super) fn system(with_name: bool) -> Result<Self> {
        let found = rustls_native_certs::load_native_certs();
        match found.errors.into_iter().next() {
            Some(error) if found.certs.is_empty() => {
                Err(Error::environment("can't read whom this system trusts").with_source(error))
            }
            _ if found.certs.is_empty() => Err(Error::environment("this system trusts nobody")
                .with_hint("install its certificates (`ca-certificates`), or name a file with `ssl-ca`")),
            _ => Self::roots(found.certs, with_name),
        }
    }

    fn roots(certificates: Vec<CertificateDer<'static>>, with_name: bool) -> Result<Self> {
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(certificates.iter().cloned());
        match added {
            0 => Err(Error::config("none of the certificates of `ssl-ca` can be used")),
            _ => Ok(Self::Roots { store, certificates, with_name }),
        }
    }
}

/// Checks what a server shows.
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(super) fn new(trust: Trust, provider: Arc<CryptoProvider>) -> Self {
        Self { trust, provider }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Trust::Roots { store, certificates, with_name } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(certificate);
        if certificates.iter().any(|root| root == certificate) {
            // Many servers have one certificate that has signed itself.
            check_time(certificate, now)?;
        } else if is_of_first_version(certificate) {
            verify_directly(
                certificate,
                certificates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        } else {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let parsed = parsed.as_ref().map_err(Clone::clone)?;
            verify_server_cert_signed_by_trust_anchor(parsed, store, intermediates, now, algorithms)?;
        }
        let named = match parsed {
            Ok(parsed) => verify_server_name(&parsed, name),
            // It has no names but the common one.
            Err(_) => Err(bad(CertificateError::NotValidForName)),
        };
        match named {
            Err(error) if *with_name && !is_common_name(certificate, name) => Err(error),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        match rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms) {
            // Certificates of the first version of X.509 are what MySQL's documentation made for long. Their
            // signature is as good as any other, and whether to trust them was decided before.
            Err(rustls::Error::InvalidCertificate(_)) => {
                let key = key_of(certificate)?;
                rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
            }
            verified => verified,
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn bad(error: CertificateError) -> rustls::Error {
    rustls::Error::InvalidCertificate(error)
}

fn key_of(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, rustls::Error> {
    let parsed = Certificate::from_der(certificate).map_err(|_| bad(CertificateError::BadEncoding))?;
    let key = parsed.tbs_certificate.subject_public_key_info.to_der();
    key.map(SubjectPublicKeyInfoDer::from).map_err(|_| bad(CertificateError::BadEncoding))
}

/// Whether it is of the first version of X.509, as those are that `openssl x509 -req` makes without extensions: what
/// MySQL's documentation has had people do for long, and its own clients take.
fn is_of_first_version(certificate: &CertificateDer<'_>) -> bool {
    Certificate::from_der(certificate).is_ok_and(|parsed| parsed.tbs_certificate.version == Version::V1)
}

/// Verifies that one of the roots itself has signed a certificate.
fn verify_directly(
    certificate: &CertificateDer<'_>,
    roots: &[CertificateDer<'static>],
    now: UnixTime,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<(), rustls::Error> {
    let unreadable = |_| bad(CertificateError::BadEncoding);
    check_time(certificate, now)?;
    let parsed = Certificate::from_der(certificate).map_err(unreadable)?;
    let message = parsed.tbs_certificate.to_der().map_err(unreadable)?;
    let signed = |root: &&CertificateDer<'static>| {
        let root = Certificate::from_der(root).ok()?.tbs_certificate;
        let key = &root.subject_public_key_info;
        let by = (inner(&key.algorithm)?, inner(&parsed.signature_algorithm)?);
        let fits = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
            (algorithm.public_key_alg_id().as_ref(), algorithm.signature_alg_id().as_ref())
                == (&*by.0, &*by.1)
        };
        let (key, signature) = (key.subject_public_key.as_bytes()?, parsed.signature.as_bytes()?);
        let verifies = |algorithm: &&dyn SignatureVerificationAlgorithm| {
            algorithm.verify_signature(key, &message, signature).is_ok()
        };
        let named = root.subject == parsed.tbs_certificate.issuer;
        (named && algorithms.iter().filter(fits).any(verifies)).then_some(())
    };
    let root = roots.iter().find(|root| signed(root).is_some());
    check_time(root.ok_or_else(|| bad(CertificateError::UnknownIssuer))?, now)
}

/// An algorithm without the header around it.
fn inner(algorithm: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    algorithm.to_der().ok()?.get(2..).map(<[u8]>::to_vec)
}

fn check_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let parsed = Certificate::from_der(certificate).map_err(|_| bad(CertificateError::BadEncoding))?;
    let validity = parsed.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(bad(CertificateError::NotValidYet));
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(bad(CertificateError::Expired));
    }
    Ok(())
}

/// Whether a certificate that has no other names has this one as its common name, as those have that a MySQL server
/// makes for itself.
fn is_common_name(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    let Ok(parsed) = Certificate::from_der(certificate) else { return false };
    let extensions = parsed.tbs_certificate.extensions.iter().flatten();
    if extensions.map(|extension| extension.extn_id).any(|id| id == SubjectAltName::OID) {
        return false;
    }
    let names = parsed.tbs_certificate.subject.0.iter().flat_map(|set| set.0.iter());
    names.filter(|pair| pair.oid == COMMON_NAME).any(|pair| {
        let text = match pair.value.decode_as::<Utf8StringRef<'_>>() {
            Ok(text) => text.as_str().to_owned(),
            Err(_) => match pair.value.decode_as::<PrintableStringRef<'_>>() {
                Ok(text) => text.as_str().to_owned(),
                Err(_) => return false,
            },
        };
        fits(&text, &name.to_str())
    })
}

/// A `*` stands for one whole label, the first.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(rest) => name
            .split_once('.')
            .is_some_and(|(_, domain)| domain.contains('.') && domain.eq_ignore_ascii_case(rest)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}
