//! Which network a route's service needs to reach its targets, as far as its file tells.

use std::net::IpAddr;

use crate::target::allow::{Allowed, AllowedTargets};
use crate::target::{Settings, Target, source};

/// What the service must be able to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Egress {
    /// Sockets in the file system: no network at all.
    None,
    /// These addresses and networks, as systemd writes them.
    Only(Vec<String>),
    /// Names, which each session looks up anew, or what tokens say: nothing can be said in advance.
    Anything,
}

impl Egress {
    pub(super) fn of(target: &Settings, allowed: Option<&AllowedTargets>) -> Self {
        match (target, allowed) {
            (Settings::Fixed(Target::Unix(_)), _) => Self::None,
            (Settings::Fixed(Target::Tcp { host, .. }), allowed) => match (Self::of_host(host), allowed) {
                (Self::Anything, Some(allowed)) => Self::of_list(allowed),
                (egress, _) => egress,
            },
            (Settings::ByToken(tokens), Some(allowed)) => Self::of_source(&tokens.source).and(Self::of_list(allowed)),
            (Settings::ByToken(tokens), None) => match tokens.source {
                source::Settings::Sockets(_) => Self::None,
                _ => Self::Anything,
            },
        }
    }

    /// `localhost` is the loopback whatever a resolver says (RFC 6761).
    fn of_host(host: &str) -> Self {
        let only = |network: String| Self::Only(vec![network]);
        if host.eq_ignore_ascii_case("localhost") {
            return only("localhost".to_owned());
        }
        // An address with a scope, `fe80::1%eth0`, goes to the address all the same.
        match host.split('%').next().unwrap_or(host).parse::<IpAddr>() {
            Ok(address) if address.to_canonical().is_loopback() => only("localhost".to_owned()),
            Ok(address) => only(address.to_canonical().to_string()),
            Err(_) => Self::Anything,
        }
    }

    fn of_list(allowed: &AllowedTargets) -> Self {
        let networks = allowed.entries().iter().filter_map(|allowed| match allowed {
            Allowed::Network { network, .. } => Some(network.to_string()),
            Allowed::Unix(_) => None,
        });
        let networks: Vec<String> = networks.collect();
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
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::target::targets::Tokens;

    fn only(networks: &[&str]) -> Egress {
        Egress::Only(networks.iter().map(|network| (*network).to_owned()).collect())
    }

    fn list(allowed: &[&str]) -> Option<AllowedTargets> {
        (!allowed.is_empty()).then(|| AllowedTargets::new(allowed.iter().map(|text| text.parse().unwrap()).collect()))
    }

    #[test]
    fn a_target_tells_what_it_needs() {
        let cases = [
            ("unix:/run/vm/vnc.sock", Egress::None),
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
            assert_eq!(Egress::of(&Settings::Fixed(target.parse().unwrap()), None), egress, "{target}");
        }
        let name = Settings::Fixed("vm.example.com:5900".parse().unwrap());
        assert_eq!(Egress::of(&name, list(&["192.0.2.0/24:5900"]).as_ref()), only(&["192.0.2.0/24"]));
    }

    #[test]
    fn tokens_need_what_their_list_allows() {
        let from = |source| {
            Settings::ByToken(Box::new(Tokens {
                source,
                from: Vec::new(),
                timeout: Duration::ZERO,
                end_sessions: false,
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
            assert_eq!(Egress::of(settings, list(allowed).as_ref()), egress, "{settings} {allowed:?}");
        }
    }
}
