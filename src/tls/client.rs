//! TLS towards others: targets, and services that this program asks.
//!
//! Promise: a [`Connector`] connects with nobody but whom its [`Trust`] names, and an error says what is wrong with the
//! certificate that was shown. Loaded once, when a route is put into service; what is loaded stays until a reload.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::pair::Pair;
use super::session::Session;
use super::side::Client;
use super::spki::SpkiHash;
use super::stream::Outward;
use super::{Authorities, Pem, TlsError, provider};
use crate::socket::Socket;

/// How a server is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whose certificates are right.
    pub trust: Trust,
    /// The name that is asked for, and that the certificate must have. None: that which is connected to.
    pub server_name: Option<ServerName<'static>>,
    /// The certificate that is shown when one is asked for, and its key when that is not in the same file.
    pub identity: Option<(Pem, Option<Pem>)>,
}

/// Whose certificates are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Everybody's, which keeps out nobody who can stand in between.
    Anything,
    /// Those that somebody has signed for the server's name.
    Signed(Authorities),
    /// Those with one of these keys, whoever has signed them and for whatever name; or, with authorities, those that are right
    /// by both rules.
    Pinned(Vec<SpkiHash>, Option<Authorities>),
}

/// Shakes hands with servers by the rules of its settings.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// No TLS came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// What was connected to has no name that a certificate could have.
    #[error("'{0}' is no name that a certificate could have")]
    Name(String),
    /// Its certificate is not right.
    #[error("the certificate {0}")]
    Certificate(Fault),
    /// It wants a certificate that it does not get, or not from this one.
    #[error("the certificate that is shown to it is missing or refused")]
    Refused(#[source] io::Error),
    /// Its side does not speak TLS, or none that is spoken here.
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
}

/// What is wrong with a server's certificate, as it follows the words "the certificate".
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Its time is over.
    Expired,
    /// Its time has not begun.
    NotYet,
    /// It is another name's.
    Name,
    /// Nobody who is trusted has signed it.
    Unsigned,
    /// Its key is none of those that are pinned.
    NotPinned(SpkiHash),
    /// Something else.
    Other(Box<CertificateError>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("has expired"),
            Self::NotYet => f.write_str("is not valid yet, or this machine's clock is slow"),
            Self::Name => f.write_str("is for another name"),
            Self::Unsigned => f.write_str("is signed by nobody who is trusted here"),
            Self::NotPinned(pin) => write!(f, "has another key than those that are pinned: {pin}"),
            Self::Other(error) => write!(f, "is not right: {error}"),
        }
    }
}

impl Settings {
    /// By the authorities' word alone.
    pub fn signed_by(authorities: Authorities) -> Self {
        Self { trust: Trust::Signed(authorities), server_name: None, identity: None }
    }
}

impl Connector {
    /// Reads what the settings name.
    pub fn load(settings: &Settings) -> Result<Self, TlsError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites for both versions");
        let builder = match &settings.trust {
            Trust::Signed(authorities) => builder.with_root_certificates(roots(authorities)?),
            Trust::Pinned(pins, authorities) => {
                let signed = authorities.as_ref().map(|authorities| verifier(authorities, &provider)).transpose()?;
                let judge = Judge { signed, pins: Some(pins.clone()), provider };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(judge))
            }
            Trust::Anything => {
                let judge = Judge { signed: None, pins: None, provider };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(judge))
            }
        };
        let config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let pair = pair(&certificate.file()?, key.as_ref().map(Pem::file).transpose()?.as_deref())?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.certified())))
            }
        };
        Ok(Self { config: Arc::new(config), server_name: settings.server_name.clone() })
    }

    /// Shakes hands by `socket`, which is connected with `host`. There is no deadline here.
    pub async fn connect(&self, host: &str, socket: Socket) -> Result<Outward, ConnectError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Name(host.to_owned()))?,
        };
        let side = Client::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        match Session::begin(socket, side).await {
            Ok(session) => Ok(Outward::Tls(session)),
            Err((error, _)) => Err(error.into()),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({:?})", self.server_name)
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(wrong)) => Self::Certificate(wrong.into()),
            Some(Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied,
            )) => Self::Refused(error),
            _ => Self::Handshake(error),
        }
    }
}

impl From<&CertificateError> for Fault {
    fn from(wrong: &CertificateError) -> Self {
        match wrong {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYet,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::Name,
            // Bad: by somebody of the same name as one who is trusted.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Unsigned,
            CertificateError::Other(OtherError(other)) => match other.downcast_ref::<Self>() {
                Some(fault) => fault.clone(),
                // What webpki says of a self-signed certificate that was made as a CA, and is shown as a server's.
                None if other.to_string().contains("CaUsedAsEndEntity") => Self::Unsigned,
                None => Self::Other(Box::new(wrong.clone())),
            },
            other => Self::Other(Box::new(other.clone())),
        }
    }
}

impl std::error::Error for Fault {}

/// For certificates that are judged by more or by less than who has signed them.
#[derive(Debug)]
struct Judge {
    signed: Option<Arc<WebPkiServerVerifier>>,
    /// None: every key is right.
    pins: Option<Vec<SpkiHash>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(pins) = &self.pins {
            let pin = SpkiHash::of(&ParsedCertificate::try_from(certificate)?.subject_public_key_info());
            if !pins.contains(&pin) {
                let fault = OtherError(Arc::new(Fault::NotPinned(pin)));
                return Err(Error::InvalidCertificate(CertificateError::Other(fault)));
            }
        }
        match &self.signed {
            None => Ok(ServerCertVerified::assertion()),
            Some(signed) => signed.verify_server_cert(certificate, intermediates, server_name, ocsp_response, now),
        }
    }

    // Whoever shows a certificate must have its key, whatever else is not looked at.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn verifier(authorities: &Authorities, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let roots = Arc::new(roots(authorities)?);
    let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
    Ok(builder.build().expect("there is a root at least, and there are no revocation lists"))
}

fn roots(authorities: &Authorities) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Authorities::System => {
            // Some of a system's many may be unreadable or odd: the others count.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError::NoSystemAuthorities);
            }
        }
        Authorities::File(pem) => {
            let path = pem.file()?;
            for certificate in CertificateDer::pem_slice_iter(&read(&path)?) {
                let certificate = certificate.map_err(|source| TlsError::Pem { path: path.clone(), source })?;
                let added = roots.add(certificate);
                added.map_err(|source| TlsError::UnusableCertificate { path: path.clone(), source })?;
            }
            if roots.is_empty() {
                return Err(TlsError::NoCertificate { path });
            }
        }
    }
    Ok(roots)
}

fn pair(certificate: &Path, key: Option<&Path>) -> Result<Pair, TlsError> {
    let text = read(certificate)?;
    match key {
        None => Pair::parse((certificate, &text), (certificate, &text), None),
        Some(key) => Pair::parse((certificate, &text), (key, &read(key)?), None),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}
