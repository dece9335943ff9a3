//! Clients of drafts 75 and 76, as the browsers of 2010 were, and base64 as they had it. They share no code with the
//! product.

use std::io::{Read, Write};

use super::client::{Client, Head};

/// Which of the two a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draft {
    D75,
    D76,
}

pub const BOTH: [Draft; 2] = [Draft::D75, Draft::D76];

/// The keys of draft 76, section 1.2, and the answer to them.
pub const KEYS: &str = "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n";
pub const KEY3: &[u8; 8] = b"^n:ds[4U";
pub const RESPONSE: &[u8; 16] = b"8jKS'y:G*Co,Wxa-";

/// The frame that closes, of draft 76.
pub const CLOSE: &[u8; 2] = b"\xff\x00";

impl Draft {
    /// A request with its third key, where it has one. It is short, so that frames follow soon.
    pub fn request(self, path: &str) -> Vec<u8> {
        let keys = if self == Self::D76 { KEYS } else { "" };
        let head = format!("GET {path} HTTP/1.1\r\nUpgrade: WebSocket\r\nHost: h\r\nOrigin: http://o\r\n{keys}\r\n")
            .into_bytes();
        if self == Self::D76 { [head.as_slice(), KEY3].concat() } else { head }
    }

    /// The whole answer to [`request`](Self::request).
    pub fn answer(self, scheme: &str, path: &str) -> Vec<u8> {
        let (phrase, prefix, response) = match self {
            Self::D75 => ("Web Socket", "", &b""[..]),
            Self::D76 => ("WebSocket", "Sec-", &RESPONSE[..]),
        };
        let head = format!(
            "HTTP/1.1 101 {phrase} Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             {prefix}WebSocket-Origin: http://o\r\n{prefix}WebSocket-Location: {scheme}://h{path}\r\n\r\n"
        );
        [head.as_bytes(), response].concat()
    }

    /// What the server's last word is.
    pub fn close(self) -> &'static [u8] {
        if self == Self::D76 { CLOSE } else { b"" }
    }
}

/// A frame with these bytes in it.
pub fn frame(bytes: &[u8]) -> Vec<u8> {
    [b"\x00", encode(bytes).as_bytes(), b"\xff"].concat()
}

impl<S: Read + Write> Client<S> {
    /// Shakes hands as a client of this draft does, and looks at every byte of the answer.
    pub fn upgrade_hixie(&mut self, draft: Draft, scheme: &str) {
        self.send(&draft.request("/"));
        self.read_hixie_answer(draft, scheme, "/");
    }

    pub fn read_hixie_answer(&mut self, draft: Draft, scheme: &str, path: &str) {
        let Head { text, .. } = self.read_head();
        let mut answer = text.into_bytes();
        if draft == Draft::D76 {
            answer.extend(self.read_bytes(16));
        }
        assert_eq!(answer.escape_ascii().to_string(), draft.answer(scheme, path).escape_ascii().to_string());
    }

    pub fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads whole frames, each of which can be decoded by itself, until so many bytes have come; and nothing behind them.
    pub fn read_hixie(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut text: Option<Vec<u8>> = None;
        while bytes.len() < length || text.is_some() {
            // In however many frames the rest comes, it is no shorter.
            let characters = (length - bytes.len()).div_ceil(3) * 4;
            let least = text.as_ref().map_or(characters + 2, |text| characters + 1 - text.len());
            for byte in self.read_bytes(least) {
                text = match (text, byte) {
                    (None, 0x00) => Some(Vec::new()),
                    (None, other) => panic!("the first byte of a frame: {other:#04x}"),
                    (Some(text), 0xFF) => {
                        bytes.extend(decode(&text));
                        None
                    }
                    (Some(mut text), character) => {
                        text.push(character);
                        Some(text)
                    }
                };
            }
        }
        assert_eq!(bytes.len(), length);
        bytes
    }

    /// Everything up to the end of the stream.
    pub fn read_rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Padded base64. Written for speed without an optimizer, as tests of megabytes are run without.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len() / 3 * 4 + 4);
    for three in bytes.chunks(3) {
        let mut bits = u32::from(three[0]) << 16;
        if three.len() > 1 {
            bits |= u32::from(three[1]) << 8;
        }
        if three.len() > 2 {
            bits |= u32::from(three[2]);
        }
        text.push(ALPHABET[(bits >> 18) as usize]);
        text.push(ALPHABET[(bits >> 12 & 63) as usize]);
        text.push(if three.len() > 1 { ALPHABET[(bits >> 6 & 63) as usize] } else { b'=' });
        text.push(if three.len() > 2 { ALPHABET[(bits & 63) as usize] } else { b'=' });
    }
    String::from_utf8(text).unwrap()
}

/// One message of padded base64, as strict as a browser's `atob`.
pub fn decode(text: &[u8]) -> Vec<u8> {
    assert_eq!(text.len() % 4, 0, "a message is not padded: {}", text.escape_ascii());
    let characters = text.strip_suffix(b"=").unwrap_or(text);
    let characters = characters.strip_suffix(b"=").unwrap_or(characters);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for &character in characters {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => panic!("no base64: {other:#04x}"),
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
