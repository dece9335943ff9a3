//! The opening handshake of every version: RFC 6455 section 4.2 for 7, 8 and 13 ([`hybi`]), and that of the drafts before
//! ([`hixie`]).
//!
//! It works on the request alone, and on the eight bytes that draft 76 sends behind it; who may connect and whether the
//! target can be reached is decided elsewhere, between [`Opening::from_request`] and the answer. The answer is complete
//! and cannot carry a line of the client's: what it repeats are header values, which hold no line break.

pub mod hixie;
pub mod hybi;

use std::fmt;

use http::{HeaderMap, HeaderName, Request, StatusCode, header};

use super::codec::{Payload, Protocol, TextFrames};
use hixie::Challenge;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// All is said.
    Complete(Upgrade),
    /// The client of draft 76 has eight more bytes to say.
    Challenged(Challenge),
}

/// What a client asked for, and will get unless something else stands against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    version: Version,
    subprotocol: Option<Subprotocol>,
    answer: Vec<u8>,
}

/// The version that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// draft-hixie-thewebsocketprotocol-75.
    Hixie75,
    /// draft-hixie-thewebsocketprotocol-76, also known as draft-ietf-hybi-thewebsocketprotocol-00.
    Hixie76,
    /// As its clients announce the drafts 7, 8 to 12, and RFC 6455.
    HyBi(u8),
}

/// What a client can ask its payload to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subprotocol {
    /// Text that stands for bytes.
    Base64,
    /// Bytes.
    Binary,
}

/// Why a request for a WebSocket cannot be granted. Its text goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The drafts: the answer repeats it.
    #[error("Missing {0} header")]
    HeaderMissing(&'static str),
    /// Draft 76: digits, and spaces by whose number their number can be divided.
    #[error("Invalid {0} header")]
    HixieKey(&'static str),
    /// RFC 6455 section 4.2.1: base64 of 16 bytes.
    #[error("Invalid Sec-WebSocket-Key header")]
    Key,
    /// Without it there is no accept key.
    #[error("Missing Sec-WebSocket-Key header")]
    KeyMissing,
    /// The client offers subprotocols, and none that this server speaks.
    #[error("Invalid protocol selected")]
    Subprotocol,
    /// Not 7, 8 or 13.
    #[error("Unsupported protocol version {0}")]
    Version(String),
    /// A key of RFC 6455, and no version: it is none that we speak.
    #[error("Missing Sec-WebSocket-Version header")]
    VersionMissing,
}

impl HandshakeError {
    /// The HTTP status that says so: 426 where RFC 6455 section 4.4 wants the versions listed, 400 otherwise.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Version(_) => StatusCode::UPGRADE_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl Opening {
    /// Reads a request that asks for `Upgrade: websocket`, on a connection that is encrypted or not. `Connection` is not
    /// looked at: proxies mangle it, and the original did not.
    ///
    /// The version is what the client announces; clients that announce none speak a draft from before there were numbers.
    pub fn from_request(request: &Request<()>, is_tls: bool) -> Result<Self, HandshakeError> {
        let headers = request.headers();
        if headers.contains_key(header::SEC_WEBSOCKET_VERSION) {
            return hybi::open(headers).map(Self::Complete);
        }
        if headers.contains_key(header::SEC_WEBSOCKET_KEY) {
            return Err(HandshakeError::VersionMissing);
        }
        hixie::open(request, is_tls)
    }
}

impl Upgrade {
    /// The complete answer: the head of the 101, and what draft 76 has behind it.
    pub fn answer(&self) -> &[u8] {
        &self.answer
    }

    /// The version that was announced.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What is spoken behind the answer, on a route that does so with text frames. Base64 was made for clients that have
    /// no other frames: to them it is text.
    pub fn protocol(&self, text: TextFrames) -> Protocol {
        match (self.version, self.subprotocol) {
            (Version::Hixie75, _) => Protocol::Hixie75,
            (Version::Hixie76, _) => Protocol::Hixie76,
            (Version::HyBi(_), Some(Subprotocol::Base64)) => Protocol::HyBi(Payload::Base64),
            (Version::HyBi(_), Some(Subprotocol::Binary) | None) => Protocol::HyBi(Payload::Binary(text)),
        }
    }
}

impl Subprotocol {
    fn name(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Binary => "binary",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hixie75 => f.write_str("hixie-75"),
            Self::Hixie76 => f.write_str("hixie-76"),
            Self::HyBi(number) => number.fmt(f),
        }
    }
}

