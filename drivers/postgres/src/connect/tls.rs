//! Encryption, and how far a server has to prove who it is.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dumprestore_driver::{Error, Result};
use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ConfigBuilder, SupportedProtocolVersion};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::environment::Environment;
use super::string::Parameters;
use super::target::one_of;
use super::trust::{Trust, Verifier};

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

/// What the parameters say of TLS. The files are read when a connection is made.
#[derive(Debug, Clone)]
pub(crate) struct Protection {
    pub(crate) mode: Mode,
    root: Root,
    certificate: Option<Identity>,
    indication: bool,
    direct: bool,
    versions: Vec<&'static SupportedProtocolVersion>,
}

/// Whom we trust.
#[derive(Debug, Clone)]
enum Root {
    /// Whom this system trusts.
    System,
    /// Who is in that file. It need not be there unless certificates are to be verified.
    File(PathBuf),
    Nobody,
}

/// Our own certificate, and its key.
#[derive(Debug, Clone)]
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    /// Whether somebody named it: then it must be there.
    named: bool,
}

impl Protection {
    pub(super) fn new(parameters: &Parameters, environment: &Environment) -> Result<Self> {
        let home = environment.home().map(|home| home.join(".postgresql"));
        let file = |name: &str, default: &str| match parameters.get(name) {
            Some(path) => Some(PathBuf::from(path)),
            None => home.as_ref().map(|home| home.join(default)),
        };
        let root = match file("sslrootcert", "root.crt") {
            Some(path) if path.as_os_str() == "system" => Root::System,
            Some(path) => Root::File(path),
            None => Root::Nobody,
        };
        let certificate = file("sslcert", "postgresql.crt").zip(file("sslkey", "postgresql.key"));
        let named = parameters.get("sslcert").is_some();
        let direct = one_of(parameters, "sslnegotiation", &["postgres", "direct"])? == Some(1);
        let mode = mode(parameters, &root)?;
        if direct && mode < Mode::Require {
            return Err(Error::config("`sslnegotiation=direct` needs `sslmode=require` or a stricter one"));
        }
        Ok(Self {
            mode,
            root,
            certificate: certificate.map(|(certificate, key)| Identity { certificate, key, named }),
            indication: one_of(parameters, "sslsni", &["0", "1"])? != Some(0),
            direct,
            versions: versions(parameters)?,
        })
    }

    /// As libpq: nobody listens on a socket of this machine, so nothing is encrypted there, whatever is asked.
    pub(super) fn without(&self) -> Self {
        Self { mode: Mode::Disable, ..self.clone() }
    }

    /// What makes connections encrypted.
    ///
    /// # Errors
    /// If a file with certificates is missing, or has none.
    pub(super) fn connector(&self) -> Result<MakeRustlsConnect> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new(self.trust()?, provider.clone());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions)
            .map_err(|error| Error::config("TLS can't be had in these versions").with_source(error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = self.identified(builder, &provider)?;
        config.enable_sni = self.indication;
        if self.direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(MakeRustlsConnect::new(config))
    }

    /// Like libpq: who has a file of roots wants the server's certificate verified against it, in every mode.
    fn trust(&self) -> Result<Trust> {
        let strict = self.mode >= Mode::VerifyCa;
        let with_name = self.mode == Mode::VerifyFull;
        match &self.root {
            _ if self.mode == Mode::Disable => Ok(Trust::Anybody),
            Root::System => Trust::system(with_name),
            Root::File(path) if path.exists() => Trust::file(path, with_name),
            Root::File(path) if strict => {
                Err(Error::config(format!("`sslmode` wants the server's certificate verified, and `{}` is not there", path.display()))
                    .with_hint("name the authority's certificate with `sslrootcert`, or trust whom this system trusts with `sslrootcert=system`"))
            }
            Root::Nobody if strict => Err(Error::config("`sslmode` wants the server's certificate verified, and nobody is trusted")
                .with_hint("name the authority's certificate with `sslrootcert`")),
            Root::File(_) | Root::Nobody => Ok(Trust::Anybody),
        }
    }

    fn identified(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
        provider: &CryptoProvider,
    ) -> Result<ClientConfig> {
        let wanted = |one: &&Identity| self.mode != Mode::Disable && (one.named || one.certificate.exists());
        let Some(identity) = self.certificate.as_ref().filter(wanted) else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(&identity.certificate)?;
        check_key_file(&identity.key)?;
        let key = PrivateKeyDer::from_pem_file(&identity.key).map_err(|error| {
            Error::config("can't read a key")
                .with_context("file", identity.key.display())
                .with_source(error)
                .with_hint("it must be PEM, and not be encrypted")
        })?;
        let signer = provider.key_provider.load_private_key(key).map_err(|error| {
            Error::config("a key is of no use")
                .with_context("file", identity.key.display())
                .with_source(error)
        })?;
        // Not the way that parses the certificate: that refuses those of the first version of X.509, and the server
        // will say itself whether it likes it.
        let shown = CertifiedKey::new(chain, signer);
        Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown))))
    }
}

fn mode(parameters: &Parameters, root: &Root) -> Result<Mode> {
    const NAMES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    let mode = match one_of(parameters, "sslmode", &NAMES)? {
        Some(0) => Mode::Disable,
        Some(1) => Mode::Allow,
        Some(2) => Mode::Prefer,
        Some(3) => Mode::Require,
        Some(4) => Mode::VerifyCa,
        Some(_) => Mode::VerifyFull,
        None if matches!(root, Root::System) => Mode::VerifyFull,
        None => Mode::Prefer,
    };
    if matches!(root, Root::System) && mode != Mode::VerifyFull {
        return Err(Error::config(
            "`sslrootcert=system` trusts the whole world without `sslmode=verify-full`",
        ));
    }
    Ok(mode)
}

fn versions(parameters: &Parameters) -> Result<Vec<&'static SupportedProtocolVersion>> {
    const NAMES: [&str; 4] = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
    let least = one_of(parameters, "ssl_min_protocol_version", &NAMES)?.unwrap_or(0);
    let most = one_of(parameters, "ssl_max_protocol_version", &NAMES)?.unwrap_or(3);
    let all = [(2, &rustls::version::TLS12), (3, &rustls::version::TLS13)];
    let versions: Vec<_> =
        all.into_iter().filter(|(at, _)| (least..=most).contains(at)).map(|(_, version)| version).collect();
    if versions.is_empty() {
        return Err(Error::config("there is no version of TLS that the connection may have")
            .with_hint("1.2 and 1.3 are supported"));
    }
    Ok(versions)
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

/// As libpq: a key is nobody else's business.
fn check_key_file(path: &Path) -> Result<()> {
    let meta = std::fs::metadata(path).map_err(|error| {
        Error::config("can't read a key").with_context("file", path.display()).with_source(error)
    })?;
    let allowed = if meta.uid() == 0 { 0o640 } else { 0o600 };
    if meta.permissions().mode() & 0o777 & !allowed != 0 {
        return Err(Error::config("a key can be read by others")
            .with_context("file", path.display())
            .with_hint("`chmod 0600` it"));
    }
    Ok(())
}
