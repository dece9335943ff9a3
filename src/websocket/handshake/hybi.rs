//! The handshake of the versions 7, 8 and 13, RFC 6455 section 4.2.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};
use http::{HeaderMap, HeaderValue, header};
use sha1::{Digest as _, Sha1};

use super::{HandshakeError, Subprotocol, Upgrade, Version, offers};

/// The string that every accept key is made with, RFC 6455 section 1.3.
const KEY_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Reads keys whose last character has bits that do not count, as other servers do: some clients draw it at random too.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// How much of a wrong version goes into the answer and the log.
const VERSION_BYTES_SHOWN: usize = 32;

/// The versions for a client that asked for another, RFC 6455 section 4.4.
pub const VERSIONS: HeaderValue = HeaderValue::from_static("13, 8, 7");

/// What a request with a version asks for.
pub(super) fn open(headers: &HeaderMap) -> Result<Upgrade, HandshakeError> {
    let version = version(headers)?;
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(HandshakeError::KeyMissing)?.as_bytes().trim_ascii();
    if LENIENT.decode(key).map_or(0, |key| key.len()) != 16 {
        return Err(HandshakeError::Key);
    }
    let subprotocol = choose(headers)?;
    let mut answer = Vec::with_capacity(192);
    answer.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
    answer.extend_from_slice(b"Sec-WebSocket-Accept: ");
    answer.extend_from_slice(accept_key(key).as_bytes());
    if let Some(subprotocol) = subprotocol {
        answer.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        answer.extend_from_slice(subprotocol.name().as_bytes());
    }
    answer.extend_from_slice(b"\r\n\r\n");
    Ok(Upgrade { version, subprotocol, answer })
}

/// A header value as an answer and the log may show it.
pub(super) fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(&value.as_bytes()[..value.len().min(VERSION_BYTES_SHOWN)]).into_owned()
}

fn version(headers: &HeaderMap) -> Result<Version, HandshakeError> {
    let mut versions = headers.get_all(header::SEC_WEBSOCKET_VERSION).iter();
    let version = versions.next_back().ok_or(HandshakeError::VersionMissing)?;
    match version.as_bytes().trim_ascii() {
        // RFC 6455 section 11.3.5: it stands once.
        _ if versions.next().is_some() => Err(HandshakeError::Version(shown(version))),
        b"7" => Ok(Version::HyBi(7)),
        b"8" => Ok(Version::HyBi(8)),
        b"13" => Ok(Version::HyBi(13)),
        _ => Err(HandshakeError::Version(shown(version))),
    }
}

fn accept_key(key: &[u8]) -> String {
    BASE64.encode(Sha1::new().chain_update(key).chain_update(KEY_GUID).finalize())
}

/// `binary` when it is offered, else `base64`. Offers without either are refused, but no offer, or an empty one, is fine:
/// noVNC from 1.2 on makes none.
fn choose(headers: &HeaderMap) -> Result<Option<Subprotocol>, HandshakeError> {
    let offered = |name: &[u8]| offers(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|offer| offer == name);
    if offered(b"binary") {
        Ok(Some(Subprotocol::Binary))
    } else if offered(b"base64") {
        Ok(Some(Subprotocol::Base64))
    } else if offers(headers, &header::SEC_WEBSOCKET_PROTOCOL).next().is_none() {
        Ok(None)
    } else {
        Err(HandshakeError::Subprotocol)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::tests::request;
    use super::*;
    use http::StatusCode;

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");

    fn upgrade(headers: &[(&'static str, &str)]) -> Result<Upgrade, HandshakeError> {
        open(request("/", headers).headers())
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
        assert_eq!(str::from_utf8(with.answer()).unwrap(), expected);
        let without = upgrade(&[("sec-websocket-version", "13"), KEY]).unwrap();
        assert!(!str::from_utf8(without.answer()).unwrap().contains("Protocol:"));
    }

    #[test]
    fn subprotocols_are_chosen_as_documented() {
        let choose = |lines: &[&str]| {
            let mut headers = vec![("sec-websocket-version", "13"), KEY];
            headers.extend(lines.iter().map(|line| ("sec-websocket-protocol", *line)));
            upgrade(&headers).map(|upgrade| upgrade.subprotocol.map(Subprotocol::name))
        };
        assert_eq!(choose(&[]), Ok(None));
        assert_eq!(choose(&[""]), Ok(None));
        for offer in ["binary", "binary, base64", "base64,binary", "base64, binary", " binary "] {
            assert_eq!(choose(&[offer]), Ok(Some("binary")), "{offer}");
        }
        assert_eq!(choose(&["base64", "binary"]), Ok(Some("binary")));
        for offer in ["base64", "vnc, base64", " base64 "] {
            assert_eq!(choose(&[offer]), Ok(Some("base64")), "{offer}");
        }
        for offer in ["vnc", "binary2", "Binary", "base64 binary", "BASE64"] {
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
        assert_eq!(upgrade(&[("sec-websocket-version", "13")]), Err(HandshakeError::KeyMissing));
        for bad in ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSEh"] {
            let headers = [("sec-websocket-version", "13"), ("sec-websocket-key", bad)];
            assert_eq!(upgrade(&headers), Err(HandshakeError::Key), "{bad}");
        }
    }
}
