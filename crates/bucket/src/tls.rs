//! Encryption: rustls with ring, and whom to trust.

use std::path::Path;
use std::sync::Arc;

use dumprestore_driver::{Error, Result};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// How to speak TLS: trusting those in `authority`, or else whom this system trusts.
///
/// # Errors
/// If the file can't be read or has no certificate in it, or if this system trusts nobody.
pub(crate) fn client_config(authority: Option<&Path>) -> Result<ClientConfig> {
    let certificates = match authority {
        Some(path) => certificates(path)?,
        None => roots_of_system()?,
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(Error::config("none of the certificates to trust can be used")
            .with_hint("see `ca_file`: it must be that of an authority, in PEM"));
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::defect("TLS can't be had").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn roots_of_system() -> Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.into_iter().next() {
        Some(error) if found.certs.is_empty() => {
            Err(Error::environment("can't read whom this system trusts").with_source(error))
        }
        _ if found.certs.is_empty() => Err(Error::environment("this system trusts nobody")
            .with_hint("install its certificates (`ca-certificates`), or set `ca_file`")),
        _ => Ok(found.certs),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let failed = |error: rustls_pki_types::pem::Error| {
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
