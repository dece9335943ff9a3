//! Making a header, for a target that is to know whose connection it gets.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::{CLIENT_CERT, CLIENT_SSL, HEAD_BYTES, SIGNATURE, Version, tlv};

/// What the target is told of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description<'a> {
    /// Where the client comes from, and where it connected to. None: by a Unix socket, or one that told no addresses.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// How its bytes are encrypted. None: they are not.
    pub tls: Option<ClientTls<'a>>,
    /// The host that it asked for.
    pub authority: Option<&'a str>,
    /// The name of the session, as the log has it.
    pub unique_id: &'a str,
}

/// How a client's bytes are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls<'a> {
    /// `TLSv1.3`.
    pub version: &'a str,
    /// As OpenSSL or the RFC calls it.
    pub cipher: &'a str,
    /// What the two speak inside.
    pub alpn: Option<&'a [u8]>,
    /// The common name of the certificate that the client has shown, and that was found right.
    pub certificate: Option<Option<&'a str>>,
}

/// The bytes that stand before those of the session.
pub fn header(version: Version, description: &Description<'_>) -> Vec<u8> {
    match version {
        Version::V1 => line(description.addresses).into_bytes(),
        Version::V2 => binary(description),
    }
}

fn line(addresses: Option<(SocketAddr, SocketAddr)>) -> String {
    let Some((source, destination)) = addresses else { return "PROXY UNKNOWN\r\n".to_owned() };
    let (from, to) = (source.port(), destination.port());
    match families(source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => format!("PROXY TCP4 {source} {destination} {from} {to}\r\n"),
        (source, destination) => format!("PROXY TCP6 {} {} {from} {to}\r\n", wide(source), wide(destination)),
    }
}

/// What a listener of both families sees as `::ffff:192.0.2.1` is an address of IPv4.
fn families(source: SocketAddr, destination: SocketAddr) -> (IpAddr, IpAddr) {
    (source.ip().to_canonical(), destination.ip().to_canonical())
}

fn binary(description: &Description<'_>) -> Vec<u8> {
    const VERSION_AND_COMMAND: u8 = 0x21;
    let mut header = [&SIGNATURE[..], &[VERSION_AND_COMMAND, 0, 0, 0]].concat();
    let mut family = 0x00;
    if let Some((source, destination)) = description.addresses {
        match families(source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                family = 0x11;
                header.extend_from_slice(&source.octets());
                header.extend_from_slice(&destination.octets());
            }
            (source, destination) => {
                family = 0x21;
                header.extend_from_slice(&wide(source).octets());
                header.extend_from_slice(&wide(destination).octets());
            }
        }
        header.extend_from_slice(&source.port().to_be_bytes());
        header.extend_from_slice(&destination.port().to_be_bytes());
    }
    if let Some(alpn) = description.tls.as_ref().and_then(|tls| tls.alpn) {
        put(&mut header, tlv::ALPN, alpn);
    }
    if let Some(authority) = description.authority {
        put(&mut header, tlv::AUTHORITY, authority.as_bytes());
    }
    put(&mut header, tlv::UNIQUE_ID, description.unique_id.as_bytes());
    if let Some(tls) = &description.tls {
        put(&mut header, tlv::SSL, &ssl(tls));
    }
    let length = u16::try_from(header.len() - HEAD_BYTES).expect("each value is bounded, and they are seven");
    header[HEAD_BYTES - 3] = family;
    header[HEAD_BYTES - 2..HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    header
}

/// Flags, whether a certificate was shown and is right (0) or not, and more values (2.2.5).
fn ssl(tls: &ClientTls<'_>) -> Vec<u8> {
    let flags = if tls.certificate.is_some() { CLIENT_SSL | CLIENT_CERT } else { CLIENT_SSL };
    let mut value = vec![flags];
    value.extend_from_slice(&u32::from(tls.certificate.is_none()).to_be_bytes());
    put(&mut value, tlv::SSL_VERSION, tls.version.as_bytes());
    if let Some(name) = tls.certificate.flatten() {
        put(&mut value, tlv::SSL_CN, &name.as_bytes()[..name.len().min(NAME_BYTES_MAX)]);
    }
    put(&mut value, tlv::SSL_CIPHER, tls.cipher.as_bytes());
    value
}

