//! Whose connection it is, when a proxy has made it: by the header of the PROXY protocol, read before anything else, and by the
//! header of each request.
//!
//! A proxy that is trusted and owes the former gets no session when it says nothing, or nonsense: its clients would all be taken for
//! it, and have its rights. One whose request lacks the latter is taken for the client itself. Nobody else is asked: whoever is not
//! trusted and begins with such a header is told apart by [`crate::tls`].

use std::io;
use std::net::SocketAddr;

use http::Request;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::refusal::{Refusal, log_denied};
use crate::access::Caller;
use crate::http::farewell;
use crate::log::Kind;
use crate::proxy_protocol::read::{Header, HeaderError, Origin as Told, Progress, parse};
use crate::server::site::Site;
use crate::socket::{Peer, Socket};

/// Whose connection it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// The client, as far as it is known.
    pub(super) client: Peer,
    /// Who has made the connection. None: the client.
    pub(super) proxy: Option<Peer>,
    /// Where it connected to. None: to the socket that the connection came by.
    pub(super) destination: Option<SocketAddr>,
    /// Whether a proxy has taken TLS off.
    pub(super) is_tls: bool,
}

/// Why nobody knows whose connection it is.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    /// The proxy closed the connection before it said so: a health check that only connects.
    #[error("the proxy closed the connection before it said whose it is")]
    Silent,
    /// It could not be read.
    #[error("the connection to the proxy broke")]
    Lost(#[source] io::Error),
    /// What it said is nothing that can be believed.
    #[error("a trusted proxy is not believed: {0}")]
    Disbelieved(HeaderError),
}

impl Origin {
    /// Of a connection that somebody has made for themselves.
    pub(super) fn direct(peer: Peer) -> Self {
        Self { client: peer, proxy: None, destination: None, is_tls: false }
    }

    /// Of the connection by `socket`, which the trusted proxy `peer` has made. None: nobody knows, or somebody who may not come, and it is told.
    /// There is no deadline here.
    pub(super) async fn find(socket: &mut Socket, peer: Peer, site: &Site) -> Option<Self> {
        let Header { origin, is_tls } = match read(socket).await {
            Ok(header) => header,
            Err(unknown) => {
                unknown.log(peer, site);
                farewell(socket, &[]).await;
                return None;
            }
        };
        let Told::Client { source, destination } = origin else {
            return Some(Self { is_tls, ..Self::direct(peer) });
        };
        let told = Self { client: source.into(), proxy: Some(peer), destination: Some(destination), is_tls };
        // One that is a proxy again, and has more to say in its request, is looked at then.
        if !site.access.is_forwarded(&told.client)
            && let Err(denied) = site.access.admits_client(&told.client)
        {
            log_denied(&denied, None, told.client, site);
            return None;
        }
        Some(told)
    }

    /// Goes on to whom `request` is from, if it came by a proxy that says so in it.
    pub(super) fn follow(&mut self, request: &Request<()>, site: &Site) -> Result<(), Refusal> {
        let Some(forwarded) = site.access.forwarded(self.client, request.headers())? else { return Ok(()) };
        self.is_tls = forwarded.is_https.unwrap_or(self.is_tls);
        if forwarded.client != self.client {
            self.proxy.get_or_insert(self.client);
            self.client = forwarded.client;
        }
        Ok(())
    }

    /// Who asks: as the connection has shown it, and as a proxy tells it.
    pub(super) fn caller(&self, shown: &Caller) -> Caller {
        Caller { peer: self.client, is_encrypted: shown.is_encrypted || self.is_tls, identity: shown.identity.clone() }
    }
}

/// Takes the header, and nothing of what is behind it.
async fn read(socket: &mut Socket) -> Result<Header, Unknown> {
    let mut bytes = Vec::new();
    loop {
        let missing = match parse(&bytes).map_err(Unknown::Disbelieved)? {
            Progress::Complete(header) => return Ok(header),
            Progress::Missing(count) => count.get(),
        };
        let there = bytes.len();
        bytes.resize(there + missing, 0);
        match socket.read_exact(&mut bytes[there..]).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Unknown::Silent),
            Err(error) => return Err(Unknown::Lost(error)),
        }
    }
}

impl Unknown {
    /// A proxy that is not believed is to be mended; the rest is everyday, and for those who look for it.
    fn log(&self, peer: Peer, site: &Site) {
        let route = &site.name;
        let Self::Disbelieved(_) = self else {
            return debug!(client = %peer, route, "connection closed: {self}");
        };
        if let Some(unlogged) = site.quotas.admit(Kind::ProxyDisbelieved, Instant::now().into_std()) {
            let (kind, unlogged) = (Kind::ProxyDisbelieved.id(), (unlogged > 0).then_some(unlogged));
            warn!(kind, client = %peer, route, unlogged, "refused: {self}");
        }
    }
}
