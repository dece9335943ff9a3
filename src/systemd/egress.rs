//! Which network a route's service needs to reach its targets, as far as its file tells.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::access::{Network, NetworkError};
use crate::config::Route;
use crate::socket::is_localhost;
use crate::target::allow::{Allowed, AllowedTargets};
use crate::target::{Settings, Target, source};

/// What the service must be able to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Egress {
    /// Sockets in the file system: no network at all.
    None,
    /// These networks. `localhost` is both of the loopback's.
    Only(Vec<Network>),
    /// Names, which each session looks up anew, or what tokens say: nothing can be said in advance.
    Anything,
}

/// Networks as systemd writes them.
pub(super) fn destinations(networks: &[Network]) -> Vec<String> {
    let loopback = Network::loopback();
    let has_loopback = loopback.iter().all(|network| networks.contains(network));
    let others = networks.iter().filter(|network| !has_loopback || !loopback.contains(network));
    let others = others.map(|network| network.host().map_or_else(|| network.to_string(), |host| host.to_string()));
    has_loopback.then(|| LOCALHOST.to_owned()).into_iter().chain(others).collect()
}

impl Egress {
    /// What a route's sessions need, and whoever decides about its clients.
    pub(super) fn of_route(route: &Route) -> Self {
        let allowed = route.allow_targets.as_ref();
        let sessions = match &route.program {
            // Their sockets, too, are in the file system.
            Some(program) if program.is_for_units_of_sessions() => Self::None,
            _ => Self::of(&route.target, allowed),
        };
        let Some(forward) = &route.access.forward_auth else { return sessions };
        let named = allowed.filter(|_| forward.target_header.is_some()).map_or(Self::None, Self::of_list);
        sessions.and(Self::of_host(&forward.address.host)).and(named)
    }

    fn of(target: &Settings, allowed: Option<&AllowedTargets>) -> Self {
        match (target, allowed) {
            (Settings::Program, _) => Self::loopback(),
            (Settings::Fixed(target), allowed) => match target.below_tls() {
                Target::Unix(_) => Self::None,
                Target::Program(_) | Target::PerSession(_) => Self::loopback(),
                target => match (Self::of_host(target.host()), allowed) {
                    (Self::Anything, Some(allowed)) => Self::of_list(allowed),
                    (egress, _) => egress,
                },
            },
            (Settings::ByToken(tokens), Some(allowed)) => {
                tokens.source.as_ref().map_or(Self::None, Self::of_source).and(Self::of_list(allowed))
            }
            (Settings::ByToken(tokens), None) => match tokens.source {
                Some(source::Settings::Sockets(_)) if tokens.grants.is_none() => Self::None,
                _ => Self::Anything,
            },
        }
    }

    pub(super) fn loopback() -> Self {
        Self::Only(Network::loopback().to_vec())
    }

    /// `localhost` is the loopback whatever a resolver says (RFC 6761).
    fn of_host(host: &str) -> Self {
        if is_localhost(host) {
            return Self::loopback();
        }
        // An address with a scope, `fe80::1%eth0`, goes to the address all the same.
        match host.split('%').next().unwrap_or(host).parse::<IpAddr>() {
            Ok(address) if address.to_canonical().is_loopback() => Self::loopback(),
            Ok(address) => Self::Only(vec![address.into()]),
            Err(_) => Self::Anything,
        }
    }

    fn of_list(allowed: &AllowedTargets) -> Self {
        let networks = allowed.entries().iter().filter_map(|allowed| match allowed {
            Allowed::Network { network, .. } => Some(*network),
            Allowed::Unix(_) => None,
        });
        let networks: Vec<Network> = networks.collect();
        if networks.is_empty() { Self::None } else { Self::Only(networks) }
    }

    /// What the source itself must be able to reach.
    fn of_source(source: &source::Settings) -> Self {
        source.address().map_or(Self::None, |address| Self::of_host(&address.host))
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, other) | (other, Self::None) => other,
            (Self::Anything, _) | (_, Self::Anything) => Self::Anything,
            (Self::Only(mut networks), Self::Only(others)) => {
                networks.extend(others);
                Self::Only(networks)
            }
        }
    }

    /// Whether a service that may reach this may reach `other`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anything, _) | (_, Self::None) => true,
            (Self::None, _) | (_, Self::Anything) => false,
            (Self::Only(networks), Self::Only(others)) => {
                others.iter().all(|other| networks.iter().any(|network| network.covers(other)))
            }
        }
    }
}

/// As the unit's environment has it.
impl fmt::Display for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Only(networks) => f.write_str(&destinations(networks).join(",")),
            Self::Anything => f.write_str("any"),
        }
    }
}

