//! Encryption, and how far a server has to prove who it is.

use std::path::PathBuf;
use std::sync::Arc;

use dumprestore_driver::{Error, Result};
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::string::Parameters;
use super::target::one_of;

/// `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// What the parameters say of TLS.
#[derive(Debug, Clone)]
pub(crate) struct Protection {
    pub(crate) mode: Mode,
    /// `sslrootcert`: a file, or `system`.
    pub(crate) root: Option<PathBuf>,
}

impl Protection {
    pub(super) fn new(parameters: &Parameters) -> Result<Self> {
        const NAMES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
        let mode = match one_of(parameters, "sslmode", &NAMES)? {
            Some(0) => Mode::Disable,
            Some(1) => Mode::Allow,
            Some(3) => Mode::Require,
            Some(4) => Mode::VerifyCa,
            Some(5) => Mode::VerifyFull,
            _ => Mode::Prefer,
        };
        Ok(Self { mode, root: parameters.get("sslrootcert").map(PathBuf::from) })
    }

    /// What makes connections encrypted.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect> {
        if self.mode >= Mode::VerifyCa {
            return Err(Error::unsupported("`sslmode` above `require` is not supported yet"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::defect("TLS can't be set up").with_source(error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }
}

/// Takes any certificate: `sslmode=require` is against listeners, not against impostors.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
