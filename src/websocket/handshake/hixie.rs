//! The handshake of the drafts before there were version numbers: draft-hixie-thewebsocketprotocol-75, and -76, which
//! became draft-ietf-hybi-thewebsocketprotocol-00.
//!
//! Clients of -75 compare the first three lines of the answer byte by byte, "Web Socket" and the order included; those
//! of -76 read the status only, but compare the values of the headers. Both get base64, whatever they ask for, as from
//! the original: their frames carry text only.

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use md5::{Digest as _, Md5};

use super::{HandshakeError, Opening, Subprotocol, Upgrade, Version, offers};

/// How many bytes follow the head of a request of draft 76.
pub const KEY3_BYTES: usize = 8;

/// A request of draft 76, which its third key will complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    numbers: [u32; 2],
    upgrade: Upgrade,
}

impl Challenge {
    /// The third key is what follows the request's head.
    pub fn complete(self, key3: [u8; KEY3_BYTES]) -> Upgrade {
        let Self { numbers: [one, two], mut upgrade } = self;
        let numbers = Md5::new().chain_update(one.to_be_bytes()).chain_update(two.to_be_bytes());
        upgrade.answer.extend_from_slice(&numbers.chain_update(key3).finalize());
        upgrade
    }
}

/// What a request without a version asks for.
pub(super) fn open(request: &Request<()>, is_tls: bool) -> Result<Opening, HandshakeError> {
    let headers = request.headers();
    // Drafts 1 to 3 of HyBi were tried out with these keys and other frames, and said so.
    if let Some(draft) = headers.get("sec-websocket-draft").filter(|draft| draft.as_bytes() != b"0") {
        return Err(HandshakeError::Version(format!("draft {}", super::hybi::shown(draft))));
    }
    let key1 = either(headers, "sec-websocket-key1", "websocket-key1");
    let key2 = either(headers, "sec-websocket-key2", "websocket-key2");
    let numbers = match (key1, key2) {
        (None, None) => return Ok(Opening::Complete(upgrade(request, is_tls, Version::Hixie75)?)),
        (None, Some(_)) => return Err(HandshakeError::HeaderMissing("Sec-WebSocket-Key1")),
        (Some(_), None) => return Err(HandshakeError::HeaderMissing("Sec-WebSocket-Key2")),
        (Some(key1), Some(key2)) => [number(key1, "Sec-WebSocket-Key1")?, number(key2, "Sec-WebSocket-Key2")?],
    };
    let upgrade = upgrade(request, is_tls, Version::Hixie76)?;
    Ok(Opening::Challenged(Challenge { numbers, upgrade }))
}

/// The head of the answer.
fn upgrade(request: &Request<()>, is_tls: bool, version: Version) -> Result<Upgrade, HandshakeError> {
    let headers = request.headers();
    let origin = headers.get("origin").ok_or(HandshakeError::HeaderMissing("Origin"))?;
    let host = headers.get("host").ok_or(HandshakeError::HeaderMissing("Host"))?;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let (phrase, prefix) = match version {
        Version::Hixie75 => ("Web Socket Protocol Handshake", ""),
        _ => ("WebSocket Protocol Handshake", "Sec-"),
    };
    let scheme = if is_tls { "wss" } else { "ws" };
    let names = ["sec-websocket-protocol", "websocket-protocol"].map(HeaderName::from_static);
    // The drafts put spaces between names, the clients commas.
    let mut offered =
        names.iter().flat_map(|name| offers(headers, name)).flat_map(|some| some.split(|&byte| byte == b' '));
    let base64 = offered.any(|offer| offer == b"base64");

    let mut answer = format!("HTTP/1.1 101 {phrase}\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n").into_bytes();
    let mut line = |name: &str, parts: &[&[u8]]| {
        answer.extend_from_slice(prefix.as_bytes());
        answer.extend_from_slice(name.as_bytes());
        answer.extend_from_slice(&parts.concat());
        answer.extend_from_slice(b"\r\n");
    };
    line("WebSocket-Origin: ", &[origin.as_bytes()]);
    line("WebSocket-Location: ", &[scheme.as_bytes(), b"://", host.as_bytes(), path.as_bytes()]);
    if base64 {
        line("WebSocket-Protocol: ", &[b"base64"]);
    }
    answer.extend_from_slice(b"\r\n");
    Ok(Upgrade { version, subprotocol: base64.then_some(Subprotocol::Base64), answer })
}

/// A header by the name of -76, or the one that the original took as well.
fn either<'a>(headers: &'a HeaderMap, name: &'static str, old: &'static str) -> Option<&'a HeaderValue> {
    headers.get(name).or_else(|| headers.get(old))
}