impl FromStr for Egress {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        match text {
            "none" => return Ok(Self::None),
            "any" => return Ok(Self::Anything),
            _ => {}
        }
        let mut networks = Vec::new();
        for word in text.split(',') {
            match word {
                LOCALHOST => networks.extend(Network::loopback()),
                network => networks.push(network.parse()?),
            }
        }
        Ok(Self::Only(networks))
    }
}

/// 127.0.0.0/8 and `::1`, in systemd's words.
const LOCALHOST: &str = "localhost";

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::target::targets::Tokens;

    fn only(networks: &[&str]) -> Egress {
        networks.join(",").parse().unwrap()
    }

    fn list(allowed: &[&str]) -> Option<AllowedTargets> {
        (!allowed.is_empty()).then(|| AllowedTargets::new(allowed.iter().map(|text| text.parse().unwrap()).collect()))
    }

    #[test]
    fn a_target_tells_what_it_needs() {
        let cases = [
            ("unix:/run/vm/vnc.sock", Egress::None),
            ("tls:unix:/run/vm/vnc.sock", Egress::None),
            ("tls:192.0.2.1:5900", only(&["192.0.2.1"])),
            ("localhost:5900", only(&["localhost"])),
            ("LOCALHOST:5900", only(&["localhost"])),
            ("127.0.0.53:5900", only(&["localhost"])),
            ("[::1]:5900", only(&["localhost"])),
            ("192.0.2.1:5900", only(&["192.0.2.1"])),
            ("[::ffff:192.0.2.1]:5900", only(&["192.0.2.1"])),
            ("[fe80::1%eth0]:5900", only(&["fe80::1"])),
            ("vm.example.com:5900", Egress::Anything),
            ("localhost.example.com:5900", Egress::Anything),
        ];
        for (target, egress) in cases {
            let found = Egress::of(&Settings::Fixed(target.parse().unwrap()), None);
            assert_eq!(found, egress, "{target}");
            assert_eq!(found.to_string().parse(), Ok(egress));
        }
        let name = Settings::Fixed("vm.example.com:5900".parse().unwrap());
        assert_eq!(Egress::of(&name, list(&["192.0.2.0/24:5900"]).as_ref()), only(&["192.0.2.0/24"]));
    }

    #[test]
    fn tokens_need_what_their_list_allows() {
        let from = |source| {
            Settings::ByToken(Box::new(Tokens {
                source: Some(source),
                from: Vec::new(),
                timeout: Duration::ZERO,
                end_sessions: None,
                grants: None,
            }))
        };
        let file = from(source::Settings::File("/etc/websockify/tokens".into()));
        let sockets = from(source::Settings::Sockets("/run/vm".into()));
        let cases = [
            (&file, &[][..], Egress::Anything),
            (&file, &["10.0.0.0/8:5900-5999", "unix:/run/vm", "2001:db8::/32"], only(&["10.0.0.0/8", "2001:db8::/32"])),
            (&file, &["unix:/run/vm"], Egress::None),
            (&sockets, &[], Egress::None),
        ];
        for (settings, allowed, egress) in cases {
            let found = Egress::of(settings, list(allowed).as_ref());
            assert_eq!(found, egress, "{settings} {allowed:?}");
            assert_eq!(found.to_string().parse(), Ok(egress));
        }
    }

    #[test]
    fn localhost_is_the_loopback_as_systemd_writes_it() {
        let Egress::Only(networks) = only(&["10.0.0.0/8", "localhost", "192.0.2.1"]) else { unreachable!() };
        assert_eq!(destinations(&networks), ["localhost", "10.0.0.0/8", "192.0.2.1"]);
        assert_eq!(destinations(&networks[1..2]), ["127.0.0.0/8"], "and not a half of it");
    }

    #[test]
    fn more_covers_less() {
        let sorted = [
            (Egress::Anything, only(&["0.0.0.0/0", "::/0"])),
            (only(&["0.0.0.0/0", "::/0"]), only(&["localhost", "10.0.0.0/8", "2001:db8::1"])),
            (only(&["localhost", "10.0.0.0/8"]), only(&["10.1.0.0/16"])),
            (only(&["localhost", "10.0.0.0/8"]), only(&["127.0.0.0/8"])),
            (only(&["10.0.0.0/8"]), Egress::None),
        ];
        for (more, less) in sorted {
            assert!(more.covers(&more) && more.covers(&less), "{more} {less}");
            assert!(!less.covers(&more), "{less} {more}");
        }
        assert!(!only(&["10.0.0.0/8"]).covers(&only(&["10.0.0.1", "192.0.2.1"])));
        assert!(!only(&["127.0.0.0/8"]).covers(&only(&["localhost"])));
    }
}
