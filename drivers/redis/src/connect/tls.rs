//! Encryption, and how far a server has to prove who it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{Error, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::url::Url;

/// `tls-verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// That somebody we trust has signed the server's certificate, and that it has the host's name.
    Full,
    /// Only the former.
    Authority,
    /// Nothing: this is against listeners, not against impostors.
    Nothing,
}

/// What a URL says of TLS. The files are read when a connection is made.
#[derive(Debug, Clone)]
pub(super) struct Protection {
    check: Check,
    authority: Option<PathBuf>,
    /// Our own certificate, and its key.
    identity: Option<(PathBuf, PathBuf)>,
}

impl Protection {
    /// `None`: nothing is encrypted.
    pub(super) fn new(url: &Url, base: &Path) -> Result<Option<Self>> {
        const CHOICES: [(&str, usize); 9] = [
            ("full", 0),
            ("required", 0),
            ("cert_required", 0),
            ("ca", 1),
            ("none", 2),
            ("cert_none", 2),
            ("optional", 0),
            ("cert_optional", 0),
            ("true", 0),
        ];
        let file = |name| url.parameters.get(name).map(|path| base.join(path));
        let check = match url.parameters.one_of("tls-verify", &CHOICES)? {
            Some(2) => Check::Nothing,
            Some(1) => Check::Authority,
            Some(_) => Check::Full,
            None if url.insecure => Check::Nothing,
            None => Check::Full,
        };
        let authority = file("tls-ca");
        let identity = match (file("tls-cert"), file("tls-key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(both), None) => Some((both.clone(), both)),
            (None, Some(_)) => return Err(Error::config("`tls-key` is of no use without `tls-cert`")),
            (None, None) => None,
        };
        if !url.encrypted {
            return match authority.is_some() || identity.is_some() {
                true => Err(Error::config("`url` has certificates, yet nothing would be encrypted")
                    .with_hint("begin it with `rediss://`")),
                false => Ok(None),
            };
        }
        Ok(Some(Self { check, authority, identity }))
    }

    /// A connection to that host, which has yet to shake hands.
    ///
    /// # Errors
    /// If a file with certificates or a key is missing, or is none.
    pub(super) fn connection(&self, host: &str) -> Result<ClientConnection> {
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier { check: self.check, roots: self.roots()?, provider: Arc::clone(&ring) };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&ring))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::defect("TLS can't be had").with_source(error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let signer = ring.key_provider.load_private_key(read_key(key)?).map_err(|error| {
                    Error::config("a key is of no use").with_context("file", key.display()).with_source(error)
                })?;
                // Not the way that parses the certificate: that refuses those of the first version of X.509, which
                // are what `openssl` makes, and the server will say itself whether it likes it.
                let shown = CertifiedKey::new(chain, signer);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)))
            }
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            Error::config("the host in `url` has no name that a certificate could have").with_source(error)
        })?;
        ClientConnection::new(Arc::new(config), name)
            .map_err(|error| Error::environment("can't begin an encrypted connection").with_source(error))
    }

    fn roots(&self) -> Result<Roots> {
        let certificates = match (&self.authority, self.check) {
            (_, Check::Nothing) => Vec::new(),
            (Some(path), _) => certificates(path)?,
            (None, _) => roots_of_system()?,
        };
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(certificates.iter().cloned());
        if added == 0 && self.check != Check::Nothing {
            return Err(Error::config("none of the certificates of `tls-ca` can be used"));
        }
        Ok(Roots { store, certificates })
    }
}

/// Whom we trust.
#[derive(Debug)]
struct Roots {
    store: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

/// Whom this system trusts.
fn roots_of_system() -> Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.into_iter().next() {
        Some(error) if found.certs.is_empty() => {
            Err(Error::environment("can't read whom this system trusts").with_source(error))
        }
        _ if found.certs.is_empty() => Err(Error::environment("this system trusts nobody").with_hint(
            "install its certificates (`ca-certificates`), or name a file with `tls-ca` in `url`",
        )),
        _ => Ok(found.certs),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let failed = |error: rustls::pki_types::pem::Error| {
        Error::config("can't read certificates").with_context("file", path.display()).with_source(error)
    };
    let read: Result<Vec<_>> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.map(|one| one.map_err(failed)).collect();
    let certificates = read?;
    if certificates.is_empty() {
        return Err(Error::config("there is no certificate in a file").with_context("file", path.display()));
    }
    Ok(certificates)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        Error::config("can't read a key")
            .with_context("file", path.display())
            .with_source(error)
            .with_hint("it must be PEM, and not be encrypted")
    })
}

/// Checks what a server shows.
#[derive(Debug)]
struct Verifier {
    check: Check,
    roots: Roots,
    provider: Arc<CryptoProvider>,
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
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        // Many servers have one certificate that has signed itself, and whoever names it means just that one.
        if !self.roots.certificates.iter().any(|root| root == certificate) {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &self.roots.store,
                intermediates,
                now,
                algorithms,
            )?;
        }
        if self.check == Check::Full {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
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
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