/// What is offered in all lines of a header, whatever spaces are around it.
fn offers<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter();
    let offers = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    offers.filter(|offer| !offer.is_empty())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    pub(super) fn request(uri: &str, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::get(uri).body(()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        request
    }

    fn opening(headers: &[(&'static str, &str)]) -> Result<Opening, HandshakeError> {
        Opening::from_request(&request("/", headers), false)
    }

    #[test]
    fn the_version_is_what_the_client_announces() {
        let version = |headers: &[(&'static str, &str)]| match opening(headers) {
            Ok(Opening::Complete(upgrade)) => upgrade.version().to_string(),
            Ok(Opening::Challenged(challenge)) => challenge.complete([0; 8]).version().to_string(),
            Err(error) => error.to_string(),
        };
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let (origin, host) = (("origin", "http://a"), ("host", "a"));
        let (key1, key2) = (("sec-websocket-key1", "1 2"), ("sec-websocket-key2", "1 2"));
        assert_eq!(version(&[("sec-websocket-version", "13"), key, origin, host]), "13");
        assert_eq!(version(&[("sec-websocket-version", "8"), key, key1, key2, origin, host]), "8");
        assert_eq!(version(&[key1, key2, origin, host]), "hixie-76");
        assert_eq!(version(&[origin, host]), "hixie-75");
        assert_eq!(version(&[key, origin, host]), "Missing Sec-WebSocket-Version header");
    }

    #[test]
    fn the_protocol_is_that_of_the_version_the_subprotocol_and_the_route() {
        let upgrade = |version, subprotocol| Upgrade { version, subprotocol, answer: Vec::new() };
        let protocol = |version, subprotocol| upgrade(version, subprotocol).protocol(TextFrames::Reply);
        let text = Protocol::HyBi(Payload::Binary(TextFrames::Reply));
        assert_eq!(protocol(Version::HyBi(13), None), text);
        assert_eq!(protocol(Version::HyBi(13), Some(Subprotocol::Binary)), text);
        assert_eq!(protocol(Version::HyBi(13), Some(Subprotocol::Base64)), Protocol::HyBi(Payload::Base64));
        assert_eq!(protocol(Version::Hixie75, None), Protocol::Hixie75);
        assert_eq!(protocol(Version::Hixie76, Some(Subprotocol::Base64)), Protocol::Hixie76);
    }

    proptest! {
        #[test]
        fn no_header_values_panic_or_add_a_line(
            uri in "/[a-z?&=%]{0,10}",
            chosen in prop::collection::vec((0..9_usize, "\\PC{0,40}|[ 0-9a-z]{1,20}"), 0..9),
            tls: bool,
        ) {
            const NAMES: [&str; 9] = [
                "sec-websocket-version", "sec-websocket-key", "sec-websocket-protocol", "sec-websocket-key1",
                "sec-websocket-key2", "websocket-protocol", "sec-websocket-draft", "origin", "host",
            ];
            let mut request = request(&uri, &[("origin", "http://a"), ("host", "a")]);
            for (name, value) in chosen {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    request.headers_mut().insert(HeaderName::from_static(NAMES[name]), value);
                }
            }
            let upgrade = match Opening::from_request(&request, tls) {
                Ok(Opening::Complete(upgrade)) => upgrade,
                Ok(Opening::Challenged(challenge)) => challenge.complete(*b"\r\n\r\n\r\n\r\n"),
                Err(_) => return Ok(()),
            };
            let end = upgrade.answer().windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            prop_assert_eq!(upgrade.answer().len() - end, if upgrade.version() == Version::Hixie76 { 16 } else { 0 });
            let lines = upgrade.answer()[..end].split(|&byte| byte == b'\n').count() - 1;
            prop_assert!((5..=7).contains(&lines), "{}", upgrade.answer().escape_ascii());
        }
    }
}
