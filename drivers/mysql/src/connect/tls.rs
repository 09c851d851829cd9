//! Encryption, and how far a server has to prove who it is.

use std::path::{Path, PathBuf};

use dumprestore_driver::{Error, Result};
use mysql_async::{ClientIdentity, SslOpts};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::parameters::{Parameters, one_of};

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

    /// What the client is told of TLS. `None`: nothing is encrypted, since it is not wanted, or nobody listens on a socket.
    ///
    /// # Errors
    /// If a file with certificates is missing, or has none.
    pub(super) async fn options(&self, is_socket: bool) -> Result<Option<SslOpts>> {
        if is_socket || self.mode == Mode::Disabled {
            return Ok(None);
        }
        let trusts_anybody = self.mode < Mode::VerifyCa;
        let mut options = SslOpts::default()
            .with_disable_built_in_roots(true)
            .with_danger_accept_invalid_certs(trusts_anybody)
            .with_danger_skip_domain_validation(self.mode < Mode::VerifyIdentity)
            .with_client_identity(self.identity()?);
        if !trusts_anybody {
            let roots = match &self.authority {
                Some(path) => certificates(path)?,
                None => roots_of_system().await?,
            };
            options = options.with_root_certs(usable(roots)?.into_iter().map(Into::into).collect());
        } else {
            // The client wants to know somebody, even where it believes anybody.
            options = options.with_disable_built_in_roots(false);
        }
        Ok(Some(options))
    }

    /// Our own certificate and key, looked into first: the client would not say which file is at fault.
    fn identity(&self) -> Result<Option<ClientIdentity>> {
        let Some((certificate, key)) = &self.identity else { return Ok(None) };
        certificates(certificate)?;
        PrivateKeyDer::from_pem_file(key).map_err(|error| {
            Error::config("can't read a key")
                .with_context("file", key.display())
                .with_source(error)
                .with_hint("it must be PEM, and not be encrypted")
        })?;
        Ok(Some(ClientIdentity::new(certificate.clone().into(), key.clone().into())))
    }
}

/// Whom this system trusts.
async fn roots_of_system() -> Result<Vec<CertificateDer<'static>>> {
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let found = found.map_err(|error| Error::defect("the `mysql` driver panicked").with_source(error))?;
    match found.errors.into_iter().next() {
        Some(error) if found.certs.is_empty() => {
            Err(Error::environment("can't read whom this system trusts").with_source(error))
        }
        _ if found.certs.is_empty() => Err(Error::environment("this system trusts nobody")
            .with_hint("install its certificates (`ca-certificates`), or name a file with `ssl-ca`")),
        _ => Ok(found.certs),
    }
}

/// Those that can be a root: one among many that can't must not keep all others from being used.
fn usable(certificates: Vec<CertificateDer<'static>>) -> Result<Vec<Vec<u8>>> {
    let fits = |one: &CertificateDer<'static>| RootCertStore::empty().add(one.clone()).is_ok();
    let usable: Vec<Vec<u8>> =
        certificates.into_iter().filter(fits).map(|certificate| certificate.to_vec()).collect();
    match usable.is_empty() {
        true => Err(Error::config("none of the certificates of `ssl-ca` can be used")),
        false => Ok(usable),
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
