//! Which network a route's service needs to reach its target, as far as its file tells.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::socket::is_localhost;
use crate::target::Target;

/// What the service must be able to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Egress {
    /// A socket in the file system: no network at all.
    None,
    /// This machine.
    Loopback,
    /// One address.
    Address(IpAddr),
    /// A name, which each session looks up anew: nothing can be said in advance.
    Anything,
}

impl Egress {
    /// `localhost` is the loopback whatever a resolver says (RFC 6761).
    pub(super) fn of(target: &Target) -> Self {
        match target {
            Target::Unix(_) => Self::None,
            Target::Tcp { host, .. } if is_localhost(host) => Self::Loopback,
            Target::Program(_) => Self::Loopback,
            // An address with a scope, `fe80::1%eth0`, goes to the address all the same.
            Target::Tcp { host, .. } => match host.split('%').next().unwrap_or(host).parse::<IpAddr>() {
                Ok(address) if address.to_canonical().is_loopback() => Self::Loopback,
                Ok(address) => Self::Address(address.to_canonical()),
                Err(_) => Self::Anything,
            },
        }
    }

    /// Whether a service that may reach this may reach `other`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        *self == Self::Anything || *other == Self::None || self == other
    }
}

/// As the unit's environment has it.
impl fmt::Display for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Loopback => f.write_str("localhost"),
            Self::Address(address) => address.fmt(f),
            Self::Anything => f.write_str("any"),
        }
    }
}

impl FromStr for Egress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "localhost" => Ok(Self::Loopback),
            "any" => Ok(Self::Anything),
            address => address.parse().map(Self::Address),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    #[test]
    fn a_target_tells_what_it_needs() {
        let cases = [
            ("unix:/run/vm/vnc.sock", Egress::None),
            ("localhost:5900", Egress::Loopback),
            ("LOCALHOST:5900", Egress::Loopback),
            ("127.0.0.53:5900", Egress::Loopback),
            ("[::1]:5900", Egress::Loopback),
            ("192.0.2.1:5900", Egress::Address("192.0.2.1".parse().unwrap())),
            ("[::ffff:192.0.2.1]:5900", Egress::Address("192.0.2.1".parse().unwrap())),
            ("[fe80::1%eth0]:5900", Egress::Address("fe80::1".parse().unwrap())),
            ("vm.example.com:5900", Egress::Anything),
            ("localhost.example.com:5900", Egress::Anything),
        ];
        for (target, egress) in cases {
            assert_eq!(Egress::of(&target.parse().unwrap()), egress, "{target}");
            assert_eq!(egress.to_string().parse(), Ok(egress));
        }
    }
}
