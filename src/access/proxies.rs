//! Proxies in front of a route, and what the kernel is asked because of them.
//!
//! Pure. By default there are none, and whoever connects is the client.

use std::fmt;

use http::HeaderMap;

use super::forwarded::{Forwarded, ForwardedError, ForwardedHeader, TrustedProxies};
use super::{Access, Denied, Network, Settings};
use crate::socket::Peer;

/// The proxies of a route, and how they tell whose connections they pass on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxies {
    /// Whose word counts.
    pub trusted: TrustedProxies,
    /// Whether they begin each connection with a header of the PROXY protocol. None: they do not.
    pub protocol: Option<ProxyProtocol>,
    /// The header of their requests that tells the client's address. None: none does.
    pub header: Option<ForwardedHeader>,
}

/// Who may come without a header of the PROXY protocol. A proxy that is trusted never may: its clients would all be taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Whoever is no trusted proxy, and is its own client then.
    Accepted,
    /// Nobody.
    Required,
}

/// What the kernel is asked to do with the packets of strangers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelFilter {
    /// Nothing.
    Nothing,
    /// To drop those that are of none of these networks.
    Only(Vec<Network>),
    /// To drop those of the first networks, unless they are of the second.
    Without(Vec<Network>, Vec<Network>),
}

impl Access {
    /// Whether the connection of `peer` may come in: it is a client that may, or a proxy, whose clients are looked at when it
    /// has said who they are.
    pub fn admits_connection(&self, peer: &Peer) -> Result<(), Denied> {
        match &self.proxies {
            Some(proxies) if proxies.trusted.trust(peer) => Ok(()),
            Some(Proxies { protocol: Some(ProxyProtocol::Required), .. }) => Err(Denied::NoProxy),
            _ => self.admits_client(peer),
        }
    }

    /// Whether the lists let in who comes from there. Who denies has the last word.
    pub fn admits_client(&self, client: &Peer) -> Result<(), Denied> {
        let among = |network: &Network| client.ip().is_some_and(|address| network.contains(address));
        if self.deny_clients.iter().flatten().any(among) {
            return Err(Denied::AddressDenied);
        }
        match &self.allow_clients {
            Some(allowed) if !allowed.admit(client) => Err(Denied::Address),
            _ => Ok(()),
        }
    }

    /// Whether the connection of `peer` begins with a header of the PROXY protocol.
    pub fn begins_with_header(&self, peer: &Peer) -> bool {
        self.proxies.as_ref().is_some_and(|proxies| proxies.protocol.is_some() && proxies.trusted.trust(peer))
    }

    /// Whether who sends a request on the connection of `peer` is known only by that request.
    pub fn is_forwarded(&self, peer: &Peer) -> bool {
        self.proxies.as_ref().is_some_and(|proxies| proxies.header.is_some() && proxies.trusted.trust(peer))
    }

    /// Who sent a request on the connection of `peer`. None: whoever connected.
    pub fn forwarded(&self, peer: Peer, headers: &HeaderMap) -> Result<Option<Forwarded>, ForwardedError> {
        let Some(Proxies { trusted, header: Some(header), .. }) = &self.proxies else { return Ok(None) };
        trusted.forwarded(peer, *header, headers)
    }
}

impl KernelFilter {
    /// What the kernel can do of what `settings` say, which is about clients and not about proxies.
    pub fn of(settings: &Settings) -> Self {
        let proxies = settings.proxies.as_ref();
        let trusted: Vec<Network> = proxies.into_iter().flat_map(|proxies| proxies.trusted.networks()).collect();
        let is_required = proxies.is_some_and(|proxies| proxies.protocol == Some(ProxyProtocol::Required));
        match (&settings.allow_clients, &settings.deny_clients) {
            _ if is_required => Self::Only(trusted),
            (Some(allowed), _) => Self::Only(joined(allowed.networks(), &trusted)),
            (None, Some(denied)) => Self::Without(denied.clone(), trusted),
            (None, None) => Self::Nothing,
        }
    }

    /// Whether no packet of `peer` should arrive.
    pub fn drops(&self, peer: &Peer) -> bool {
        let Some(address) = peer.ip() else { return false };
        let among = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        match self {
            Self::Nothing => false,
            Self::Only(networks) => !among(networks),
            Self::Without(networks, spared) => among(networks) && !among(spared),
        }
    }
}

fn joined(some: &[Network], others: &[Network]) -> Vec<Network> {
    let more = others.iter().filter(|other| !some.contains(other));
    some.iter().chain(more).copied().collect()
}

/// In one word, as a unit's environment has it.
impl fmt::Display for KernelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |networks: &[Network]| networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::Nothing => f.write_str("any"),
            Self::Only(networks) => f.write_str(&list(networks)),
            Self::Without(networks, spared) if spared.is_empty() => write!(f, "any-but:{}", list(networks)),
            Self::Without(networks, spared) => write!(f, "any-but:{};{}", list(networks), list(spared)),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::AllowedClients;
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn settings(allow: &[&str], deny: &[&str], trusted: &[&str], protocol: Option<ProxyProtocol>) -> Settings {
        let proxies = Proxies {
            trusted: TrustedProxies::new(trusted.iter().map(|text| text.parse().unwrap()).collect()),
            protocol,
            header: None,
        };
        Settings {
            allow_clients: (!allow.is_empty()).then(|| AllowedClients::new(networks(allow))),
            deny_clients: (!deny.is_empty()).then(|| networks(deny)),
            proxies: (!trusted.is_empty()).then_some(proxies),
            ..Settings::default()
        }
    }

    /// That the kernel never drops whom the daemon would serve, and drops whom it can.
    #[test]
    fn the_kernel_lets_proxies_in_whomever_their_clients_may_be() {
        let required = Some(ProxyProtocol::Required);
        let accepted = Some(ProxyProtocol::Accepted);
        let cases = [
            (settings(&[], &[], &[], None), "any"),
            (settings(&[], &[], &["10.0.0.1"], None), "any"),
            (settings(&["192.0.2.0/24"], &["192.0.2.1"], &[], None), "192.0.2.0/24"),
            (settings(&["192.0.2.0/24"], &[], &["10.0.0.1", "unix"], None), "192.0.2.0/24,10.0.0.1/32"),
            (settings(&["192.0.2.0/24"], &[], &["192.0.2.0/24"], accepted), "192.0.2.0/24"),
            (settings(&[], &["192.0.2.0/24"], &[], None), "any-but:192.0.2.0/24"),
            (settings(&[], &["10.0.0.0/8"], &["10.0.0.1"], None), "any-but:10.0.0.0/8;10.0.0.1/32"),
            (settings(&[], &[], &["10.0.0.1"], required), "10.0.0.1/32"),
            (settings(&["192.0.2.0/24"], &["::/0"], &["10.0.0.1"], required), "10.0.0.1/32"),
        ];
        let peers = ["192.0.2.1", "192.0.2.9", "10.0.0.1", "10.0.0.2", "2001:db8::1"];
        for (settings, expected) in cases {
            let filter = KernelFilter::of(&settings);
            assert_eq!(filter.to_string(), expected);
            let (access, _) = super::super::Access::open(&settings, 1).unwrap();
            for peer in peers {
                let peer = Peer::from(peer.parse::<std::net::IpAddr>().unwrap());
                assert!(!filter.drops(&peer) || access.admits_connection(&peer).is_err(), "{peer} {expected}");
            }
            assert!(!filter.drops(&Peer::Unix));
        }
    }
}
