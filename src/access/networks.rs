//! The networks that clients may come from: what can be decided before a byte is read.
//!
//! Pure. The list is also written into the socket's unit, where the kernel drops the packets of others; but a kernel without
//! BPF does nothing, without a word, so the accepting thread asks here again. A client of a Unix socket has no address: the
//! socket's permissions decide about it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use crate::socket::Peer;

/// The networks of `access.allow-clients`. Whoever comes from elsewhere is turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedClients {
    networks: Vec<Network>,
}

/// `10.0.0.0/8`, `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// A network was written in a way that none is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor a network.
    #[error("'{0}' is not a network: write an address, or ADDRESS/BITS such as \"10.0.0.0/8\" or \"2001:db8::/32\"")]
    Form(String),
    /// IPv4 in the clothes of IPv6: clients are known by their IPv4 address, so that nobody would ever match.
    #[error("'{0}' is IPv4 written as IPv6: write the IPv4 network, such as \"10.0.0.0/8\"")]
    Mapped(String),
}

impl AllowedClients {
    /// From networks in any order.
    pub fn new(networks: Vec<Network>) -> Self {
        Self { networks }
    }

    /// Whether `peer` may connect.
    pub fn admit(&self, peer: &Peer) -> bool {
        peer.ip().is_none_or(|address| self.networks.iter().any(|network| network.contains(address)))
    }

    /// In the order in which they were written.
    pub fn networks(&self) -> &[Network] {
        &self.networks
    }
}

impl Network {
    /// What `localhost` is, of both families.
    pub fn loopback() -> [Self; 2] {
        let ipv4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        [Self(ipv4.into()), IpAddr::from(Ipv6Addr::LOCALHOST).into()]
    }

    /// Whether `address` is one of its own. IPv4 networks hold IPv4 addresses only, as `Peer` shows them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether all addresses of `other` are its own.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Its only address. None: it has several.
    pub fn host(&self) -> Option<IpAddr> {
        (self.0.prefix_len() == self.0.max_prefix_len()).then(|| self.0.addr())
    }
}

/// A network of one address.
impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().into())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            // What is set behind the prefix is ignored, as systemd and the kernel do.
            Err(_) => text.parse::<IpNet>().map_err(|_| NetworkError::Form(text.to_owned()))?.trunc(),
        };
        match network {
            IpNet::V6(network) if network.addr().to_ipv4_mapped().is_some() => {
                Err(NetworkError::Mapped(text.to_owned()))
            }
            network => Ok(Self(network)),
        }
    }
}

/// As systemd reads it.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    fn clients(networks: &[&str]) -> AllowedClients {
        AllowedClients::new(networks.iter().map(|network| network.parse().unwrap()).collect())
    }

    fn peer(address: &str) -> Peer {
        Peer::from(SocketAddr::new(address.parse().unwrap(), 40000))
    }

    #[test]
    fn clients_of_the_networks_may_connect_and_nobody_else() {
        let clients = clients(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"]);
        for address in ["10.255.255.255", "192.0.2.7", "2001:db8:ffff::1", "::1", "::ffff:10.0.0.1"] {
            assert!(clients.admit(&peer(address)), "{address}");
        }
        for address in ["11.0.0.0", "192.0.2.6", "2001:db9::1", "::2", "::ffff:192.0.2.8", "127.0.0.1"] {
            assert!(!clients.admit(&peer(address)), "{address}");
        }
    }

    #[test]
    fn whoever_may_open_the_unix_socket_may_connect() {
        assert!(clients(&["192.0.2.7"]).admit(&Peer::Unix));
    }

    #[test]
    fn everybody_can_be_written() {
        let clients = clients(&["0.0.0.0/0", "::/0"]);
        assert!(clients.admit(&peer("198.51.100.1")) && clients.admit(&peer("2001:db8::1")));
    }

    #[test]
    fn what_is_no_network_says_what_one_is() {
        for text in
            ["", "10.0.0.0/33", "::/129", "10.0.0", "10.0.0.0/", "/8", "localhost", " ::1", "10.0.0.0/255.0.0.0"]
        {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Form(text.to_owned())));
        }
        for text in ["::ffff:10.0.0.1", "::ffff:10.0.0.0/104"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Mapped(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(text in "[0-9a-f.:/]{0,24}") {
            if let Ok(network) = text.parse::<Network>() {
                prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
            }
        }

        /// The same as counting the leading bits by hand.
        #[test]
        fn a_network_holds_what_begins_like_it(base: u32, bits in 0_u32..=32, near: u32, flip in 0_u32..32) {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let address = if near & 1 == 0 { base ^ (1 << flip) } else { near };
            let network: Network = format!("{}/{bits}", std::net::Ipv4Addr::from(base)).parse().unwrap();
            let inside = base & mask == address & mask;
            prop_assert_eq!(network.contains(IpAddr::V4(address.into())), inside);
        }
    }
}
