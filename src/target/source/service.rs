//! A service that this program asks, for a token's target or about a client: where it is, and a connection to it, plain or by TLS.

use std::fmt;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::SourceError;
use crate::target::Target;
use crate::target::allow::Reach;
use crate::target::dial::dial;
use crate::tls::client::{self, Connector};
use crate::tls::{Authorities, Outward, Pem, TlsError};

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// None: without TLS.
    pub tls: Option<Authorities>,
}

impl Address {
    /// The file by which its certificate is judged.
    pub fn ca(&self) -> Option<&Pem> {
        match &self.tls {
            Some(Authorities::File(pem)) => Some(pem),
            _ => None,
        }
    }
}

/// A service in use.
pub struct Service {
    host: String,
    port: u16,
    tls: Option<Connector>,
}

/// What a user must not read in a log: it shows as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl Service {
    /// Loads what its certificate is judged by.
    pub fn open(address: &Address) -> Result<Self, SourceError> {
        let Address { host, port, tls } = address;
        let Some(authorities) = tls else { return Ok(Self { host: host.clone(), port: *port, tls: None }) };
        let name = ServerName::try_from(host.clone()).map_err(|_| SourceError::ServerName(host.clone()))?;
        let signed = client::Settings::signed_by(authorities.clone());
        let connector = Connector::load(&client::Settings { server_name: Some(name), ..signed })?;
        Ok(Self { host: host.clone(), port: *port, tls: Some(connector) })
    }

    /// Connects, within `limit`.
    pub async fn connect(&self, limit: Duration) -> Result<Outward, SourceError> {
        let target = Target::Tcp { host: self.host.clone(), port: self.port };
        // The service was named by whoever wrote the route.
        let socket =
            dial(&target, &Reach::Everything, limit).await.map_err(|error| SourceError::Connect(Box::new(error)))?;
        match &self.tls {
            None => Ok(Outward::Plain(socket)),
            Some(connector) => connector.connect(&self.host, socket).await.map_err(SourceError::Tls),
        }
    }
}

/// The port of `HOST[:PORT]`, where the host may be in brackets; or the scheme's own. None: what stands there is none.
pub fn port(authority: &str, default: u16) -> Option<u16> {
    let behind = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.1,
        None => authority.find(':').map_or("", |colon| &authority[colon..]),
    };
    if behind.is_empty() {
        return Some(default);
    }
    let digits = behind.strip_prefix(':')?;
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|port| is_number && *port > 0)
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({}:{})", self.host, self.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Target::Tcp { host: self.host.clone(), port: self.port }.fmt(f)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<TlsError> for SourceError {
    fn from(error: TlsError) -> Self {
        Self::Authorities(Box::new(error))
    }
}