/// A name in a value that is bounded itself.
const NAME_BYTES_MAX: usize = 512;

/// A value that no program would send is cut, and not left out: a part of a name is still a trace.
const VALUE_BYTES_MAX: usize = 1024;

fn put(bytes: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let value = &value[..value.len().min(VALUE_BYTES_MAX)];
    let length = u16::try_from(value.len()).expect("1024 fit");
    bytes.push(kind);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(value);
}

/// A header has one family: beside an address of IPv6, one of IPv4 is written as such.
fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::super::read::{Header, Origin, Progress, parse};
    use super::*;

    fn described(addresses: Option<(&str, &str)>) -> Description<'static> {
        let addresses = addresses.map(|(source, destination)| (source.parse().unwrap(), destination.parse().unwrap()));
        Description { addresses, tls: None, authority: None, unique_id: "0badcafe" }
    }

    #[test]
    fn lines_of_the_first_version_have_their_form() {
        let cases = [
            (Some(("192.0.2.1:56324", "198.51.100.7:443")), "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"),
            (Some(("[2001:db8::1]:1", "[::1]:2")), "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"),
            (Some(("192.0.2.1:1", "[::1]:2")), "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"),
            // As a listener of both families has them.
            (Some(("192.0.2.1:1", "[::ffff:192.0.2.2]:2")), "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
            (None, "PROXY UNKNOWN\r\n"),
        ];
        for (addresses, expected) in cases {
            assert_eq!(header(Version::V1, &described(addresses)), expected.as_bytes());
        }
    }

    #[test]
    fn the_second_version_tells_of_tls_and_of_the_certificate() {
        let plain = header(Version::V2, &described(Some(("192.0.2.1:56324", "198.51.100.7:443"))));
        let expected = [
            &SIGNATURE[..],
            &[0x21, 0x11, 0, 23, 192, 0, 2, 1, 198, 51, 100, 7, 0xDC, 0x04, 0x01, 0xBB],
            b"\x05\x00\x080badcafe",
        ];
        assert_eq!(plain, expected.concat());

        let tls = |certificate| ClientTls { version: "TLSv1.3", cipher: "X", alpn: Some(b"http/1.1"), certificate };
        let with = |certificate| Description {
            tls: Some(tls(certificate)),
            authority: Some("vm.example.com"),
            ..described(None)
        };
        let start = b"\x01\x00\x08http/1.1\x02\x00\x0evm.example.com\x05\x00\x080badcafe\x20\x00";
        let cases = [
            (None, &b"\x13\x01\x00\x00\x00\x01\x21\x00\x07TLSv1.3\x23\x00\x01X"[..]),
            (Some(None), b"\x13\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x23\x00\x01X"),
            (Some(Some("Joe")), b"\x19\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x22\x00\x03Joe\x23\x00\x01X"),
        ];
        for (certificate, end) in cases {
            let header = header(Version::V2, &with(certificate));
            assert_eq!(header[HEAD_BYTES..], [start, end].concat(), "{certificate:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            source: SocketAddr,
            destination: SocketAddr,
            authority in proptest::option::of(".{0,2000}"),
            is_tls: bool,
        ) {
            let tls = ClientTls { version: "TLSv1.2", cipher: "", alpn: None, certificate: Some(Some("name")) };
            let description = Description {
                addresses: Some((source, destination)),
                tls: is_tls.then_some(tls),
                authority: authority.as_deref(),
                unique_id: "id",
            };
            for version in [Version::V1, Version::V2] {
                let Ok(Progress::Complete(Header { origin, is_tls: read })) = parse(&header(version, &description)) else {
                    panic!("{version:?} is not read");
                };
                prop_assert_eq!(read, is_tls && version == Version::V2);
                let Origin::Client { source: from, destination: to } = origin else { panic!("no addresses") };
                let same = |one: SocketAddr, other: SocketAddr| {
                    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
                };
                prop_assert!(same(from, source) && same(to, destination));
            }
        }
    }
}
