//! TLS on the listening side: which connections are encrypted, with which certificate, and whose certificates of clients are believed.
//!
//! Promise: [`Tls::accept`] turns a connected socket into a [`Stream`] whose bytes are the client's plain ones, whatever
//! the client chose, or says why not. The first byte decides, so that one port serves both. A certificate that is
//! renewed on disk is served to the next client without a reload; one that is broken on disk is never served. The same holds
//! for the CAs of clients and their revocation lists. Sessions keep what they began with. Deadlines are the caller's: dropping the future closes the
//! socket, and that is all.
//!
//! The cryptographic provider is named in `pair.rs`, and its tickets in `handshake.rs`; no process-wide default is installed.
//! Not here: which of the believed clients may have a session ([`crate::access`]), nor TLS towards
//! others ([`client`]).

mod accept;
mod certificates;
pub mod ciphers;
pub mod client;
mod error;
mod handshake;
mod identity;
mod key;
mod pair;
mod session;
mod side;
mod spki;
mod stream;
#[cfg(test)]
mod testing;
mod verifier;
mod waiting;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

pub use accept::AcceptError;
pub use certificates::{Certificates, Expiry};
pub use error::TlsError;
pub use handshake::{MinVersion, Rules};
pub use identity::ClientIdentity;
pub use key::Passphrase;
pub(crate) use pair::provider;
pub use session::Session;
pub use side::{Client, Server, Side};
pub use spki::{SpkiHash, SpkiHashError};
pub use stream::{Outward, Stream, Wire};

use certificates::{ClientFiles, Files, PairFiles, PassphrasePlace};

/// The key of something in the `index`th of `[[tls.certificates]]`, counted from 1 for people.
pub(crate) fn numbered(index: usize, key: &str) -> String {
    format!("tls.certificates.{}.{key}", index + 1)
}

/// What a route wants of TLS. Absent: plain connections only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether plain connections are served beside TLS ones.
    pub mode: Mode,
    /// What is served to clients that name none of the others.
    pub default: CertificateSettings,
    /// Certificates for other names.
    pub others: Vec<CertificateSettings>,
    /// Versions and cipher suites.
    pub rules: Rules,
    /// What is asked of clients; None: no certificates.
    pub clients: Option<ClientSettings>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSettings {
    /// PEM file with the certificate chain; may hold the key as well.
    pub certificate: Pem,
    /// PEM file with the private key, when it is not in the certificate's file.
    pub key: Option<Pem>,
    /// What opens the key, when it is encrypted.
    pub passphrase: Option<PassphraseSettings>,
}

/// Where the passphrase of a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassphraseSettings {
    /// It was typed.
    Typed(Passphrase),
    /// In the first line of a file.
    File(Pem),
}

/// What the certificates of clients are judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// The CAs that are believed.
    pub authorities: Authorities,
    /// PEM file with the revocation list of each of these CAs.
    pub revocation_lists: Option<Pem>,
    /// Whether a client may come without one.
    pub demand: Demand,
}

/// Which CAs are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorities {
    /// Those that the system trusts.
    System,
    /// Those in a PEM file.
    File(Pem),
}

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// It may; a bad one is refused all the same.
    Optional,
    /// The handshake fails without.
    Required,
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

    /// Reads all that the settings name, and proves that it fits together.
    pub fn load(settings: Option<&Settings>) -> Result<Self, TlsError> {
        let Some(settings) = settings else { return Ok(Self::Off) };
        let certificates = Arc::new(Certificates::load(settings.files()?)?);
        Ok(match settings.mode {
            Mode::Sniff => Self::Offered(certificates),
            Mode::Required => Self::Required(certificates),
        })
    }
}

impl Settings {
    /// The files that it names, each under its key in a route's file.
    pub fn pems(&self) -> Vec<(Cow<'static, str>, &Pem)> {
        let mut pems = Vec::new();
        self.default.add_pems(|key| format!("tls.{key}"), &mut pems);
        for (index, other) in self.others.iter().enumerate() {
            other.add_pems(|key| numbered(index, key), &mut pems);
        }
        if let Some(ClientSettings { authorities, revocation_lists, .. }) = &self.clients {
            if let Authorities::File(pem) = authorities {
                pems.push(("tls.client.ca".into(), pem));
            }
            pems.extend(revocation_lists.as_ref().map(|pem| ("tls.client.crl".into(), pem)));
        }
        pems
    }

    fn files(&self) -> Result<Files, TlsError> {
        let pairs = std::iter::once(&self.default).chain(&self.others).map(CertificateSettings::files);
        let clients = self.clients.as_ref().map(ClientSettings::files).transpose()?;
        Ok(Files { pairs: pairs.collect::<Result<_, _>>()?, clients, rules: self.rules.clone() })
    }
}

impl CertificateSettings {
    fn add_pems<'a>(&'a self, named: impl Fn(&str) -> String, pems: &mut Vec<(Cow<'static, str>, &'a Pem)>) {
        pems.push((named("certificate").into(), &self.certificate));
        pems.extend(self.key.as_ref().map(|key| (named("key").into(), key)));
        if let Some(PassphraseSettings::File(file)) = &self.passphrase {
            pems.push((named("key-password").into(), file));
        }
    }

    fn files(&self) -> Result<PairFiles, TlsError> {
        let passphrase = match &self.passphrase {
            None => None,
            Some(PassphraseSettings::Typed(passphrase)) => Some(PassphrasePlace::Here(passphrase.clone())),
            Some(PassphraseSettings::File(pem)) => Some(PassphrasePlace::File(pem.file()?)),
        };
        let key = self.key.as_ref().map(Pem::file).transpose()?;
        Ok(PairFiles { certificate: self.certificate.file()?, key, passphrase })
    }
}

impl ClientSettings {
    fn files(&self) -> Result<ClientFiles, TlsError> {
        let authorities = match &self.authorities {
            Authorities::System => None,
            Authorities::File(pem) => Some(pem.file()?),
        };
        let revocation_lists = self.revocation_lists.as_ref().map(Pem::file).transpose()?;
        Ok(ClientFiles { authorities, revocation_lists, demand: self.demand })
    }
}
