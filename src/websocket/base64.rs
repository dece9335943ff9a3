//! Bytes as base64, for clients whose frames carry nothing but text.
//!
//! Promise: both directions work in the caller's buffer. The decoder keeps less than a byte between two stretches of
//! input, and says the same however they are cut, across frames and messages too; every byte goes out with the
//! character that completes it. What is encoded is padded, and can be decoded by itself.
//!
//! The decoder takes the alphabet of RFC 4648 section 4 and nothing else, with padding at the end of a message. Lenient
//! in one point, like the original's: bits that padding leaves over need not be 0.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::ProtocolError;

/// What [`encode`] takes at a time: whole quanta, and little enough for the stack and the nearest cache.
const CHUNK_BYTES: usize = 768;

/// How many characters `length` bytes become.
pub const fn encoded_length(length: usize) -> usize {
    length.div_ceil(3) * 4
}

/// Encodes the first `length` bytes of `buffer` where they lie, and returns how many characters they became.
///
/// It goes from the last bytes to the first, as what becomes of them lies behind where they were.
///
/// # Panics
/// When `buffer` has no room for the [`encoded_length`].
pub fn encode(buffer: &mut [u8], length: usize) -> usize {
    let mut chunk = [0; CHUNK_BYTES];
    let mut end = length;
    while end > 0 {
        let start = (end - 1) / CHUNK_BYTES * CHUNK_BYTES;
        let bytes = &mut chunk[..end - start];
        bytes.copy_from_slice(&buffer[start..end]);
        let place = encoded_length(start)..encoded_length(end);
        STANDARD.encode_slice(bytes, &mut buffer[place]).expect("room for what was calculated");
        end = start;
    }
    encoded_length(length)
}

/// The state of a client's stream of characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoder {
    place: Place,
    /// The bits of the last character that have not gone out, at most six.
    rest: u8,
}

/// Where in a quantum of four characters the stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    First,
    Second,
    Third,
    Fourth,
    /// Behind a `=` in the third place.
    Padding,
    /// Behind a quantum with padding: the message ends here.
    Padded,
}

impl Decoder {
    /// Decodes the characters in `buffer[from]` to `buffer[*to..]`, and moves `to` behind what they became. At the first
    /// wrong one it ends, with the bytes before it decoded.
    ///
    /// `to` is at most `from.start`; what is written never reaches what is still to be read, as no number of characters
    /// completes more bytes than itself.
    pub fn decode(&mut self, buffer: &mut [u8], from: Range<usize>, to: &mut usize) -> Result<(), ProtocolError> {
        debug_assert!(*to <= from.start, "decoded over what is still to be read");
        let mut at = from.start;
        while at < from.end {
            if self.place == Place::First {
                at += decode_quanta(buffer, at..from.end, to);
                if at == from.end {
                    break;
                }
            }
            if let Some(byte) = self.step(buffer[at])? {
                buffer[*to] = byte;
                *to += 1;
            }
            at += 1;
        }
        Ok(())
    }

    /// The message has ended. A quantum under way may go on in the next one, but behind padding begins a new one.
    pub fn end_message(&mut self) {
        if self.place == Place::Padded {
            self.place = Place::First;
        }
    }

    /// The next character, and the byte that it completes.
    fn step(&mut self, character: u8) -> Result<Option<u8>, ProtocolError> {
        if character == b'=' {
            self.place = match self.place {
                Place::Third => Place::Padding,
                Place::Fourth | Place::Padding => Place::Padded,
                Place::First | Place::Second | Place::Padded => return Err(ProtocolError::Base64Padding),
            };
            return Ok(None);
        }
        if matches!(self.place, Place::Padding | Place::Padded) {
            return Err(ProtocolError::Base64Padding);
        }
        let Ok(value) = u8::try_from(VALUES[3][usize::from(character)]) else {
            return Err(ProtocolError::Base64(character)); // NONE
        };
        let (byte, next) = match self.place {
            Place::First => (None, Place::Second),
            Place::Second => (Some(self.rest << 2 | value >> 4), Place::Third),
            Place::Third => (Some(self.rest << 4 | value >> 2), Place::Fourth),
            Place::Fourth | Place::Padding | Place::Padded => (Some(self.rest << 6 | value), Place::First),
        };
        (self.rest, self.place) = (value, next);
        Ok(byte)
    }
}

/// Decodes quanta without padding, two at a time, up to two of which one is wrong or not there, and returns how many
/// characters they were. By fours and with a table of bytes it took more than twice as long.
fn decode_quanta(buffer: &mut [u8], from: Range<usize>, to: &mut usize) -> usize {
    let (mut at, mut end) = (from.start, *to);
    while at + 8 <= from.end
        && let Some(&[a, b, c, d, e, f, g, h]) = buffer[at..].first_chunk()
    {
        let (first, second) = (quantum([a, b, c, d]), quantum([e, f, g, h]));
        if (first | second) & NONE != 0 {
            break;
        }
        let bits = u64::from(first) << 24 | u64::from(second);
        buffer[end..end + 6].copy_from_slice(&bits.to_be_bytes()[2..]);
        (at, end) = (at + 8, end + 6);
    }
    *to = end;
    at - from.start
}