/// The number that a key hides: its digits, divided by the number of its spaces.
fn number(key: &HeaderValue, name: &'static str) -> Result<u32, HandshakeError> {
    let wrong = || HandshakeError::HixieKey(name);
    let (mut digits, mut spaces) = (None, 0_u64);
    for byte in key.as_bytes() {
        match byte {
            b' ' => spaces += 1,
            b'0'..=b'9' => {
                let more = |number: u64| number.checked_mul(10)?.checked_add(u64::from(byte - b'0'));
                digits = Some(more(digits.unwrap_or(0)).ok_or_else(wrong)?);
            }
            _ => {}
        }
    }
    let digits = digits.ok_or_else(wrong)?;
    if spaces == 0 || digits % spaces != 0 {
        return Err(wrong());
    }
    u32::try_from(digits / spaces).map_err(|_| wrong())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::tests::request;
    use super::*;

    const ORIGIN: (&str, &str) = ("origin", "http://example.com");
    const HOST: (&str, &str) = ("host", "example.com");

    fn challenged(request: &Request<()>, key3: [u8; 8]) -> String {
        match open(request, false).unwrap() {
            Opening::Challenged(challenge) => String::from_utf8(challenge.complete(key3).answer().to_vec()).unwrap(),
            Opening::Complete(upgrade) => panic!("not of draft 76: {upgrade:?}"),
        }
    }

    fn complete(request: &Request<()>, is_tls: bool) -> Result<String, HandshakeError> {
        match open(request, is_tls)? {
            Opening::Complete(upgrade) => Ok(String::from_utf8(upgrade.answer().to_vec()).unwrap()),
            Opening::Challenged(challenge) => panic!("not of draft 75: {challenge:?}"),
        }
    }

    fn error(headers: &[(&'static str, &str)]) -> String {
        open(&request("/", headers), false).unwrap_err().to_string()
    }

    #[test]
    fn the_handshake_of_draft_76_section_1_2() {
        let request = request(
            "/demo",
            &[
                HOST,
                ("connection", "Upgrade"),
                ("sec-websocket-key2", "12998 5 Y3 1  .P00"),
                ("sec-websocket-protocol", "sample"),
                ("upgrade", "WebSocket"),
                ("sec-websocket-key1", "4 @1  46546xW%0l 1 5"),
                ORIGIN,
            ],
        );
        assert_eq!(
            challenged(&request, *b"^n:ds[4U"),
            "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Origin: http://example.com\r\nSec-WebSocket-Location: ws://example.com/demo\r\n\r\n\
             8jKS'y:G*Co,Wxa-"
        );
    }

    #[test]
    fn the_second_vector_of_draft_76() {
        let keys = [
            ("sec-websocket-key1", "18x 6]8vM;54 *(5:  {   U1]8  z [  8"),
            ("sec-websocket-key2", "1_ tx7X d  <  nw  334J702) 7]o}` 0"),
        ];
        let answer = challenged(&request("/", &[HOST, ORIGIN, keys[0], keys[1]]), *b"Tm[K T2u");
        assert!(answer.ends_with("\r\n\r\nfQJ,fN/4F4!~K~MH"), "{answer}");
        let old = [("websocket-key1", keys[0].1), ("websocket-key2", keys[1].1)];
        assert_eq!(challenged(&request("/", &[HOST, ORIGIN, old[0], old[1]]), *b"Tm[K T2u"), answer);
    }

    #[test]
    fn the_handshake_of_draft_75_section_1_2() {
        let headers = [("upgrade", "WebSocket"), ("connection", "Upgrade"), HOST, ORIGIN];
        let answer = "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
                      WebSocket-Origin: http://example.com\r\nWebSocket-Location: ws://example.com/demo\r\n\r\n";
        assert_eq!(complete(&request("/demo", &headers), false).unwrap(), answer);
    }

    #[test]
    fn the_location_is_the_client_s_with_its_query_and_scheme() {
        let headers = [("host", "example.com:8443"), ORIGIN, ("websocket-protocol", "binary base64")];
        let answer = complete(&request("/a/b?token=x&y", &headers), true).unwrap();
        assert!(answer.contains("\r\nWebSocket-Location: wss://example.com:8443/a/b?token=x&y\r\n"), "{answer}");
        assert!(answer.ends_with("\r\nWebSocket-Protocol: base64\r\n\r\n"), "{answer}");
    }

    #[test]
    fn keys_without_a_number_are_refused() {
        for bad in ["", "12345", "no digits", "1 3 2 5", "99999999999999999999999 9", "4294967296 0 0 0 0 0 0"] {
            let keys = [HOST, ORIGIN, ("sec-websocket-key1", "1 2"), ("sec-websocket-key2", bad)];
            assert_eq!(error(&keys), "Invalid Sec-WebSocket-Key2 header", "{bad}");
        }
        assert_eq!(number(&HeaderValue::from_static("4294967295 "), ""), Ok(u32::MAX));
        assert_eq!(number(&HeaderValue::from_static(" 0"), ""), Ok(0));
    }

    #[test]
    fn each_missing_header_is_named() {
        assert_eq!(error(&[HOST]), "Missing Origin header");
        assert_eq!(error(&[ORIGIN]), "Missing Host header");
        assert_eq!(error(&[HOST, ORIGIN, ("sec-websocket-key1", "1 2")]), "Missing Sec-WebSocket-Key2 header");
        assert_eq!(error(&[HOST, ORIGIN, ("sec-websocket-key2", "1 2")]), "Missing Sec-WebSocket-Key1 header");
        assert_eq!(error(&[HOST, ORIGIN, ("sec-websocket-draft", "2")]), "Unsupported protocol version draft 2");
    }
}
