//! Socket addresses of IPv4 and IPv6, as the kernel takes them and gives them.
//!
//! Owned by nobody: bytes come in, an address goes out, and back. What the kernel would refuse for its length, and every
//! address of another family, is no address here; nothing fails otherwise, and nothing allocates. Flow and scope are left
//! out, because loopback has neither.
#![forbid(unsafe_code)]

use core::ffi::c_int;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use libc::{sa_family_t, sockaddr, sockaddr_in, sockaddr_in6, socklen_t};

/// The longest address of any family that the kernel takes: a `sockaddr_storage`.
pub const KERNEL_BYTES_MAX: usize = 128;

const IPV4: sa_family_t = family(libc::AF_INET);
const IPV6: sa_family_t = family(libc::AF_INET6);
const UNSPECIFIED: sa_family_t = family(libc::AF_UNSPEC);
const IPV4_BYTES: usize = size_of::<sockaddr_in>();
/// RFC 2133 knew no scope, and the kernel still takes an address that ends before it.
const IPV6_BYTES_MIN: usize = 24;

/// The address that the bytes of a `sockaddr` hold, or none.
pub fn parse(sockaddr: &[u8]) -> Option<SocketAddr> {
    if sockaddr.len() > KERNEL_BYTES_MAX {
        return None;
    }
    let (family, rest) = sockaddr.split_first_chunk()?;
    let (port, rest) = rest.split_first_chunk()?;
    let ip = match sa_family_t::from_ne_bytes(*family) {
        IPV4 if sockaddr.len() >= IPV4_BYTES => IpAddr::from(*rest.first_chunk::<4>()?),
        // The kernel takes a wildcard without a family as IPv4's, because ancient programs forgot to say so.
        UNSPECIFIED if sockaddr.len() >= IPV4_BYTES && rest.starts_with(&[0; 4]) => Ipv4Addr::UNSPECIFIED.into(),
        IPV6 if sockaddr.len() >= IPV6_BYTES_MIN => {
            let (_flow, rest) = rest.split_first_chunk::<4>()?;
            IpAddr::from(*rest.first_chunk::<16>()?)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// An address as the kernel takes it.
#[derive(Clone, Copy)]
pub enum Encoded {
    /// For an IPv4 socket.
    V4(sockaddr_in),
    /// For an IPv6 socket, which may carry IPv4 too.
    V6(sockaddr_in6),
}

impl From<SocketAddr> for Encoded {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::V4(sockaddr_in {
                sin_family: IPV4,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => Self::V6(sockaddr_in6 {
                sin6_family: IPV6,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: 0,
            }),
        }
    }
}

impl Encoded {
    /// Where it begins, and how many bytes it has.
    pub fn as_sockaddr(&self) -> (*const sockaddr, socklen_t) {
        match self {
            Self::V4(v4) => (core::ptr::from_ref(v4).cast(), socklen(size_of_val(v4))),
            Self::V6(v6) => (core::ptr::from_ref(v6).cast(), socklen(size_of_val(v6))),
        }
    }
}

/// A size of something that [`KERNEL_BYTES_MAX`] bounds, or smaller yet.
#[expect(clippy::cast_possible_truncation, reason = "it is small")]
pub(crate) const fn socklen(bytes: usize) -> socklen_t {
    bytes as socklen_t
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the kernel's numbers are small")]
const fn family(number: c_int) -> sa_family_t {
    number as sa_family_t
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV6};

    use proptest::prelude::*;

    use super::*;

    /// The bytes of an address as the kernel's headers lay them out, written by hand.
    fn laid_out(family: i32, port: u16, after_port: &[u8], length: usize) -> Vec<u8> {
        let mut bytes = u16::try_from(family).unwrap().to_ne_bytes().to_vec();
        bytes.extend(port.to_be_bytes());
        bytes.extend(after_port);
        bytes.resize(length, 0);
        bytes
    }

    /// The fields of an encoded address in the layout of the headers.
    fn bytes_of(encoded: &Encoded) -> Vec<u8> {
        match encoded {
            Encoded::V4(v4) => laid_out(
                i32::from(v4.sin_family),
                u16::from_be(v4.sin_port),
                &v4.sin_addr.s_addr.to_ne_bytes(),
                size_of_val(v4),
            ),
            Encoded::V6(v6) => {
                let mut rest = v6.sin6_flowinfo.to_ne_bytes().to_vec();
                rest.extend(v6.sin6_addr.s6_addr);
                rest.extend(v6.sin6_scope_id.to_ne_bytes());
                laid_out(i32::from(v6.sin6_family), u16::from_be(v6.sin6_port), &rest, size_of_val(v6))
            }
        }
    }

    #[test]
    fn an_ipv4_address_is_read_when_it_is_whole() {
        let bytes = laid_out(libc::AF_INET, 5901, &[192, 0, 2, 7], 16);
        assert_eq!(parse(&bytes), Some("192.0.2.7:5901".parse().unwrap()));
        for short in 0..16 {
            assert_eq!(parse(&bytes[..short]), None, "{short} bytes");
        }
    }

    #[test]
    fn an_ipv6_address_is_read_with_its_scope_and_without() {
        let ip: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let after_port = [&[0; 4][..], &ip.octets(), &[9, 0, 0, 0]].concat();
        let bytes = laid_out(libc::AF_INET6, 80, &after_port, 28);
        for enough in 24..=28 {
            assert_eq!(parse(&bytes[..enough]), Some(SocketAddrV6::new(ip, 80, 0, 0).into()), "{enough} bytes");
        }
        for short in 0..24 {
            assert_eq!(parse(&bytes[..short]), None, "{short} bytes");
        }
    }

    #[test]
    fn a_wildcard_without_a_family_is_ipv4s_as_the_kernel_has_it() {
        let wildcard = laid_out(libc::AF_UNSPEC, 5901, &[0; 4], 16);
        assert_eq!(parse(&wildcard), Some("0.0.0.0:5901".parse().unwrap()));
        assert_eq!(parse(&wildcard[..15]), None);
        assert_eq!(parse(&laid_out(libc::AF_UNSPEC, 5901, &[127, 0, 0, 1], 16)), None);
    }

    #[test]
    fn other_families_and_lengths_beyond_the_kernels_are_no_addresses() {
        for family in [libc::AF_UNIX, libc::AF_NETLINK, libc::AF_PACKET, libc::AF_VSOCK, 0xFFFF] {
            assert_eq!(parse(&laid_out(family, 5901, &[0; 24], 28)), None, "family {family}");
        }
        assert!(parse(&laid_out(libc::AF_INET, 5901, &[0; 4], 128)).is_some());
        assert_eq!(parse(&laid_out(libc::AF_INET, 5901, &[0; 4], 129)), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed_again(address: SocketAddr) {
            let encoded = Encoded::from(address);
            let bytes = bytes_of(&encoded);
            prop_assert_eq!(encoded.as_sockaddr().1 as usize, bytes.len());
            let parsed = parse(&bytes).unwrap();
            prop_assert_eq!((parsed.ip(), parsed.port()), (address.ip(), address.port()));
        }

        #[test]
        fn any_bytes_are_an_address_or_none(bytes in prop::collection::vec(any::<u8>(), 0..160)) {
            if let Some(address) = parse(&bytes) {
                prop_assert_eq!(address.port().to_be_bytes(), &bytes[2..4]);
                let least = if address.is_ipv4() { 16 } else { 24 };
                prop_assert!(bytes.len() >= least);
            }
        }
    }
}
