//! The rules of the handshake: versions, cipher suites, which certificate for which name, and what clients must show.
//!
//! Promise: nothing below what the route asks for is spoken, and nothing older than TLS 1.2 ever. Nothing of a session is kept
//! here after its end: what a client resumes by is a ticket that it keeps itself.

use std::cell::Cell;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::ciphers::Ciphers;
use super::pair::Pair;
use super::{TlsError, provider};

/// What a route asks of a handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// The suites that are spoken; None: all that are safe.
    pub ciphers: Option<Ciphers>,
}

/// The oldest version of TLS that a route speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// 1.2, which all browsers of the last ten years speak.
    #[default]
    Tls12,
    /// 1.3.
    Tls13,
}

/// Serves the first certificate that is for the client's name, or else the first of all; among several, one that the client
/// can check.
#[derive(Debug)]
struct ByName {
    pairs: Vec<Pair>,
}

thread_local! {
    static NAME_ASKED_FOR: Cell<Option<Box<str>>> = const { Cell::new(None) };
}

/// For which name the certificate was chosen just now, by this thread. A connection without buffers does not tell it itself.
pub(super) fn take_name_asked_for() -> Option<Box<str>> {
    NAME_ASKED_FOR.take()
}

impl Rules {
    /// The rules with these certificates in them, and with who judges those of clients.
    pub(super) fn server_config(
        &self,
        pairs: Vec<Pair>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<ServerConfig, TlsError> {
        let provider = self.provider();
        let asks_clients = clients.is_some();
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions(&provider)?)
            .map_err(|_| TlsError::NoSuite)?
            .with_client_cert_verifier(clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth))
            .with_cert_resolver(Arc::new(ByName { pairs }));
        // WebSocket is spoken over HTTP/1.1 only; without this a browser might expect HTTP/2.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ignore_client_order = self.ciphers.is_some();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if asks_clients {
            // What a ticket resumes is not judged again: a certificate that was revoked, or has expired, would come in by it.
            config.send_tls13_tickets = 0;
        } else {
            // Tickets make a reconnect cheap and keep nothing here, neither memory nor a lock between the workers. Their keys
            // change by themselves every six hours, and are this configuration's own: a new certificate ends the resumption of
            // what saw the old one.
            config.ticketer = aws_lc_rs::Ticketer::new().map_err(|source| TlsError::TicketKey { source })?;
            // A browser uses a ticket once, and opens the page's next connection and the WebSocket's almost together.
            config.send_tls13_tickets = 2;
        }
        Ok(config)
    }

    fn provider(&self) -> Arc<CryptoProvider> {
        let Some(ciphers) = &self.ciphers else { return provider() };
        let all = provider();
        let suite = |id: &rustls::CipherSuite| all.cipher_suites.iter().find(|suite| suite.suite() == *id).copied();
        let cipher_suites = ciphers.suites().iter().filter_map(suite).collect();
        Arc::new(CryptoProvider { cipher_suites, ..(*all).clone() })
    }

    /// The versions that there are suites for.
    fn versions(&self, provider: &CryptoProvider) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
        let wanted: &[&SupportedProtocolVersion] = match self.min_version {
            MinVersion::Tls12 => &[&TLS13, &TLS12],
            MinVersion::Tls13 => &[&TLS13],
        };
        let has_suites = |version: &&&'static SupportedProtocolVersion| {
            provider.cipher_suites.iter().any(|suite| suite.version() == **version)
        };
        let versions: Vec<_> = wanted.iter().filter(has_suites).copied().collect();
        if versions.is_empty() { Err(TlsError::NoSuite) } else { Ok(versions) }
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        NAME_ASKED_FOR.set(hello.server_name().map(Box::from));
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let is_for_it = |pair: &&Pair| name.as_ref().is_some_and(|name| pair.is_for(name));
        let can_sign = |pair: &&Pair| pair.can_sign(hello.signature_schemes());
        let named = self.pairs.iter().filter(is_for_it);
        let chosen = named.clone().find(can_sign).or_else(|| named.clone().next());
        // Without a name of ours: the first, or the first of another kind of key for a client that cannot read that.
        let chosen = chosen.or_else(|| self.pairs.iter().find(can_sign)).or(self.pairs.first());
        chosen.map(Pair::certified)
    }
}
