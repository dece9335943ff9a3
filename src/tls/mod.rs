//! TLS on the listening side: which connections are encrypted, with which certificate.
//!
//! Promise: [`Tls::accept`] turns a connected socket into a [`Stream`] whose bytes are the client's plain ones, whatever
//! the client chose, or says why not. The first byte decides, so that one port serves both. A certificate that is
//! renewed on disk is served to the next client without a reload; one that is broken on disk is never served.
//! Sessions keep the keys they began with. Deadlines are the caller's: dropping the future closes the socket, and that is all.
//!
//! The cryptographic provider is named in `pair.rs` and nowhere else; no process-wide default is installed.
//! Not here: the checking of client certificates, and TLS towards targets.

mod accept;
mod certificates;
mod ciphertext;
pub mod client;
mod pair;
mod stream;
#[cfg(test)]
mod testing;

use std::path::PathBuf;
use std::sync::Arc;

pub use accept::AcceptError;
pub use certificates::Certificates;
pub use ciphertext::Ciphertext;
pub use pair::TlsError;
pub(crate) use pair::provider;
pub use stream::Stream;

/// What a route wants of TLS. Absent: plain connections only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether plain connections are served beside TLS ones.
    pub mode: Mode,
    /// PEM file with the certificate chain; may hold the key as well.
    pub certificate: Pem,
    /// PEM file with the private key, when it is not in the certificate's file.
    pub key: Option<Pem>,
}

/// Where a PEM text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// A credential that only the route's service will have.
    Credential(String),
    /// A file, which may be one of the credentials of this process.
    File(PathBuf),
}

/// Which connections a listener serves when it has a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// TLS only.
    Required,
    /// TLS and plain on one port, told apart by the first byte.
    Sniff,
}

/// What a listener does about TLS, ready to be used. Clones share their certificates.
#[derive(Clone, Debug)]
pub enum Tls {
    /// Plain connections only.
    Off,
    /// TLS and plain.
    Offered(Arc<Certificates>),
    /// TLS only.
    Required(Arc<Certificates>),
}

impl Pem {
    /// The file. A credential that this process does not have is none.
    pub fn file(&self) -> Result<PathBuf, TlsError> {
        match self {
            Self::Credential(name) => Err(TlsError::Credential { name: name.clone() }),
            Self::File(path) => Ok(path.clone()),
        }
    }
}

impl Tls {
    /// What is served, where TLS is.
    pub fn certificates(&self) -> Option<&Certificates> {
        match self {
            Self::Off => None,
            Self::Offered(certificates) | Self::Required(certificates) => Some(certificates),
        }
    }

    /// Reads the certificate and the key, and proves that they belong together.
    pub fn load(settings: Option<&Settings>) -> Result<Self, TlsError> {
        let Some(settings) = settings else { return Ok(Self::Off) };
        let certificates = Arc::new(Certificates::load(
            settings.certificate.file()?,
            settings.key.as_ref().map(Pem::file).transpose()?,
        )?);
        Ok(match settings.mode {
            Mode::Sniff => Self::Offered(certificates),
            Mode::Required => Self::Required(certificates),
        })
    }
}
