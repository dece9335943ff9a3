//! Base64 as a client has it, without the code under test.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Written for speed without an optimizer, as what follows.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len() / 3 * 4 + 4);
    for three in bytes.chunks(3) {
        let second = three.get(1).copied();
        let third = three.get(2).copied();
        let bits = u32::from(three[0]) << 16 | u32::from(second.unwrap_or(0)) << 8 | u32::from(third.unwrap_or(0));
        text.push(ALPHABET[(bits >> 18) as usize]);
        text.push(ALPHABET[(bits >> 12 & 63) as usize]);
        text.push(if second.is_some() { ALPHABET[(bits >> 6 & 63) as usize] } else { b'=' });
        text.push(if third.is_some() { ALPHABET[(bits & 63) as usize] } else { b'=' });
    }
    String::from_utf8(text).unwrap()
}

/// One message, which must be padded and whole, or of one that was cut off the quanta that are.
pub(crate) fn decode(text: &[u8], whole: bool) -> Vec<u8> {
    assert!(!whole || text.len().is_multiple_of(4), "a message is not padded: {}", text.escape_ascii());
    let text = &text[..text.len() / 4 * 4];
    let end = text.iter().position(|&character| character == b'=').unwrap_or(text.len());
    assert!(text.len() - end <= 2 && text[end..].iter().all(|&character| character == b'='), "padding inside");
    Eager::default().decode(text)
}

/// Gives every byte with the character that completes it.
#[derive(Default)]
pub(crate) struct Eager {
    bits: u32,
    count: u32,
}

impl Eager {
    pub(crate) fn decode(&mut self, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &character in text {
            let value = match character {
                b'A'..=b'Z' => character - b'A',
                b'a'..=b'z' => character - b'a' + 26,
                b'0'..=b'9' => character - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => {
                    *self = Self::default();
                    continue;
                }
                other => panic!("no base64: {other:#04x}"),
            };
            self.bits = self.bits << 6 | u32::from(value);
            self.count += 6;
            if self.count >= 8 {
                self.count -= 8;
                bytes.push((self.bits >> self.count) as u8);
                self.bits &= (1 << self.count) - 1;
            }
        }
        bytes
    }
}