/// The 24 bits of four characters, or [`NONE`] among them.
fn quantum([a, b, c, d]: [u8; 4]) -> u32 {
    let [first, second, third, fourth] = &VALUES;
    first[usize::from(a)] | second[usize::from(b)] | third[usize::from(c)] | fourth[usize::from(d)]
}

/// What a character stands for that is none of the alphabet's; above every quantum.
const NONE: u32 = 1 << 31;

/// What each character stands for, in each place of a quantum.
static VALUES: [[u32; 256]; 4] = [values(18), values(12), values(6), values(0)];

const fn values(shift: u32) -> [u32; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [NONE; 256];
    let mut value = 0_u32;
    while value < 64 {
        values[alphabet[value as usize] as usize] = value << shift;
        value += 1;
    }
    values
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes messages, each cut into pieces, every piece at the start of a buffer that has no room to spare.
    fn decoded<'a>(
        messages: impl IntoIterator<Item = impl IntoIterator<Item = &'a [u8]>>,
    ) -> (Vec<u8>, Option<ProtocolError>) {
        let mut decoder = Decoder::default();
        let mut bytes = Vec::new();
        for message in messages {
            for piece in message {
                let (mut buffer, mut to) = (piece.to_vec(), 0);
                let outcome = decoder.decode(&mut buffer, 0..piece.len(), &mut to);
                bytes.extend_from_slice(&buffer[..to]);
                if let Err(error) = outcome {
                    return (bytes, Some(error));
                }
            }
            decoder.end_message();
        }
        (bytes, None)
    }

    fn one(text: &[u8]) -> (Vec<u8>, Option<ProtocolError>) {
        decoded([[text]])
    }

    #[test]
    fn the_vectors_of_rfc_4648_section_10() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut buffer = [bytes.as_bytes(), &[0xEE; 8]].concat();
            let length = encode(&mut buffer, bytes.len());
            assert_eq!(str::from_utf8(&buffer[..length]), Ok(text));
            assert_eq!(one(text.as_bytes()), (bytes.as_bytes().to_vec(), None));
        }
    }

    #[test]
    fn padding_stands_at_the_end_of_a_message_and_nowhere_else() {
        let messages: [&[u8]; 3] = [b"Zg==", b"Zm8=", b"Zm9v"];
        assert_eq!(decoded(messages.map(|message| [message])), (b"ffofoo".to_vec(), None));
        for (text, before) in [
            (&b"="[..], &b""[..]),
            (b"Z=", b""),
            (b"Zg=Z", b"f"),
            (b"Zg==Zg==", b"f"),
            (b"Zg===", b"f"),
            (b"Zm8=Z", b"fo"),
            (b"Zm9v=", b"foo"),
        ] {
            assert_eq!(one(text), (before.to_vec(), Some(ProtocolError::Base64Padding)), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_message_may_end_in_the_middle_of_a_quantum_and_of_its_padding() {
        let messages: [&[u8]; 4] = [b"Z", b"m9vYg", b"=", b"="];
        assert_eq!(decoded(messages.map(|message| [message])), (b"foob".to_vec(), None));
    }

    #[test]
    fn the_bytes_before_a_wrong_character_are_decoded() {
        for wrong in [b'-', b'_', b' ', b'\n', 0, 0xC3, 0xFF] {
            let text = [b"Zm9vY".as_slice(), &[wrong], b"mFy"].concat();
            assert_eq!(one(&text), (b"foo".to_vec(), Some(ProtocolError::Base64(wrong))));
            let text = [b"Zm9vYm".as_slice(), &[wrong], b"Fy"].concat();
            assert_eq!(one(&text), (b"foob".to_vec(), Some(ProtocolError::Base64(wrong))));
        }
    }

    #[test]
    fn bits_that_padding_leaves_over_do_not_count() {
        assert_eq!(one(b"Zh=="), (b"f".to_vec(), None));
        assert_eq!(one(b"Zm9="), (b"fo".to_vec(), None));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_what_the_crate_says_and_is_decoded_again(
            bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..100), prop::collection::vec(any::<u8>(), 760..2400)],
            gap in 0..5_usize,
        ) {
            let mut buffer = bytes.clone();
            buffer.resize(encoded_length(bytes.len()), 0xEE);
            let length = encode(&mut buffer, bytes.len());
            prop_assert_eq!(length, buffer.len());
            prop_assert_eq!(str::from_utf8(&buffer), Ok(&*STANDARD.encode(&bytes)));
            let mut buffer = [vec![0xEE; gap], buffer].concat();
            let mut to = 0;
            Decoder::default().decode(&mut buffer, gap..gap + length, &mut to).unwrap();
            prop_assert_eq!(&buffer[..to], &bytes);
        }

        #[test]
        fn any_cutting_says_the_same(
            text in "[A-Za-z0-9+/]{0,40}(=|==|)[A-Za-z=*]{0,3}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let text = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decoded([pieces]), one(text));
            prop_assert_eq!(decoded([text.chunks(1)]), one(text));
        }

        #[test]
        fn a_stream_without_padding_may_be_cut_into_messages_anywhere(bytes: Vec<u8>, size in 1..20_usize) {
            let text = STANDARD.encode(&bytes);
            let text = text.trim_end_matches('=').as_bytes();
            prop_assert_eq!(decoded(text.chunks(size).map(|message| [message])), (bytes, None));
        }
    }
}
