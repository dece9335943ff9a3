//! The leg to a target: a connection, the header of the PROXY protocol, TLS, in this order.
//!
//! Promise: whoever gets an [`Outward`] from here may send the session's bytes at once, and they reach nobody but whom the
//! route trusts to be the target. The whole has one deadline.

use std::fmt;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use super::Target;
use super::allow::Reach;
use super::dial::{DialError, dial_for};
use crate::program::session::Guest;
use crate::proxy_protocol::Version;
use crate::socket::Socket;
use crate::tls::client::{self, Connector, Trust};
use crate::tls::{Authorities, Outward, Pem, TlsError};

/// What is said on the way to a route's targets before its sessions say anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The header that tells them of the client. None: there is none.
    pub send_proxy: Option<Version>,
    /// How TLS is spoken with those that speak it. None: by the system's authorities' word.
    pub tls: Option<client::Settings>,
    /// Whether all targets speak TLS, whatever a token's source says of it.
    pub is_tls_always: bool,
}

impl Settings {
    /// The files that are read, each under its key in a route's file.
    pub fn pems(&self) -> Vec<(&'static str, &Pem)> {
        let mut pems = Vec::new();
        let Some(client::Settings { trust, identity, .. }) = &self.tls else { return pems };
        if let Trust::Signed(Authorities::File(ca)) | Trust::Pinned(_, Some(Authorities::File(ca))) = trust {
            pems.push(("targets.tls.ca", ca));
        }
        if let Some((certificate, key)) = identity {
            pems.push(("targets.tls.certificate", certificate));
            pems.extend(key.as_ref().map(|key| ("targets.tls.key", key)));
        }
        pems
    }
}

/// The way to a route's targets, in service.
pub struct Leg {
    send_proxy: Option<Version>,
    /// Loaded when it is first needed, unless the route says something of it: the system's authorities are many.
    tls: OnceCell<Connector>,
    is_tls_always: bool,
}

impl Leg {
    /// Loads what the settings name.
    pub fn open(settings: &Settings) -> Result<Self, TlsError> {
        let connector = settings.tls.as_ref().map(Connector::load).transpose()?;
        let Settings { send_proxy, is_tls_always, .. } = *settings;
        Ok(Self { send_proxy, tls: OnceCell::new_with(connector), is_tls_always })
    }

    /// The target of a session, of which a source said that it is `target`.
    pub fn target(&self, target: Target) -> Target {
        if self.is_tls_always { target.by_tls() } else { target }
    }

    /// The version of the header that targets are to get first. None: they get none.
    pub fn send_proxy(&self) -> Option<Version> {
        self.send_proxy
    }

    /// Connects `guest` to `target` within `limit`, if it is within `reach`, and says `header` to it before anything else.
    pub async fn connect(
        &self,
        guest: Guest,
        target: &Target,
        reach: &Reach,
        header: &[u8],
        limit: Duration,
    ) -> Result<Outward, DialError> {
        let deadline = Instant::now() + limit;
        let socket = dial_for(guest, target, reach, limit).await?;
        if header.is_empty() && !matches!(target, Target::Tls(_)) {
            return Ok(Outward::Plain(socket));
        }
        timeout_at(deadline, Box::pin(self.introduce(target, header, socket)))
            .await
            .unwrap_or_else(|_| Err(DialError::TimedOut(target.clone())))
    }

    async fn introduce(&self, target: &Target, header: &[u8], mut socket: Socket) -> Result<Outward, DialError> {
        socket.write_all(header).await.map_err(|source| DialError::Header { source })?;
        if !matches!(target, Target::Tls(_)) {
            return Ok(Outward::Plain(socket));
        }
        let connector = self.tls.get_or_try_init(by_the_system).await;
        let connector = connector.map_err(|source| DialError::Tls { source: source.into() })?;
        Ok(connector.connect(target.host(), socket).await?)
    }
}

async fn by_the_system() -> Result<Connector, TlsError> {
    let load = || Connector::load(&client::Settings::signed_by(Authorities::System));
    tokio::task::spawn_blocking(load).await.unwrap_or(Err(TlsError::NoSystemAuthorities))
}

impl fmt::Debug for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leg").field("send_proxy", &self.send_proxy).finish_non_exhaustive()
    }
}
