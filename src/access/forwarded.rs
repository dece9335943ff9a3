//! Who a request is from, when a proxy passes it on: `X-Forwarded-For`, or `Forwarded` of RFC 7239.
//!
//! Promise: nobody but [`TrustedProxies`] is believed. Each proxy appends the address that it was asked from, so the list is
//! read from its right end, and the first address that is not a trusted proxy's is the client's: what stands to the left of it
//! was written by the client, or by somebody whom the client chose. What cannot be read where it counts is an error, never
//! another address.
//!
//! Pure. One of the two headers counts, as the route says, and never the other: a proxy that writes one passes the other on as
//! the client wrote it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;

use super::{Network, NetworkError};
use crate::socket::Peer;

/// Proxies whose word about their clients counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Proxy>);

/// `10.0.0.1`, `10.0.0.0/8`, or `unix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// Those with an address in it.
    Network(Network),
    /// Whoever may connect to the route's Unix sockets.
    Unix,
}

/// The header that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// Of RFC 7239.
    Forwarded,
    /// The older one, which most proxies write; the scheme is that of `X-Forwarded-Proto`.
    XForwardedFor,
}

/// What trusted proxies say of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Who asks.
    pub client: Peer,
    /// By `https`, or not. None: they do not say.
    pub is_https: Option<bool>,
}

/// A trusted proxy sent a header of which the part that counts is no list of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header {0} of a trusted proxy cannot be read")]
pub struct ForwardedError(pub ForwardedHeader);

/// One step of the way of a request.
#[derive(Default)]
struct Hop {
    /// None: its proxy does not say, or does not know.
    from: Option<Peer>,
    is_https: Option<bool>,
}

impl TrustedProxies {
    /// From proxies in any order.
    pub fn new(proxies: Vec<Proxy>) -> Self {
        Self(proxies)
    }

    /// Whether `peer` is one of them.
    pub fn trust(&self, peer: &Peer) -> bool {
        self.0.iter().any(|proxy| match proxy {
            Proxy::Network(network) => peer.ip().is_some_and(|address| network.contains(address)),
            Proxy::Unix => *peer == Peer::Unix,
        })
    }

    /// Those that have addresses, in the order in which they were written.
    pub fn networks(&self) -> impl Iterator<Item = Network> {
        self.0.iter().filter_map(|proxy| match proxy {
            Proxy::Network(network) => Some(*network),
            Proxy::Unix => None,
        })
    }

    /// Who the request is from that `peer` has sent. None: `peer` is no trusted proxy, and may say nothing about it.
    pub fn forwarded(
        &self,
        peer: Peer,
        header: ForwardedHeader,
        headers: &HeaderMap,
    ) -> Result<Option<Forwarded>, ForwardedError> {
        if !self.trust(&peer) {
            return Ok(None);
        }
        match header {
            ForwardedHeader::XForwardedFor => self.x_forwarded(peer, headers),
            ForwardedHeader::Forwarded => self.rfc7239(peer, headers),
        }
        .map(Some)
        .ok_or(ForwardedError(header))
    }

    fn x_forwarded(&self, peer: Peer, headers: &HeaderMap) -> Option<Forwarded> {
        let mut client = peer;
        'hops: for line in headers.get_all("x-forwarded-for").iter().rev() {
            for text in line.to_str().ok()?.rsplit(',').map(str::trim).filter(|text| !text.is_empty()) {
                if text.eq_ignore_ascii_case("unknown") {
                    break 'hops;
                }
                client = node(text)?;
                if !self.trust(&client) {
                    break 'hops;
                }
            }
        }
        // The nearest proxy's word: the last, if each appends its own.
        let line = headers.get_all("x-forwarded-proto").iter().next_back().and_then(|line| line.to_str().ok());
        let proto = line.and_then(|line| line.rsplit(',').next()).map(str::trim).filter(|text| !text.is_empty());
        Some(Forwarded { client, is_https: proto.map(is_https) })
    }

    fn rfc7239(&self, peer: Peer, headers: &HeaderMap) -> Option<Forwarded> {
        let mut told = Forwarded { client: peer, is_https: None };
        for line in headers.get_all("forwarded").iter().rev() {
            for hop in hops(line.to_str().ok()?)?.into_iter().rev() {
                // What is said last is of the hop that is nearest to the client, as far as there is trust.
                told.is_https = hop.is_https.or(told.is_https);
                let Some(from) = hop.from else { return Some(told) };
                told.client = from;
                if !self.trust(&from) {
                    return Some(told);
                }
            }
        }
        Some(told)
    }
}

fn is_https(proto: &str) -> bool {
    proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss")
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn node(text: &str) -> Option<Peer> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Peer::from(address));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(Peer::from(address));
    }
    let bracketed = text.strip_prefix('[')?.strip_suffix(']')?;
    bracketed.parse::<std::net::Ipv6Addr>().ok().map(|address| Peer::from(IpAddr::V6(address)))
}

