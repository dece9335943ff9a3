//! The opening handshake, RFC 6455 section 4.2, for the versions 7, 8 and 13.
//!
//! It works on the request's head alone; who may connect and whether the target can be reached is decided elsewhere,
//! between [`Upgrade::from_request`] and the answer.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha1::{Digest as _, Sha1};

/// The string that every accept key is made with, RFC 6455 section 1.3.
const KEY_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Reads keys whose last character has bits that do not count, as other servers do: some clients draw it at random too.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// What a client asked for, and will get unless something else stands against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    accept: String,
    /// Whether the subprotocol `binary` was offered, and hence is chosen.
    binary: bool,
}

/// Why a request for a WebSocket cannot be granted. Its text goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Without it there is no accept key.
    #[error("Missing Sec-WebSocket-Key header")]
    KeyMissing,
    /// RFC 6455 section 4.2.1: base64 of 16 bytes.
    #[error("Invalid Sec-WebSocket-Key header")]
    Key,
    /// The client offers subprotocols, and none that this server speaks.
    #[error("Invalid protocol selected")]
    Subprotocol,
    /// Not 7, 8 or 13.
    #[error("Unsupported protocol version {0}")]
    Version(String),
    /// As sent by clients of drafts that knew no version.
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

/// How much of a wrong version goes into the answer and the log.
const VERSION_BYTES_SHOWN: usize = 32;

/// The versions for a client that asked for another, RFC 6455 section 4.4.
pub const VERSIONS: HeaderValue = HeaderValue::from_static("13, 8, 7");

impl Upgrade {
    /// Reads the headers of a request that asks for `Upgrade: websocket`. `Connection` is not looked at: proxies mangle
    /// it, and the original did not.
    pub fn from_request(headers: &HeaderMap) -> Result<Self, HandshakeError> {
        let mut versions = headers.get_all("sec-websocket-version").iter();
        let version = versions.next_back().ok_or(HandshakeError::VersionMissing)?;
        // RFC 6455 section 11.3.5: it stands once.
        if !matches!(version.as_bytes().trim_ascii(), b"7" | b"8" | b"13") || versions.next().is_some() {
            let shown = &version.as_bytes()[..version.len().min(VERSION_BYTES_SHOWN)];
            return Err(HandshakeError::Version(String::from_utf8_lossy(shown).into_owned()));
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(HandshakeError::KeyMissing)?.as_bytes().trim_ascii();
        if LENIENT.decode(key).map_or(0, |key| key.len()) != 16 {
            return Err(HandshakeError::Key);
        }
        Ok(Self { accept: accept_key(key), binary: offers_binary(headers)? })
    }

    /// The complete head of the 101 answer.
    pub fn answer(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(192);
        head.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        head.extend_from_slice(b"Sec-WebSocket-Accept: ");
        head.extend_from_slice(self.accept.as_bytes());
        if self.binary {
            head.extend_from_slice(b"\r\nSec-WebSocket-Protocol: binary");
        }
        head.extend_from_slice(b"\r\n\r\n");
        head
    }
}

fn accept_key(key: &[u8]) -> String {
    BASE64.encode(Sha1::new().chain_update(key).chain_update(KEY_GUID).finalize())
}

/// Whether `binary` is among the offered subprotocols, over all header lines, whatever spaces are around it. Offers
/// without it are refused, but no offer, or an empty one, is fine: noVNC from 1.2 on makes none.
fn offers_binary(headers: &HeaderMap) -> Result<bool, HandshakeError> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offers = lines
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|offer| !offer.is_empty())
        .peekable();
    match (offers.peek().is_some(), offers.any(|offer| offer == b"binary")) {
        (true, false) => Err(HandshakeError::Subprotocol),
        (_, binary) => Ok(binary),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use http::HeaderName;
    use proptest::prelude::*;

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");

    fn upgrade(headers: &[(&'static str, &str)]) -> Result<Upgrade, HandshakeError> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        Upgrade::from_request(&headers)
    }

    #[test]
    fn accept_keys_are_those_of_rfc_6455_and_the_original() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accept_key(b"DKURYVK9cRFul1vOZVA56Q=="), "pczpYSQsvE1vBpTQYjFQPcuoj6M=");
    }

    #[test]
    fn the_answer_names_the_subprotocol_only_when_it_was_offered() {
        let with =
            upgrade(&[("sec-websocket-version", "13"), KEY, ("sec-websocket-protocol", "base64, binary")]).unwrap();
        let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: binary\r\n\r\n";
        assert_eq!(String::from_utf8(with.answer()).unwrap(), expected);
        let without = upgrade(&[("sec-websocket-version", "13"), KEY]).unwrap();
        assert!(!String::from_utf8(without.answer()).unwrap().contains("Protocol:"));
    }

    #[test]
    fn subprotocols_are_chosen_as_documented() {
        let choose = |lines: &[&str]| {
            let mut headers = vec![("sec-websocket-version", "13"), KEY];
            headers.extend(lines.iter().map(|line| ("sec-websocket-protocol", *line)));
            upgrade(&headers).map(|upgrade| upgrade.binary)
        };
        assert_eq!(choose(&[]), Ok(false));
        assert_eq!(choose(&[""]), Ok(false));
        for offer in ["binary", "binary, base64", "base64,binary", "base64, binary", " binary "] {
            assert_eq!(choose(&[offer]), Ok(true), "{offer}");
        }
        for offer in ["base64", "vnc", "binary2", "Binary"] {
            assert_eq!(choose(&[offer]), Err(HandshakeError::Subprotocol), "{offer}");
        }
    }

    #[test]
    fn each_missing_or_wrong_header_is_named() {
        let version = |version| upgrade(&[("sec-websocket-version", version), KEY]);
        for good in ["7", "8", "13"] {
            assert!(version(good).is_ok());
        }
        for bad in ["", "0", "12", "14", "13, 8", "x"] {
            assert_eq!(version(bad).unwrap_err().status(), StatusCode::UPGRADE_REQUIRED, "{bad}");
        }
        assert_eq!(upgrade(&[KEY]), Err(HandshakeError::VersionMissing));
        assert_eq!(upgrade(&[("sec-websocket-version", "13")]), Err(HandshakeError::KeyMissing));
        for bad in ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSEh"] {
            let headers = [("sec-websocket-version", "13"), ("sec-websocket-key", bad)];
            assert_eq!(upgrade(&headers), Err(HandshakeError::Key), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_header_values_panic(version in "\\PC{0,20}", key in "\\PC{0,40}", protocol in "\\PC{0,40}") {
            let headers = [("sec-websocket-version", version), ("sec-websocket-key", key), ("sec-websocket-protocol", protocol)]
                .into_iter()
                .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?)))
                .collect();
            let _ = Upgrade::from_request(&headers);
        }
    }
}
