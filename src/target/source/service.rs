//! A service that tokens are looked up in: where it is, and a connection to it, plain or by TLS.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::SourceError;
use crate::socket::Socket;
use crate::target::Target;
use crate::target::allow::Reach;
use crate::target::dial::dial;
use crate::tls::client::client_config;
use crate::tls::{Authorities, Pem, TlsError};

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
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// A connection to a service.
pub enum Wire {
    /// Without TLS.
    Plain(Socket),
    /// Boxed, as most have none.
    Tls(Box<TlsStream<Socket>>),
}

/// What a user must not read in a log: it shows as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl Service {
    /// Loads what its certificate is judged by.
    pub fn open(address: &Address) -> Result<Self, SourceError> {
        let Address { host, port, tls } = address;
        let ca: Option<PathBuf> = match tls {
            None => return Ok(Self { host: host.clone(), port: *port, tls: None }),
            Some(Authorities::System) => None,
            Some(Authorities::File(pem)) => Some(pem.file()?),
        };
        let config: Arc<ClientConfig> = client_config(ca.as_deref())?;
        let name = ServerName::try_from(host.clone()).map_err(|_| SourceError::ServerName(host.clone()))?;
        Ok(Self { host: host.clone(), port: *port, tls: Some((TlsConnector::from(config), name)) })
    }

    /// Connects, within `limit`.
    pub async fn connect(&self, limit: Duration) -> Result<Wire, SourceError> {
        let target = Target::Tcp { host: self.host.clone(), port: self.port };
        // The service was named by whoever wrote the route.
        let socket =
            dial(&target, &Reach::Everything, limit).await.map_err(|error| SourceError::Connect(Box::new(error)))?;
        match &self.tls {
            None => Ok(Wire::Plain(socket)),
            Some((connector, name)) => match connector.connect(name.clone(), socket).await {
                Ok(stream) => Ok(Wire::Tls(Box::new(stream))),
                Err(error) => Err(SourceError::Tls(error)),
            },
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

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