/// The elements of a `Forwarded` line, from left to right. None: it is not of the form.
fn hops(mut rest: &str) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    let mut hop = None;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            let (name, behind) = rest.split_once('=')?;
            let (value, behind) = value(behind)?;
            is_token(name).then_some(())?;
            let hop: &mut Hop = hop.get_or_insert_default();
            if name.eq_ignore_ascii_case("for") {
                hop.from = named(&value)?;
            } else if name.eq_ignore_ascii_case("proto") {
                hop.is_https = Some(is_https(&value));
            }
            rest = behind.trim_start_matches([' ', '\t']);
        }
        let separator = rest.chars().next();
        rest = rest.get(1..).unwrap_or_default();
        match separator {
            Some(';') => {}
            Some(',') | None => {
                hops.extend(hop.take()); // an element may be empty
                if separator.is_none() {
                    return Some(hops);
                }
            }
            Some(_) => return None,
        }
    }
}

/// A token or a quoted string, and what is behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        let (token, behind) = text.split_at(end);
        return is_token(token).then(|| (token.to_owned(), behind));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    loop {
        match characters.next()? {
            (end, '"') => return Some((value, &quoted[end + 1..])),
            (_, '\\') => value.push(characters.next()?.1),
            (_, character) => value.push(character),
        }
    }
}

/// RFC 7239, 6: an address, `unknown`, or a name that hides it. The outer None: none of these.
#[expect(clippy::option_option, reason = "an address that is not told is no error")]
fn named(value: &str) -> Option<Option<Peer>> {
    if value.eq_ignore_ascii_case("unknown") || value.starts_with('_') {
        return Some(None);
    }
    node(value).map(Some)
}

/// RFC 9110, 5.6.2; of a value unquoted, addresses with a colon too, which many write although they need quotes.
fn is_token(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:[]".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain)
}

