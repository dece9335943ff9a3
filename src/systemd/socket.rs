//! The drop-in of a route's socket unit: where it listens, and whom the kernel lets in.

use std::net::IpAddr;

use super::generator::{Heading, Scope};
use super::unit_file::{Fit, Unfit, UnitFile};
use crate::access::proxies::KernelFilter;
use crate::config::Route;
use crate::limits::Limits;
use crate::server::address::ListenAddress;
use crate::socket::is_localhost;

/// An address that the daemon could listen on, and a socket unit cannot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotListenable {
    #[error(
        "'{0}' is a name, and a socket unit listens on addresses only: write the address, or the port alone for all of them"
    )]
    Name(String),
    #[error("'{0}' lets the kernel choose a port, which a socket unit cannot: write the port")]
    AnyPort(String),
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// The values of `ListenStream=` that are the same as `address`.
pub(super) fn listen_streams(address: &ListenAddress) -> Result<Vec<Fit>, NotListenable> {
    let streams = match address {
        ListenAddress::Tcp { port: 0, .. } => return Err(NotListenable::AnyPort(address.to_string())),
        ListenAddress::Unix { path, .. } => return Ok(vec![Fit::path(path)?]),
        ListenAddress::Tcp { host: None, port } => vec![port.to_string()],
        // Both, as a daemon that binds by itself would.
        ListenAddress::Tcp { host: Some(host), port } if is_localhost(host) => {
            vec![format!("127.0.0.1:{port}"), format!("[::1]:{port}")]
        }
        ListenAddress::Tcp { host: Some(host), port } => {
            let (literal, scope) = host.split_once('%').map_or((host.as_str(), None), |(a, b)| (a, Some(b)));
            match (literal.parse::<IpAddr>(), scope) {
                (Ok(IpAddr::V4(address)), None) => vec![format!("{address}:{port}")],
                (Ok(IpAddr::V6(address)), None) => vec![format!("[{address}]:{port}")],
                (Ok(IpAddr::V6(address)), Some(scope)) => vec![format!("[{address}]:{port}%{scope}")],
                _ => return Err(NotListenable::Name(address.to_string())),
            }
        }
    };
    streams.iter().map(|stream| Fit::new(stream).map_err(NotListenable::from)).collect()
}

/// The drop-in. `route` is None for a file that is not sound: then it listens, and the daemon tells clients why not.
pub(super) fn drop_in(
    heading: &Heading,
    listen: &[ListenAddress],
    streams: &[Fit],
    route: Option<&Route>,
    scope: Scope,
) -> String {
    let mut unit = heading.begin();
    unit.section("Socket");
    if !streams.is_empty() {
        unit.because("listen: these, and not the template's default");
        unit.set("ListenStream", "");
        for stream in streams {
            unit.set_whole("ListenStream", stream);
        }
    }
    let mode = listen.iter().find_map(|address| match address {
        ListenAddress::Unix { mode, .. } => Some(*mode),
        ListenAddress::Tcp { .. } => None,
    });
    if let Some(mode) = mode {
        unit.because("listen-mode");
        unit.set("SocketMode", &format!("{mode:04o}"));
    }
    if let Some(route) = route {
        bounds(&mut unit, route);
        clients(&mut unit, route, scope);
    }
    unit.into_text()
}

fn bounds(unit: &mut UnitFile, route: &Route) {
    if route.limits.backlog != Limits::default().backlog {
        unit.because("limits.backlog");
        unit.set("Backlog", &route.limits.backlog.to_string());
    }
}

fn clients(unit: &mut UnitFile, route: &Route, scope: Scope) {
    // A user's manager may not load the programs that the kernel would need for it; the daemon looks by itself.
    if scope == Scope::User {
        return;
    }
    // What is allowed goes before what is denied.
    match KernelFilter::of(&route.access) {
        KernelFilter::Nothing => {}
        KernelFilter::Only(networks) => {
            unit.because(match &route.access.proxies {
                None => "access.allow-clients: the kernel drops the packets of everybody else",
                Some(_) => "access: the kernel drops the packets of whoever is neither a proxy nor may be a client",
            });
            unit.set("IPAddressDeny", "any");
            for network in &networks {
                unit.set("IPAddressAllow", &network.to_string());
            }
        }
        KernelFilter::Without(networks, spared) => {
            unit.because("access.deny-clients: the kernel drops their packets");
            for network in &networks {
                unit.set("IPAddressDeny", &network.to_string());
            }
            for network in &spared {
                unit.set("IPAddressAllow", &network.to_string());
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_systemd_reads_them() {
        let cases: [(&str, &[&str]); 8] = [
            ("6080", &["6080"]),
            ("127.0.0.1:6080", &["127.0.0.1:6080"]),
            ("[2001:DB8::0:1]:6080", &["[2001:db8::1]:6080"]),
            ("::1:6080", &["[::1]:6080"]),
            ("[fe80::1%eth0]:6080", &["[fe80::1]:6080%eth0"]),
            ("localhost:6080", &["127.0.0.1:6080", "[::1]:6080"]),
            ("/run/vnc.sock", &["/run/vnc.sock"]),
            ("/run/a b%n.sock", &["/run/a b%n.sock"]),
        ];
        for (address, expected) in cases {
            let expected: Vec<Fit> = expected.iter().map(|text| Fit::new(text).unwrap()).collect();
            assert_eq!(listen_streams(&address.parse().unwrap()), Ok(expected), "{address}");
        }
    }

    #[test]
    fn what_a_socket_unit_cannot_listen_on_is_told() {
        let outcome = |address: &str| listen_streams(&address.parse().unwrap());
        assert_eq!(outcome("vm.example.com:80"), Err(NotListenable::Name("vm.example.com:80".to_owned())));
        assert_eq!(outcome("127.0.0.1%lo:80"), Err(NotListenable::Name("127.0.0.1%lo:80".to_owned())));
        assert_eq!(outcome("0"), Err(NotListenable::AnyPort("0".to_owned())));
        assert!(matches!(outcome("/run/a\nb"), Err(NotListenable::Unfit(_))));
    }
}
