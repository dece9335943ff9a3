//! Taking a header apart.
//!
//! Strict: a proxy that writes something else than the specification says is not believed a word. What a header holds beyond
//! the addresses is checked for its form and its checksum, and passed over, but for whether the client came by TLS.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::str::FromStr;

use super::crc32c::checksum;
use super::{CLIENT_SSL, HEAD_BYTES, PREFIX, SIGNATURE, tlv};

/// The longest line of version 1, with its end (2.1).
const LINE_BYTES_MAX: usize = 107;

/// The shortest: `PROXY UNKNOWN`, with its end.
const LINE_BYTES_MIN: usize = 15;

/// The longest header of version 2 that is taken. The form allows 64 KiB; what proxies send is below 1 KiB, with the name of
/// a certificate in it.
pub const HEADER_BYTES_MAX: usize = 4096;

/// How many bytes tell a header from everything else.
pub const BEGINNING_BYTES: usize = SIGNATURE.len();

/// The lengths of the addresses of version 2.
const INET_BYTES: usize = 12;
const INET6_BYTES: usize = 36;
const UNIX_BYTES: usize = 216;

/// What a proxy says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose it is.
    pub origin: Origin,
    /// Whether the client came to the proxy by TLS, which the proxy took off.
    pub is_tls: bool,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client's.
    Client {
        /// Where it came from.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
    /// Nobody's with an address: the proxy's own, such as a health check, or that of a client of a Unix socket.
    NoAddress,
}

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is all there.
    Complete(Header),
    /// At least so many bytes more are the header's. Whoever reads no more than these reads nothing behind it.
    Missing(NonZeroUsize),
}

/// Why bytes are no header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// They begin like none.
    #[error("it begins without a PROXY protocol header")]
    Absent,
    /// A line of version 1 that does not end.
    #[error("the line of its PROXY protocol header is longer than {LINE_BYTES_MAX} bytes")]
    Endless,
    /// A line of version 1 that says something else.
    #[error("its PROXY protocol header is not 'PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT': '{0}'")]
    Line(String),
    /// Another version.
    #[error("its PROXY protocol header is of version {0}, and 1 and 2 are known")]
    Version(u8),
    /// A command that is unknown.
    #[error("its PROXY protocol header has the unknown command {0}")]
    Command(u8),
    /// Neither TCP nor a Unix stream.
    #[error("its PROXY protocol header has the address family and transport {0:#04x}, which is no stream's")]
    Family(u8),
    /// Too long.
    #[error("its PROXY protocol header has {0} bytes, and {HEADER_BYTES_MAX} are the most that is taken")]
    TooLong(usize),
    /// Shorter than its addresses, or cut in the midst of what follows them.
    #[error("its PROXY protocol header ends before what it announces")]
    Cut,
    /// The checksum is another one.
    #[error("the checksum of its PROXY protocol header is wrong")]
    Checksum,
}

/// Reads the header that `bytes` begin with, as far as it is there.
pub fn parse(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let Some(start) = bytes.get(..LINE_BYTES_MIN) else { return Ok(missing(bytes.len(), LINE_BYTES_MIN)) };
    if start.starts_with(&SIGNATURE) {
        parse_binary(bytes)
    } else if start.starts_with(PREFIX) {
        parse_text(bytes)
    } else {
        Err(HeaderError::Absent)
    }
}

/// Whether a header begins with these bytes, of which there are [`BEGINNING_BYTES`] at most.
pub fn is_beginning(bytes: &[u8]) -> bool {
    bytes.starts_with(&SIGNATURE) || bytes.starts_with(PREFIX)
}

fn missing(there: usize, needed: usize) -> Progress {
    Progress::Missing(NonZeroUsize::new(needed.saturating_sub(there)).unwrap_or(NonZeroUsize::MIN))
}

