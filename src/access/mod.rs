//! Who may have a session: what a route asks of its clients, and the one place that decides.
//!
//! Promise: only [`Access::admit`] makes an [`Admitted`], without which no target is looked up. Whatever a client says of
//! itself is believed by a proof alone; who is at the other end of the connection comes as a value, the [`Caller`], which no
//! header can forge.
//!
//! Two questions, in this order: [`Access::admits_address`], before a byte is read, which drops the connection without a word;
//! and [`Access::admit`], once the request's head is known. It knows neither targets nor frames.

pub mod certificate;
pub mod networks;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::Request;
use tokio::time::Instant;

use self::certificate::{CertificateDenied, CertificateRule};
pub use self::networks::{AllowedClients, Network, NetworkError};
use crate::socket::Peer;
use crate::tls::ClientIdentity;

/// What a route asks of its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where they may come from; None: from everywhere.
    pub allow_clients: Option<AllowedClients>,
    /// What their certificates must say; None: they need none.
    pub certificate: Option<CertificateRule>,
}

/// What a route asks of its clients, in service.
#[derive(Debug, Default)]
pub struct Access {
    allow_clients: Option<AllowedClients>,
    certificate: Option<CertificateRule>,
}

/// Who asks, as the connection shows it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Where it comes from.
    pub peer: Peer,
    /// Whether nobody between can read or change what it says.
    pub is_encrypted: bool,
    /// Whom its certificate names, which the TLS handshake has judged.
    pub identity: Option<Arc<ClientIdentity>>,
}

/// Proof that a client may have a session, and who it is.
#[derive(Debug)]
pub struct Admitted {
    user: Option<User>,
    until: Option<SystemTime>,
}

/// Who a client has proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// As whoever vouches for it calls it.
    pub name: String,
}

/// Why a client may not have a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// By where it comes from.
    #[error("not among access.allow-clients")]
    Address,
    /// By its certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateDenied),
}

impl Access {
    /// Takes the settings into service.
    pub fn open(settings: &Settings) -> Self {
        let Settings { allow_clients, certificate } = settings.clone();
        Self { allow_clients, certificate }
    }

    /// Where clients may come from; None: from everywhere.
    pub fn allow_clients(&self) -> Option<&AllowedClients> {
        self.allow_clients.as_ref()
    }

    /// Whether anything that `peer` could say would help it.
    pub fn admits_address(&self, peer: &Peer) -> bool {
        self.allow_clients.as_ref().is_none_or(|clients| clients.admit(peer))
    }

    /// Whether who sent `request` may have a session. What has to be asked elsewhere is answered before `deadline`.
    #[expect(clippy::unused_async, reason = "what asks a service comes next")]
    pub async fn admit(&self, _request: &Request<()>, caller: &Caller, _deadline: Instant) -> Result<Admitted, Denied> {
        if !self.admits_address(&caller.peer) {
            return Err(Denied::Address);
        }
        let rule = self.certificate.as_ref();
        let name = rule.map(|rule| rule.judge(caller.is_encrypted, caller.identity.as_deref())).transpose()?;
        // Who has shown a certificate where it is not asked for is known by it all the same.
        let name = name.or_else(|| caller.identity.as_ref().map(|identity| identity.name()));
        Ok(Admitted { user: name.map(|name| User { name }), until: None })
    }
}

impl Admitted {
    /// Who it is; None: nobody asked.
    pub fn into_user(self) -> Option<User> {
        self.user
    }

    /// When what it has shown ends, and a session by it.
    pub fn until(&self) -> Option<SystemTime> {
        self.until
    }
}

/// As a log names it.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}
