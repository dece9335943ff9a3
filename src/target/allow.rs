//! Where sessions may be connected with, whatever a token says: `targets.allow`.
//!
//! Pure. It is asked about addresses, never about names: what was asked about is what is connected to, so that a name that
//! means another address a moment later (DNS rebinding) gains nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use crate::access::{Network, NetworkError};

/// What a route's targets may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anything: whoever wrote the targets also wrote the route.
    Everything,
    /// What `targets.allow` lists.
    Listed(AllowedTargets),
    /// Other machines: neither this one, nor its link, nor its Unix sockets. What a source may reach that another program
    /// or machine fills, unless its route says more.
    OtherMachines,
}

/// The list of `targets.allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedTargets(Vec<Allowed>);

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// `10.0.0.0/8:5900-5999`, `[2001:db8::]/32:5900`, or without ports, which means all.
    Network {
        /// The addresses.
        network: Network,
        /// Never empty.
        ports: RangeInclusive<u16>,
    },
    /// `unix:/run/vm`: a socket, or those at any depth of a directory.
    Unix(PathBuf),
}

/// An entry was written in a way that none is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowedError {
    /// Not an address or a network.
    #[error("'{text}' is not a range of targets: write NETWORK:PORTS, such as {EXAMPLES}")]
    Network {
        /// What was written.
        text: String,
        /// What is wrong with the part before the ports.
        source: NetworkError,
    },
    /// What is behind the colon is no range of ports.
    #[error("'{0}' does not end in ports: write PORT or FIRST-LAST, from 1 to 65535, such as {EXAMPLES}")]
    Ports(String),
    /// A path that could lead anywhere.
    #[error("'{0}' is not a path of sockets: write unix: and an absolute path without '..', such as unix:/run/vm")]
    Path(String),
}

const EXAMPLES: &str = "\"10.0.0.0/8:5900-5999\" or \"[2001:db8::]/32:5900\"";

impl Reach {
    /// Whether sessions may be connected with `address`.
    pub fn permits(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        match self {
            Self::Everything => true,
            Self::OtherMachines => is_of_another_machine(ip),
            Self::Listed(AllowedTargets(allowed)) => allowed.iter().any(|allowed| match allowed {
                Allowed::Network { network, ports } => network.contains(ip) && ports.contains(&address.port()),
                Allowed::Unix(_) => false,
            }),
        }
    }

    /// Whether sessions may be connected with the socket at `path`, in which no link is left to follow.
    pub fn permits_path(&self, path: &Path) -> bool {
        match self {
            Self::Everything => true,
            Self::OtherMachines => false,
            Self::Listed(AllowedTargets(allowed)) => allowed.iter().any(|allowed| match allowed {
                Allowed::Network { .. } => false,
                Allowed::Unix(root) => path.starts_with(root),
            }),
        }
    }
}

/// 0.0.0.0 and its network are this machine to the kernel; 169.254.0.0/16 is where clouds answer for secrets.
fn is_of_another_machine(ip: IpAddr) -> bool {
    let special = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast();
    !special
        && match ip {
            IpAddr::V4(ip) => !ip.is_link_local() && ip.octets()[0] != 0 && ip != Ipv4Addr::BROADCAST,
            // ::/96, the addresses that once meant IPv4, are nobody's; fc00::/7 is where the machines of a site are.
            IpAddr::V6(ip) => !ip.is_unicast_link_local() && ip.to_bits() >> 32 != 0,
        }
}

impl AllowedTargets {
    /// In the order in which they were written.
    pub fn new(allowed: Vec<Allowed>) -> Self {
        Self(allowed)
    }

    /// In the order in which they were written.
    pub fn entries(&self) -> &[Allowed] {
        &self.0
    }
}

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
            let is_right = path.is_absolute() && plain;
            return if is_right { Ok(Self::Unix(path)) } else { Err(AllowedError::Path(text.to_owned())) };
        }
        let network = |written: &str| {
            written.parse::<Network>().map_err(|source| AllowedError::Network { text: text.to_owned(), source })
        };
        if let Some(bracketed) = text.strip_prefix('[') {
            let form = || NetworkError::Form(text.to_owned());
            let (address, rest) = bracketed
                .split_once(']')
                .ok_or_else(|| AllowedError::Network { text: text.to_owned(), source: form() })?;
            let (bits, ports) = match rest.split_once(':') {
                Some((bits, ports)) => (bits, Some(ports)),
                None => (rest, None),
            };
            return Ok(Self::Network {
                network: network(&format!("{address}{bits}"))?,
                ports: read_ports(text, ports)?,
            });
        }
        match text.rsplit_once(':') {
            // An IPv6 network without brackets has no ports.
            Some((before, ports)) if !before.contains(':') => {
                Ok(Self::Network { network: network(before)?, ports: read_ports(text, Some(ports))? })
            }
            _ => Ok(Self::Network { network: network(text)?, ports: 0..=u16::MAX }),
        }
    }
}

