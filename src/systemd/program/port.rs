//! A port of loopback for a program that is moved there.
//!
//! Nobody holds it until the program does: the process that finds it is gone before the program starts, and what a service
//! holds open cannot be given to a unit that is started by another. So it is one that nobody gets by chance: outside the range
//! from which the kernel chooses ports. It is looked at before each start of the program, and when somebody took it on purpose
//! another is found, which the daemon reads anew.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use crate::program::place::hold;

/// Where the kernel says from which range it chooses.
const CHOSEN_BY_KERNEL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// The range where that cannot be read: Linux's own.
const CHOSEN_BY_DEFAULT: RangeInclusive<u16> = 32768..=60999;
/// Below, services have numbers that people remember.
const LOWEST: u16 = 20_000;

/// No port is left.
#[derive(Debug, thiserror::Error)]
#[error(
    "no port of loopback is free outside of the kernel's own range: widen what net.ipv4.ip_local_port_range leaves"
)]
pub struct NoPort;

/// The port that `wanted` names, if it is still free; or another that is not among `others`.
pub(super) fn find(wanted: Option<u16>, others: &[u16]) -> Result<u16, NoPort> {
    if let Some(port) = wanted.filter(|port| is_free(*port)) {
        return Ok(port);
    }
    let chosen = fs::read_to_string(CHOSEN_BY_KERNEL).ok().and_then(|text| range(&text)).unwrap_or(CHOSEN_BY_DEFAULT);
    let candidates = candidates(&chosen);
    // Not always the first: two routes that start in the same moment need not meet.
    let start = usize::try_from(std::process::id()).unwrap_or_default().wrapping_mul(7919) % candidates.len().max(1);
    let mut turned = candidates[start..].iter().chain(&candidates[..start]);
    turned.find(|port| !others.contains(port) && is_free(**port)).copied().ok_or(NoPort)
}

/// Two numbers, as the kernel writes them.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut words = text.split_whitespace();
    Some(words.next()?.parse().ok()?..=words.next()?.parse().ok()?)
}

fn candidates(chosen: &RangeInclusive<u16>) -> Vec<u16> {
    (LOWEST..=u16::MAX).rev().filter(|port| !chosen.contains(port)).collect()
}

/// Whether a program that is moved there could bind it, on the loopbacks of both families, or of IPv4 where there is no IPv6.
fn is_free(port: u16) -> bool {
    let ipv4 = hold((Ipv4Addr::LOCALHOST, port).into());
    let ipv6 = hold((Ipv6Addr::LOCALHOST, port).into());
    match (ipv4, ipv6) {
        (Ok(_), Err(error)) => error.kind() != io::ErrorKind::AddrInUse,
        (ipv4, _) => ipv4.is_ok(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_port_is_one_that_the_kernel_gives_nobody() {
        let chosen = fs::read_to_string(CHOSEN_BY_KERNEL).ok().and_then(|text| range(&text)).unwrap();
        let port = find(None, &[]).unwrap();
        assert!(!chosen.contains(&port) && port >= LOWEST, "{port} {chosen:?}");
        assert_eq!(find(Some(port), &[]).unwrap(), port, "and stays the same");
        assert_ne!(find(None, &[port]).unwrap(), port);
    }

    #[test]
    fn a_port_that_was_taken_is_given_up() {
        let port = find(None, &[]).unwrap();
        for loopback in ["127.0.0.1", "[::1]", "0.0.0.0", "[::]"] {
            let _taker = TcpListener::bind(format!("{loopback}:{port}")).unwrap();
            assert_ne!(find(Some(port), &[]).unwrap(), port, "{loopback}");
        }
    }

    #[test]
    fn the_kernels_range_is_left_out() {
        assert_eq!(range("32768\t60999\n"), Some(32768..=60999));
        assert_eq!(range("1024"), None);
        assert_eq!(candidates(&(20_001..=65_534)), [65_535, 20_000]);
        assert!(candidates(&(1..=u16::MAX)).is_empty());
    }
}
