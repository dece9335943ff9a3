//! Which program has an address already that a route is to listen on.
//!
//! systemd says "Address already in use" and no more, once it is too late. Here the kernel's list of listening sockets is
//! read (proc(5)), and the descriptors of all processes, as far as this user may: a holder that cannot be seen is not told.
//! Nothing is bound to find out. What systemd or a websockify holds is taken for the route's own.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};

use crate::server::address::ListenAddress;

/// A process that listens.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holder {
    process: u32,
    name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' (process {})", self.name, self.process)
    }
}

/// Another program that listens where the route is to, so that the route cannot.
pub(super) fn holder(wanted: &ListenAddress) -> Option<Holder> {
    let ListenAddress::Tcp { host, port } = wanted else { return None };
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port));
    let wanted: Vec<SocketAddr> = match host {
        None => vec![any],
        Some(host) => (host.as_str(), *port).to_socket_addrs().map(Iterator::collect).unwrap_or_default(),
    };
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let sockets: Vec<String> = tables
        .iter()
        .flat_map(|table| table.lines().filter_map(Listening::parse))
        .filter(|listening| wanted.iter().any(|wanted| exclude(*wanted, listening.address)))
        .map(|listening| format!("socket:[{}]", listening.inode))
        .collect();
    if sockets.is_empty() { None } else { others().find(|holder| has_one(holder.process, &sockets)) }
}

/// A line of the kernel's list.
#[derive(Debug, PartialEq, Eq)]
struct Listening {
    address: SocketAddr,
    inode: u64,
}

impl Listening {
    /// The heading, and sockets in another state, are none.
    fn parse(line: &str) -> Option<Self> {
        const LISTEN: &str = "0A";
        let mut columns = line.split_ascii_whitespace();
        let local = columns.nth(1)?;
        if columns.nth(1)? != LISTEN {
            return None;
        }
        let inode = columns.nth(5)?.parse().ok()?;
        let (ip, port) = local.split_once(':')?;
        Some(Self { address: SocketAddr::new(ip_address(ip)?, u16::from_str_radix(port, 16).ok()?), inode })
    }
}

/// Words of 32 bits, each in this machine's order of bytes.
fn ip_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, bytes) in bytes.chunks_mut(4).enumerate() {
                bytes.copy_from_slice(&word(8 * at)?);
            }
            Some(IpAddr::from(bytes))
        }
        _ => None,
    }
}

/// Whether one socket cannot listen while the other does. IPv6's wildcard takes IPv4's addresses as well.
fn exclude(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    let covers = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    one.port() == other.port() && (a == b || covers(a, b) || covers(b, a))
}

/// The processes that can be in a route's way. systemd holds sockets for routes, in the system as in a user's
/// manager.
fn others() -> impl Iterator<Item = Holder> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?.trim_end().to_owned();
        (!["systemd", "websockify"].contains(&name.as_str())).then_some(Holder { process, name })
    })
}

fn has_one(process: u32, sockets: &[String]) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok()).any(|target| {
        let target = target.to_string_lossy();
        sockets.iter().any(|socket| *socket == target)
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_is_found_by_any_address_that_it_excludes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for text in [port.to_string(), format!("0.0.0.0:{port}"), format!("127.0.0.1:{port}"), format!("[::]:{port}")] {
            let found = holder(&text.parse().unwrap()).unwrap();
            assert_eq!(found.process, std::process::id(), "{text}");
        }
        for text in [format!("127.0.0.2:{port}"), format!("[::1]:{port}"), "/run/a.sock".to_owned()] {
            assert_eq!(holder(&text.parse().unwrap()), None, "{text}");
        }
        drop(listener);
        assert_eq!(holder(&port.to_string().parse().unwrap()), None);
    }

    #[test]
    fn who_listens_on_all_of_ipv6_is_in_the_way_of_ipv4() {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = holder(&format!("127.0.0.1:{port}").parse().unwrap()).unwrap();
        assert_eq!(found.process, std::process::id());
    }
}