impl FromStr for Proxy {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if text == "unix" { Ok(Self::Unix) } else { text.parse().map(Self::Network) }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// As the route's file and RFC 9110 write it.
impl fmt::Display for ForwardedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forwarded => "Forwarded",
            Self::XForwardedFor => "X-Forwarded-For",
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn trusted() -> TrustedProxies {
        TrustedProxies::new(["10.0.0.0/8", "2001:db8:1::/48", "unix"].map(|text| text.parse().unwrap()).to_vec())
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        };
        lines.iter().map(line).fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
    }

    fn peer(text: &str) -> Peer {
        node(text).unwrap()
    }

    fn client(header: ForwardedHeader, from: Peer, lines: &[&str]) -> Result<Option<String>, ForwardedError> {
        let name = header.to_string().to_lowercase();
        let lines: Vec<_> = lines.iter().map(|line| (name.as_str(), *line)).collect();
        let told = trusted().forwarded(from, header, &headers(&lines))?;
        Ok(told.map(|told| told.client.to_string()))
    }

    #[test]
    fn the_rightmost_address_that_is_no_trusted_proxy_s_is_the_client_s() {
        let cases: [(&[&str], &str); 12] = [
            (&["192.0.2.1"], "192.0.2.1"),
            (&["198.51.100.9, 192.0.2.1"], "192.0.2.1"),
            (&["198.51.100.9, 192.0.2.1,10.1.1.1 , 10.2.2.2"], "192.0.2.1"),
            (&["198.51.100.9", "192.0.2.1", "10.2.2.2"], "192.0.2.1"),
            (&["nonsense, 192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1:4711"], "192.0.2.1:4711"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["[2001:db8::1]:4711, 2001:db8:1::1"], "[2001:db8::1]:4711"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            (&["192.0.2.1, unknown"], "10.0.0.1"),
        ];
        for (lines, expected) in cases {
            let found = client(ForwardedHeader::XForwardedFor, peer("10.0.0.1"), lines);
            assert_eq!(found, Ok(Some(expected.to_owned())), "{lines:?}");
        }
        assert_eq!(client(ForwardedHeader::XForwardedFor, peer("10.0.0.1:7"), &[]), Ok(Some("10.0.0.1:7".to_owned())));
        assert_eq!(
            client(ForwardedHeader::XForwardedFor, Peer::Unix, &["192.0.2.1"]),
            Ok(Some("192.0.2.1".to_owned()))
        );
    }

    #[test]
    fn nobody_else_is_believed() {
        for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
            assert_eq!(client(header, peer("192.0.2.66"), &["for=10.0.0.1"]), Ok(None));
        }
        let none = TrustedProxies::new(Vec::new());
        for stranger in [Peer::Unix, peer("10.0.0.1")] {
            let told =
                none.forwarded(stranger, ForwardedHeader::XForwardedFor, &headers(&[("x-forwarded-for", "192.0.2.1")]));
            assert_eq!(told, Ok(None));
        }
    }

    #[test]
    fn the_header_that_is_not_the_route_s_is_not_looked_at() {
        let both =
            headers(&[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.2"), ("x-real-ip", "1.1.1.1")]);
        for (header, expected) in
            [(ForwardedHeader::XForwardedFor, "192.0.2.1"), (ForwardedHeader::Forwarded, "192.0.2.2")]
        {
            let told = trusted().forwarded(peer("10.0.0.1"), header, &both).unwrap().unwrap();
            assert_eq!(told.client, peer(expected));
        }
    }

    #[test]
    fn the_header_of_rfc_7239_is_read() {
        let cases: [(&[&str], &str); 10] = [
            (&["for=192.0.2.1"], "192.0.2.1"),
            (&["For=\"192.0.2.1:47011\""], "192.0.2.1:47011"),
            (&["for=\"[2001:db8::1]:80\";proto=http;by=203.0.113.43"], "[2001:db8::1]:80"),
            (&["for=198.51.100.9, for=192.0.2.1;proto=https , for=10.0.0.9"], "192.0.2.1"),
            (&["for=198.51.100.9", "for=192.0.2.1"], "192.0.2.1"),
            (&["for=\"_a, for=192.0.2.9\\\"\" ;host=x,,for=192.0.2.1,"], "192.0.2.1"),
            (&["for=192.0.2.1, for=_hidden"], "10.0.0.1"),
            (&["for=192.0.2.1, for=unknown"], "10.0.0.1"),
            (&["for=192.0.2.1, proto=https"], "10.0.0.1"),
            (&["for=192.0.2.1:80"], "192.0.2.1:80"),
        ];
        for (lines, expected) in cases {
            let found = client(ForwardedHeader::Forwarded, peer("10.0.0.1"), lines);
            assert_eq!(found, Ok(Some(expected.to_owned())), "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_where_it_counts_is_an_error() {
        let bad = ["vm.example.com", "192.0.2.1, 10.0.0.256", "192.0.2.1 192.0.2.2", "for=192.0.2.1", "[192.0.2.1]"];
        for line in bad {
            let found = client(ForwardedHeader::XForwardedFor, peer("10.0.0.1"), &[line]);
            assert_eq!(found, Err(ForwardedError(ForwardedHeader::XForwardedFor)), "{line}");
        }
        // The quote that a client opened swallows what its proxy appended to the same line.
        let bad = ["for=\"x, for=192.0.2.1", "192.0.2.1", "for=", "for =192.0.2.1", "for=\"192.0.2.1\"x", "for=host"];
        for line in bad {
            let found = client(ForwardedHeader::Forwarded, peer("10.0.0.1"), &[line]);
            assert_eq!(found, Err(ForwardedError(ForwardedHeader::Forwarded)), "{line}");
        }
    }

    #[test]
    fn the_scheme_comes_along() {
        let is_https = |header, lines: &[(&str, &str)]| {
            trusted().forwarded(peer("10.0.0.1"), header, &headers(lines)).unwrap().unwrap().is_https
        };
        let lines = [("x-forwarded-proto", "http, https")];
        assert_eq!(is_https(ForwardedHeader::XForwardedFor, &lines), Some(true));
        assert_eq!(is_https(ForwardedHeader::XForwardedFor, &[("x-forwarded-proto", "http")]), Some(false));
        assert_eq!(is_https(ForwardedHeader::XForwardedFor, &[]), None);
        assert_eq!(is_https(ForwardedHeader::Forwarded, &lines), None);
        let line = "for=1.1.1.1;proto=http, for=192.0.2.1;proto=https;host=\"vm:443\", for=10.1.1.1";
        assert_eq!(is_https(ForwardedHeader::Forwarded, &[("forwarded", line)]), Some(true));
    }

    proptest! {
        /// Whatever a client sends, what its proxy appends decides.
        #[test]
        fn a_client_cannot_choose_its_address(
            sent in proptest::collection::vec("[ -~]{0,40}", 0..3),
            real: IpAddr,
            hops in 0_usize..3,
        ) {
            let real = IpAddr::V4(match real {
                IpAddr::V4(address) if address.octets()[0] != 10 => address,
                _ => [192, 0, 2, 1].into(),
            });
            let appended = std::iter::repeat_n(", 10.9.9.9".to_owned(), hops).collect::<String>();
            let mut lines = sent.clone();
            let last = format!("{real}{appended}");
            match lines.last_mut() {
                Some(line) => *line = format!("{line}, {last}"),
                None => lines.push(last),
            }
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let found = client(ForwardedHeader::XForwardedFor, peer("10.0.0.1"), &lines);
            prop_assert_eq!(found, Ok(Some(real.to_string())));
        }

        /// In a line of its own, the proxy's word stands whatever the client's lines are; in the same one it stands or nothing.
        #[test]
        fn nor_by_the_header_of_rfc_7239(sent in "[ -~]{0,40}") {
            let own = client(ForwardedHeader::Forwarded, peer("10.0.0.1"), &[&sent, "for=192.0.2.1"]);
            prop_assert_eq!(own, Ok(Some("192.0.2.1".to_owned())));
            let same = client(ForwardedHeader::Forwarded, peer("10.0.0.1"), &[&format!("{sent}, for=192.0.2.1")]);
            prop_assert!(matches!(same.as_ref().map(Option::as_deref), Ok(Some("192.0.2.1")) | Err(_)), "{:?}", same);
        }

        #[test]
        fn any_line_is_a_list_or_none(line in "[ -~]{0,80}") {
            for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
                let _ = client(header, peer("10.0.0.1"), &[&line]);
            }
        }
    }
}
