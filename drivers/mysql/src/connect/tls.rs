//! Encryption, and how far a server has to prove who it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{Error, Result};
use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ConfigBuilder};
use tokio_rustls::TlsConnector;

use super::parameters::{Parameters, one_of};
use super::trust::{Trust, Verifier};

/// `ssl-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Disabled,
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

/// What the parameters say of TLS. The files are read when a connection is made.
#[derive(Debug, Clone)]
pub(crate) struct Protection {
    pub(crate) mode: Mode,
    authority: Option<PathBuf>,
    /// Our own certificate, and its key.
    identity: Option<(PathBuf, PathBuf)>,
}

impl Protection {
    pub(super) fn new(parameters: &Parameters, base: &Path) -> Result<Self> {
        const NAMES: [&str; 5] = ["disabled", "preferred", "required", "verify-ca", "verify-identity"];
        let file = |name| parameters.get(name).map(|path| base.join(path));
        let authority = file("ssl-ca");
        let mode = match one_of(parameters, "ssl-mode", &NAMES)? {
            Some(0) => Mode::Disabled,
            Some(1) => Mode::Preferred,
            Some(2) => Mode::Required,
            Some(3) => Mode::VerifyCa,
            Some(_) => Mode::VerifyIdentity,
            // Who names an authority wants it to be asked.
            None if authority.is_some() => Mode::VerifyCa,
            None => Mode::Preferred,
        };
        let identity = match (file("ssl-cert"), file("ssl-key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(both), None) => Some((both.clone(), both)),
            (None, Some(_)) => return Err(Error::config("`ssl-key` is of no use without `ssl-cert`")),
            (None, None) => None,
        };
        Ok(Self { mode, authority, identity })
    }

    /// What makes connections encrypted.
    ///
    /// # Errors
    /// If a file with certificates is missing, or has none.
    pub(super) fn connector(&self) -> Result<TlsConnector> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new(self.trust()?, provider.clone());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::config("TLS can't be had").with_source(error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        Ok(TlsConnector::from(Arc::new(self.identified(builder, &provider)?)))
    }

    fn trust(&self) -> Result<Trust> {
        let with_name = self.mode == Mode::VerifyIdentity;
        match &self.authority {
            _ if self.mode < Mode::VerifyCa => Ok(Trust::Anybody),
            Some(path) => Trust::file(path, with_name),
            None => Trust::system(with_name),
        }
    }

    fn identified(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
        provider: &CryptoProvider,
    ) -> Result<ClientConfig> {
        let Some((certificate, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates(certificate)?;
        let of_key = |what: &'static str| Error::config(what).with_context("file", key.display());
        let read = PrivateKeyDer::from_pem_file(key).map_err(|error| {
            of_key("can't read a key").with_source(error).with_hint("it must be PEM, and not be encrypted")
        })?;
        let signer = provider
            .key_provider
            .load_private_key(read)
            .map_err(|error| of_key("a key is of no use").with_source(error))?;
        // Not the way that parses the certificate: that refuses those of the first version of X.509, and the server
        // will say itself whether it likes it.
        let shown = CertifiedKey::new(chain, signer);
        Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown))))
    }
}

/// The certificates in a PEM file.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
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
