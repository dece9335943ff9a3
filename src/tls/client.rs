//! TLS towards services that this program asks: whom to believe.
//!
//! Promise: a service must show a certificate for the very name that it was asked by, below a CA of the system or of the
//! file that is named; there is no way around. Loaded once, when a route is put into service.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{TlsError, provider};

/// The rules for connections to services whose certificates are below those of `ca`, or below the system's.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => {
            // Some of a system's many may be unreadable or odd: the others count.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError::NoSystemAuthorities);
            }
        }
        Some(path) => {
            let text = std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })?;
            for certificate in CertificateDer::pem_slice_iter(&text) {
                let certificate = certificate.map_err(|source| TlsError::Pem { path: path.to_owned(), source })?;
                let added = roots.add(certificate);
                added.map_err(|source| TlsError::UnusableCertificate { path: path.to_owned(), source })?;
            }
            if roots.is_empty() {
                return Err(TlsError::NoCertificate { path: path.to_owned() });
            }
        }
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