fn parse_text(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let bounded = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = bounded.windows(2).position(|pair| pair == b"\r\n") else {
        if bounded.len() == LINE_BYTES_MAX {
            return Err(HeaderError::Endless);
        }
        let rest = if bytes.ends_with(b"\r") { 1 } else { 2 };
        return Ok(missing(bytes.len(), (bytes.len() + rest).min(LINE_BYTES_MAX)));
    };
    let line = &bounded[..end];
    let wrong = || HeaderError::Line(line.escape_ascii().to_string());
    let text = str::from_utf8(&line[PREFIX.len()..]).map_err(|_| wrong())?;
    let origin = match text.split_once(' ') {
        Some(("TCP4", rest)) => addresses::<Ipv4Addr>(rest).ok_or_else(wrong)?,
        Some(("TCP6", rest)) => addresses::<Ipv6Addr>(rest).ok_or_else(wrong)?,
        // What follows is to be passed over.
        Some(("UNKNOWN", _)) => Origin::NoAddress,
        None if text == "UNKNOWN" => Origin::NoAddress,
        _ => return Err(wrong()),
    };
    Ok(Progress::Complete(Header { origin, is_tls: false }))
}

fn addresses<A: FromStr>(text: &str) -> Option<Origin>
where
    (A, u16): Into<SocketAddr>,
{
    let mut words = text.split(' ');
    let mut address = || words.next()?.parse::<A>().ok();
    let (source, destination) = (address()?, address()?);
    let mut port = || words.next().and_then(port);
    let (source_port, destination_port) = (port()?, port()?);
    let is_whole = words.next().is_none();
    is_whole.then(|| Origin::Client {
        source: (source, source_port).into(),
        destination: (destination, destination_port).into(),
    })
}

/// Without a sign or a zero before it.
fn port(word: &str) -> Option<u16> {
    let is_plain = word == "0" || word.starts_with(|digit: char| ('1'..='9').contains(&digit));
    word.parse().ok().filter(|_| is_plain)
}

fn parse_binary(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let Some(&[.., version_and_command, family, high, low]) = bytes.get(..HEAD_BYTES) else {
        return Ok(missing(bytes.len(), HEAD_BYTES));
    };
    let (version, command) = (version_and_command >> 4, version_and_command & 0x0F);
    if version != 2 {
        return Err(HeaderError::Version(version));
    }
    if command > 1 {
        return Err(HeaderError::Command(command));
    }
    let length = HEAD_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > HEADER_BYTES_MAX {
        return Err(HeaderError::TooLong(length));
    }
    let Some(header) = bytes.get(..length) else { return Ok(missing(bytes.len(), length)) };
    if command == 0 {
        // LOCAL: whatever family and addresses there are, they are to be passed over (2.2).
        return Ok(Progress::Complete(Header { origin: Origin::NoAddress, is_tls: false }));
    }
    let body = &header[HEAD_BYTES..];
    let (origin, address_bytes) = match family {
        0x00 => (Origin::NoAddress, 0),
        0x11 => (inet(body).ok_or(HeaderError::Cut)?, INET_BYTES),
        0x21 => (inet6(body).ok_or(HeaderError::Cut)?, INET6_BYTES),
        0x31 => (Origin::NoAddress, UNIX_BYTES),
        _ => return Err(HeaderError::Family(family)),
    };
    let mut rest = body.get(address_bytes..).ok_or(HeaderError::Cut)?;
    let mut is_tls = false;
    while !rest.is_empty() {
        let (kind, value, behind) = split(rest).ok_or(HeaderError::Cut)?;
        match kind {
            tlv::CRC32C => {
                let at = length - behind.len() - value.len();
                check(header, at, value)?;
            }
            tlv::SSL => is_tls = says_tls(value)?,
            _ => {}
        }
        rest = behind;
    }
    Ok(Progress::Complete(Header { origin, is_tls }))
}

fn inet(body: &[u8]) -> Option<Origin> {
    let (&source, rest) = body.split_first_chunk::<4>()?;
    let (&destination, rest) = rest.split_first_chunk::<4>()?;
    client(source, destination, rest)
}

fn inet6(body: &[u8]) -> Option<Origin> {
    let (&source, rest) = body.split_first_chunk::<16>()?;
    let (&destination, rest) = rest.split_first_chunk::<16>()?;
    client(source, destination, rest)
}