fn read_ports(text: &str, ports: Option<&str>) -> Result<RangeInclusive<u16>, AllowedError> {
    let Some(ports) = ports else { return Ok(0..=u16::MAX) };
    let wrong = || AllowedError::Ports(text.to_owned());
    let port = |digits: &str| {
        let is_number = digits.bytes().all(|digit| digit.is_ascii_digit()); // parse would let a sign pass
        digits.parse::<u16>().ok().filter(|port| is_number && *port > 0).ok_or_else(wrong)
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (port(first)?, port(last)?);
    if first <= last { Ok(first..=last) } else { Err(wrong()) }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (network, ports) = match self {
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
            Self::Network { network, ports } if *ports == (0..=u16::MAX) => return network.fmt(f),
            Self::Network { network, ports } => (network.to_string(), ports),
        };
        match network.split_once('/') {
            _ if !network.contains(':') => write!(f, "{network}:")?,
            Some((address, bits)) => write!(f, "[{address}]/{bits}:")?,
            None => write!(f, "[{network}]:")?,
        }
        if ports.start() == ports.end() { ports.start().fmt(f) } else { write!(f, "{}-{}", ports.start(), ports.end()) }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listed(allowed: &[&str]) -> Reach {
        Reach::Listed(AllowedTargets::new(allowed.iter().map(|text| text.parse().unwrap()).collect()))
    }

    fn permits(reach: &Reach, address: &str) -> bool {
        reach.permits(address.parse().unwrap())
    }

    #[test]
    fn what_is_listed_is_permitted_and_nothing_else() {
        let reach = listed(&["10.0.0.0/8:5900-5999", "192.0.2.7:22", "[2001:db8::]/32:5900", "2001:db8:1::/48"]);
        for address in [
            "10.0.0.1:5900",
            "10.255.255.255:5999",
            "192.0.2.7:22",
            "[2001:db8::1]:5900",
            "[2001:db8:1::1]:1",
            "[::ffff:10.0.0.1]:5900", // the same address in other clothes
        ] {
            assert!(permits(&reach, address), "{address}");
        }
        for address in
            ["10.0.0.1:5899", "10.0.0.1:6000", "11.0.0.0:5900", "192.0.2.7:23", "[2001:db8::1]:5901", "[::1]:5900"]
        {
            assert!(!permits(&reach, address), "{address}");
        }
        assert!(!reach.permits_path(Path::new("/run/vm/1.sock")));
    }

    #[test]
    fn a_directory_of_sockets_is_no_prefix_of_text() {
        let reach = listed(&["unix:/run/vm", "unix:/run/one.sock"]);
        for path in ["/run/vm/1.sock", "/run/vm/a/b.sock", "/run/one.sock"] {
            assert!(reach.permits_path(Path::new(path)), "{path}");
        }
        for path in ["/run/vm-admin/1.sock", "/run/one.sock2", "/run/docker.sock"] {
            assert!(!reach.permits_path(Path::new(path)), "{path}");
        }
        assert!(!permits(&reach, "192.0.2.1:1"));
    }

    #[test]
    fn other_machines_are_neither_this_one_nor_its_link() {
        let reach = Reach::OtherMachines;
        for address in ["192.168.0.1:5900", "10.0.0.1:22", "203.0.113.1:1", "[fd00::1]:5900", "[2001:db8::1]:5900"] {
            assert!(permits(&reach, address), "{address}");
        }
        for address in [
            "127.0.0.1:5900",
            "127.8.9.1:6379",
            "0.0.0.0:5900",
            "0.1.2.3:5900",
            "169.254.169.254:80",
            "255.255.255.255:1",
            "224.0.0.1:1",
            "[::1]:5900",
            "[::]:5900",
            "[::ffff:127.0.0.1]:5900",
            "[::127.0.0.1]:5900",
            "[fe80::1]:5900",
            "[ff02::1]:5900",
        ] {
            assert!(!permits(&reach, address), "{address}");
        }
        assert!(!reach.permits_path(Path::new("/run/docker.sock")));
        assert!(permits(&Reach::Everything, "127.0.0.1:1") && Reach::Everything.permits_path(Path::new("/x")));
    }

    #[test]
    fn what_is_no_entry_says_what_one_is() {
        for text in ["", "10.0.0.0/33", "host:5900", "localhost", "[::1:5900", "[::1]x:5900", "::ffff:10.0.0.1"] {
            assert!(matches!(text.parse::<Allowed>(), Err(AllowedError::Network { .. })), "{text}");
        }
        for text in ["10.0.0.1:", "10.0.0.1:0", "10.0.0.1:5999-5900", "10.0.0.1:+1", "[::1]:65536", "10.0.0.1:1-2-3"] {
            assert_eq!(text.parse::<Allowed>(), Err(AllowedError::Ports(text.to_owned())));
        }
        for text in ["unix:", "unix:run", "unix:/run/../etc"] {
            assert_eq!(text.parse::<Allowed>(), Err(AllowedError::Path(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(text in "(unix:/[a-z/.]{0,8}|[0-9a-f.:/\\[\\]-]{0,28})") {
            if let Ok(allowed) = text.parse::<Allowed>() {
                prop_assert_eq!(allowed.to_string().parse::<Allowed>(), Ok(allowed));
            }
        }

        /// The ports of an entry are those between its two numbers.
        #[test]
        fn ports_are_a_range(first in 1_u16.., last in 1_u16.., port in 1_u16..) {
            let parsed = format!("10.0.0.0/8:{first}-{last}").parse::<Allowed>();
            prop_assert_eq!(parsed.is_ok(), first <= last);
            if let Ok(allowed) = parsed {
                let reach = Reach::Listed(AllowedTargets::new(vec![allowed]));
                let address = SocketAddr::from(([10, 1, 2, 3], port));
                prop_assert_eq!(reach.permits(address), (first..=last).contains(&port));
            }
        }
    }
}