fn client<A>(source: A, destination: A, ports: &[u8]) -> Option<Origin>
where
    (A, u16): Into<SocketAddr>,
{
    let &[a, b, c, d] = ports.first_chunk::<4>()?;
    Some(Origin::Client {
        source: (source, u16::from_be_bytes([a, b])).into(),
        destination: (destination, u16::from_be_bytes([c, d])).into(),
    })
}

/// The type and the value of what `bytes` begin with, and what is behind it.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk::<3>()?;
    let (value, behind) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    Some((kind, value, behind))
}

/// The sum is of the whole header, with zeros where it stands itself: at `at`.
fn check(header: &[u8], at: usize, value: &[u8]) -> Result<(), HeaderError> {
    let written: [u8; 4] = value.try_into().map_err(|_| HeaderError::Checksum)?;
    let sum = checksum([&header[..at], &[0; 4], &header[at + 4..]]);
    if sum == u32::from_be_bytes(written) { Ok(()) } else { Err(HeaderError::Checksum) }
}

/// Flags, a verdict of four bytes, and more values (2.2.5).
fn says_tls(value: &[u8]) -> Result<bool, HeaderError> {
    let (&[flags, ..], mut rest) = value.split_first_chunk::<5>().ok_or(HeaderError::Cut)?;
    while !rest.is_empty() {
        (_, _, rest) = split(rest).ok_or(HeaderError::Cut)?;
    }
    Ok(flags & CLIENT_SSL != 0)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "it is what parse returns")]
    fn complete(origin: Origin, is_tls: bool) -> Result<Progress, HeaderError> {
        Ok(Progress::Complete(Header { origin, is_tls }))
    }

    fn client(source: &str, destination: &str) -> Origin {
        Origin::Client { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, body].concat()
    }

    fn value(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
    }

    const INET: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 7, 0xDC, 0x04, 0x01, 0xBB];

    #[test]
    fn lines_of_the_first_version_are_read() {
        let cases = [
            ("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443", client("192.0.2.1:56324", "198.51.100.7:443")),
            ("PROXY TCP6 2001:db8::1 ::1 0 65535", client("[2001:db8::1]:0", "[::1]:65535")),
            ("PROXY UNKNOWN", Origin::NoAddress),
            ("PROXY UNKNOWN ffff:f...f:ffff what ever 1 2", Origin::NoAddress),
        ];
        for (line, origin) in cases {
            assert_eq!(parse(format!("{line}\r\nGET").as_bytes()), complete(origin, false), "{line}");
        }
        let longest = format!("PROXY UNKNOWN{}\r\n", "x".repeat(LINE_BYTES_MAX - 15).replacen('x', " ", 1));
        assert_eq!(longest.len(), LINE_BYTES_MAX);
        assert_eq!(parse(longest.as_bytes()), complete(Origin::NoAddress, false));
    }

    #[test]
    fn lines_that_say_something_else_are_not_believed() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.7 56324",
            "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 1",
            "PROXY TCP4 192.0.2.1  198.51.100.7 56324 443",
            "PROXY TCP4 192.0.2.1 198.51.100.7 056324 443",
            "PROXY TCP4 192.0.2.1 198.51.100.7 +1 443",
            "PROXY TCP4 192.0.2.1 198.51.100.7 65536 443",
            "PROXY TCP4 192.0.2.01 198.51.100.7 56324 443",
            "PROXY TCP4 2001:db8::1 ::1 1 2",
            "PROXY TCP6 192.0.2.1 198.51.100.7 1 2",
            "PROXY UDP4 192.0.2.1 198.51.100.7 1 2",
            "PROXY UNKNOWNS ...",
            "PROXY  UNKNOWN ...",
            "PROXY unknown ...",
        ] {
            let outcome = parse(format!("{line}\r\n").as_bytes());
            assert_eq!(outcome, Err(HeaderError::Line(line.to_owned())));
        }
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; LINE_BYTES_MAX]].concat();
        assert_eq!(parse(&endless), Err(HeaderError::Endless));
        assert_eq!(parse(b"PROXY TCP4 \xFF\xFF\xFF\r\n"), Err(HeaderError::Line("PROXY TCP4 \\xff\\xff\\xff".into())));
    }

    #[test]
    fn what_begins_otherwise_is_no_header() {
        for text in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaa", &[0; 20]] {
            assert_eq!(parse(text), Err(HeaderError::Absent));
            assert!(!is_beginning(text));
        }
        for text in ["POST / HTTP/1.1\r\n", "\r\nGET / HTTP/1.1\r\n"] {
            assert_eq!(parse(text.as_bytes()), Err(HeaderError::Absent));
            assert!(!is_beginning(text.as_bytes()));
        }
        assert!(is_beginning(b"PROXY TCP4") && is_beginning(&v2(0x20, 0, b"")) && !is_beginning(b""));
    }

    #[test]
    fn headers_of_the_second_version_are_read() {
        let inet6 = [&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 15], &[1, 0, 80, 1, 2]];
        let cases = [
            (v2(0x21, 0x11, &INET), client("192.0.2.1:56324", "198.51.100.7:443")),
            (v2(0x21, 0x21, &inet6.concat()), client("[2001:db8::1]:80", "[::1]:258")),
            (v2(0x21, 0x31, &[b'/'; 216]), Origin::NoAddress),
            (v2(0x21, 0x00, b""), Origin::NoAddress),
            // LOCAL, with whatever.
            (v2(0x20, 0x00, b""), Origin::NoAddress),
            (v2(0x20, 0x11, &INET), Origin::NoAddress),
            (v2(0x20, 0xEE, b"odd"), Origin::NoAddress),
        ];
        for (header, origin) in cases {
            assert_eq!(parse(&[&header[..], b"more"].concat()), complete(origin, false), "{header:?}");
        }
    }

    #[test]
    fn headers_that_break_the_rules_are_not_believed() {
        let cases = [
            (v2(0x11, 0x11, &INET), HeaderError::Version(1)),
            (v2(0x22, 0x11, &INET), HeaderError::Command(2)),
            (v2(0x21, 0x12, &INET), HeaderError::Family(0x12)),
            (v2(0x21, 0x13, &INET), HeaderError::Family(0x13)),
            (v2(0x21, 0x41, &INET), HeaderError::Family(0x41)),
            (v2(0x21, 0x11, &INET[..11]), HeaderError::Cut),
            (v2(0x21, 0x21, &INET), HeaderError::Cut),
            (v2(0x21, 0x31, &[0; 215]), HeaderError::Cut),
            (v2(0x21, 0x11, &[&INET[..], &[4, 0]].concat()), HeaderError::Cut),
            (v2(0x21, 0x11, &[&INET[..], &[4, 0, 2, 1]].concat()), HeaderError::Cut),
            (v2(0x21, 0x11, &[0; HEADER_BYTES_MAX]), HeaderError::TooLong(HEADER_BYTES_MAX + HEAD_BYTES)),
        ];
        for (header, error) in cases {
            assert_eq!(parse(&header), Err(error), "{header:?}");
        }
    }

    #[test]
    fn a_wrong_checksum_is_found() {
        let with_sum = |sum: [u8; 4]| {
            let values = [value(tlv::UNIQUE_ID, b"id"), value(tlv::CRC32C, &sum), value(4, &[0; 3])].concat();
            v2(0x21, 0x11, &[&INET[..], &values].concat())
        };
        let right = checksum([&with_sum([0; 4])[..]]).to_be_bytes();
        assert_eq!(parse(&with_sum(right)), complete(client("192.0.2.1:56324", "198.51.100.7:443"), false));
        assert_eq!(parse(&with_sum(right.map(|byte| !byte))), Err(HeaderError::Checksum));
        let short = v2(0x21, 0x11, &[&INET[..], &value(tlv::CRC32C, &[0; 3])].concat());
        assert_eq!(parse(&short), Err(HeaderError::Checksum));
    }

    #[test]
    fn whether_the_client_came_by_tls_is_read() {
        let ssl = |flags: u8, more: &[u8]| {
            let inner = [&[flags, 0, 0, 0, 0][..], more].concat();
            v2(0x21, 0x11, &[&INET[..], &value(tlv::SSL, &inner)].concat())
        };
        let origin = client("192.0.2.1:56324", "198.51.100.7:443");
        assert_eq!(parse(&ssl(1, &value(tlv::SSL_VERSION, b"TLSv1.3"))), complete(origin, true));
        assert_eq!(parse(&ssl(0, &[])), complete(origin, false));
        assert_eq!(parse(&ssl(1, &[0x21, 0, 9, 1])), Err(HeaderError::Cut));
    }

    /// Reads as a connection does: what is missing, and never more.
    fn read(mut stream: &[u8]) -> Option<(Result<Header, HeaderError>, usize)> {
        let mut header = Vec::new();
        loop {
            match parse(&header) {
                Ok(Progress::Complete(complete)) => return Some((Ok(complete), header.len())),
                Ok(Progress::Missing(count)) => {
                    let (piece, rest) = stream.split_at_checked(count.get())?;
                    header.extend_from_slice(piece);
                    stream = rest;
                }
                Err(error) => return Some((Err(error), header.len())),
            }
        }
    }

    fn any_line() -> impl Strategy<Value = Vec<u8>> {
        let addresses = prop_oneof![
            (any::<Ipv4Addr>(), any::<Ipv4Addr>()).prop_map(|(a, b)| format!("TCP4 {a} {b}")),
            (any::<Ipv6Addr>(), any::<Ipv6Addr>()).prop_map(|(a, b)| format!("TCP6 {a} {b}")),
        ];
        (addresses, any::<u16>(), any::<u16>()).prop_map(|(text, a, b)| format!("PROXY {text} {a} {b}\r\n").into())
    }

    fn any_binary() -> impl Strategy<Value = Vec<u8>> {
        let values = proptest::collection::vec((4_u8..=255, proptest::collection::vec(any::<u8>(), 0..20)), 0..4);
        (any::<[u8; 12]>(), values).prop_map(|(inet, values)| {
            let values = values.into_iter().filter(|(kind, _)| *kind != tlv::SSL);
            let values: Vec<u8> = values.flat_map(|(kind, bytes)| value(kind, &bytes)).collect();
            v2(0x21, 0x11, &[&inet[..], &values].concat())
        })
    }

    proptest! {
        #[test]
        fn a_reader_takes_the_header_and_nothing_behind_it(
            header in prop_oneof![any_line(), any_binary()],
            behind in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let stream = [&header[..], &behind].concat();
            let (outcome, taken) = read(&stream).unwrap();
            prop_assert!(outcome.is_ok());
            prop_assert_eq!(taken, header.len());
            prop_assert_eq!(parse(&stream), parse(&header));
            prop_assert_eq!(read(&header[..header.len() - 1]), None);
        }

        #[test]
        fn whatever_comes_is_a_header_or_none_and_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            for start in [&SIGNATURE[..], PREFIX] {
                let stream = [start, &bytes, &[0; HEADER_BYTES_MAX]].concat();
                let (_, taken) = read(&stream).expect("it does not ask for ever");
                prop_assert!(taken <= HEADER_BYTES_MAX);
            }
        }

        #[test]
        fn one_flipped_bit_is_found_by_the_checksum(bit in 0_usize..8 * 34) {
            let values = [value(tlv::CRC32C, &[0; 4]), value(4, &[0; 3])].concat();
            let mut header = v2(0x21, 0x11, &[&INET[..], &values].concat());
            let sum = checksum([&header[..]]).to_be_bytes();
            header[HEAD_BYTES + 12 + 3..][..4].copy_from_slice(&sum);
            prop_assert!(parse(&header).is_ok());
            let length = header.len();
            header[bit / 8 % length] ^= 1 << (bit % 8);
            let is_right = matches!(parse(&header), Ok(Progress::Complete(Header { origin: Origin::Client { .. }, .. })));
            prop_assert!(!is_right || bit / 8 == HEAD_BYTES + 12);
        }
    }
}
