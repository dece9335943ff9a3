//! UTF-8 in stretches: what a client sends is checked, what a target sends is made fit for text frames.
//!
//! Promise: however a text is cut, the verdict falls at the same byte, and what goes out is the same. At most three
//! bytes are kept between two stretches, those of a character that has begun.
//!
//! Whole stretches are checked by the standard library; only the bytes around a cut, or a mistake, go one by one.

use std::ops::Range;

/// The most that is kept of a character whose end has not come.
pub const HELD_BYTES_MAX: usize = 3;

/// Stands for bytes that are no UTF-8: U+FFFD.
const REPLACEMENT: [u8; 3] = *b"\xEF\xBF\xBD";

/// How much longer bytes can become when none of them is right: each by itself is replaced.
pub const REPLACED_FACTOR: usize = REPLACEMENT.len();

/// Checks a text that comes in stretches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validator {
    /// What the next byte of the character under way may be; None between characters.
    next: Option<Next>,
}

/// The bytes that may follow, after the table of RFC 3629 section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Next {
    low: u8,
    high: u8,
    /// How many more follow that one, each from 0x80 to 0xBF.
    more: u8,
}

impl Next {
    /// What may follow the first byte of a character of several. None: it begins none.
    fn after(first: u8) -> Option<Self> {
        let (low, high, more) = match first {
            0xC2..=0xDF => (0x80, 0xBF, 0),
            0xE0 => (0xA0, 0xBF, 1), // not what fits two bytes
            0xED => (0x80, 0x9F, 1), // no surrogates
            0xE1..=0xEF => (0x80, 0xBF, 1),
            0xF0 => (0x90, 0xBF, 2), // not what fits three
            0xF1..=0xF3 => (0x80, 0xBF, 2),
            0xF4 => (0x80, 0x8F, 2), // nothing above U+10FFFF
            _ => return None,
        };
        Some(Self { low, high, more })
    }
}

impl Validator {
    /// The next stretch. An error is where in it the first byte lies that nothing can make right any more.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.next.is_none() {
                match str::from_utf8(&bytes[at..]) {
                    Ok(_) => return Ok(()),
                    Err(error) => at += error.valid_up_to(),
                }
            }
            if !self.step(bytes[at]) {
                return Err(at);
            }
            at += 1;
        }
        Ok(())
    }

    /// Whether the text may end here.
    pub fn is_between_characters(self) -> bool {
        self.next.is_none()
    }

    fn step(&mut self, byte: u8) -> bool {
        self.next = match self.next {
            None if byte < 0x80 => None,
            None => match Next::after(byte) {
                None => return false,
                next => next,
            },
            Some(Next { low, high, .. }) if byte < low || byte > high => return false,
            Some(Next { more: 0, .. }) => None,
            Some(Next { more, .. }) => Some(Next { low: 0x80, high: 0xBF, more: more - 1 }),
        };
        true
    }
}

/// Makes text of bytes that come in stretches: the end of one that lies inside a character waits for the next, and what
/// is no UTF-8 becomes U+FFFD, one for each stretch that Unicode section 3.9 calls a maximal subpart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mender {
    held: [u8; HELD_BYTES_MAX],
    length: u8,
}

/// What a stretch became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// Where the text lies; may be empty.
    pub text: Range<usize>,
    /// How many bytes were replaced in it.
    pub replaced: usize,
}

impl Mender {
    /// Makes text of `buffer[bytes]`, behind what was held.
    ///
    /// # Panics
    /// When fewer than [`HELD_BYTES_MAX`] bytes lie before `bytes`; or when something must be replaced, and the buffer
    /// has no room behind the start for [`REPLACED_FACTOR`] times these bytes.
    pub fn mend(&mut self, buffer: &mut [u8], bytes: Range<usize>) -> Mended {
        let start = bytes.start - usize::from(self.length);
        buffer[start..bytes.start].copy_from_slice(&self.held[..usize::from(self.length)]);
        self.length = 0;
        let Err(first) = str::from_utf8(&buffer[start..bytes.end]) else {
            return Mended { text: start..bytes.end, replaced: 0 };
        };
        let good = start + first.valid_up_to();
        if first.error_len().is_none() {
            self.hold(&buffer[good..bytes.end]);
            return Mended { text: start..good, replaced: 0 };
        }
        let (end, replaced) = self.replace(buffer, good..bytes.end);
        Mended { text: start..end, replaced }
    }

    /// How many bytes wait for the rest of their character.
    pub fn held(self) -> usize {
        self.length.into()
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held[..bytes.len()].copy_from_slice(bytes);
        self.length = u8::try_from(bytes.len()).expect("the beginning of a character is at most three bytes");
    }

    /// The rest of a stretch in which something is wrong. It is moved out of the way first, to the buffer's end: what
    /// becomes of it grows from the left, at most three bytes for each that is read.
    fn replace(&mut self, buffer: &mut [u8], bytes: Range<usize>) -> (usize, usize) {
        let (mut to, mut at, mut replaced) = (bytes.start, buffer.len() - bytes.len(), 0);
        buffer.copy_within(bytes, at);
        while at < buffer.len() {
            let (good, wrong) = match str::from_utf8(&buffer[at..]) {
                Ok(text) => (text.len(), None),
                Err(error) => (error.valid_up_to(), Some(error.error_len())),
            };
            buffer.copy_within(at..at + good, to);
            (at, to) = (at + good, to + good);
            match wrong {
                None => {}
                Some(None) => {
                    self.hold(&buffer[at..]);
                    break;
                }
                Some(Some(length)) => {
                    buffer[to..to + REPLACEMENT.len()].copy_from_slice(&REPLACEMENT);
                    (at, to, replaced) = (at + length, to + REPLACEMENT.len(), replaced + length);
                }
            }
        }
        (to, replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where a text that comes in these stretches goes wrong, and whether it may end at its end.
    fn verdict<'a>(stretches: impl Iterator<Item = &'a [u8]>) -> (Option<usize>, bool) {
        let (mut validator, mut before) = (Validator::default(), 0);
        for stretch in stretches {
            if let Err(at) = validator.check(stretch) {
                return (Some(before + at), false);
            }
            before += stretch.len();
        }
        (None, validator.is_between_characters())
    }

    fn mended<'a>(stretches: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, usize, usize) {
        let mut mender = Mender::default();
        let (mut text, mut replaced) = (Vec::new(), 0);
        for stretch in stretches {
            let mut buffer = vec![0xEE; HELD_BYTES_MAX + REPLACED_FACTOR * (stretch.len() + HELD_BYTES_MAX)];
            let bytes = HELD_BYTES_MAX..HELD_BYTES_MAX + stretch.len();
            buffer[bytes.clone()].copy_from_slice(stretch);
            let mended = mender.mend(&mut buffer, bytes);
            assert!(str::from_utf8(&buffer[mended.text.clone()]).is_ok(), "cut inside a character");
            text.extend_from_slice(&buffer[mended.text]);
            replaced += mended.replaced;
        }
        (text, replaced, mender.held())
    }

    #[test]
    fn every_first_byte_and_its_second_are_judged_as_the_standard_library_does() {
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                let pair = [first, second];
                let (wrong, done) = verdict(pair.chunks(1));
                match str::from_utf8(&pair) {
                    Ok(_) => assert_eq!((wrong, done), (None, true), "{pair:x?}"),
                    Err(error) if error.error_len().is_none() => assert_eq!((wrong, done), (None, false), "{pair:x?}"),
                    Err(_) => assert!(wrong.is_some(), "{pair:x?}"),
                }
            }
        }
    }

    #[test]
    fn a_text_fails_at_the_first_byte_that_cannot_be_made_right() {
        for (text, at) in [
            (&b"caf\xE9 au lait"[..], 4),
            (b"\xFF", 0),
            (b"\xC0\x80", 0),
            (b"\xE2\x82x", 2),
            (b"\xED\xA0\x80", 1),
            (b"\xF4\x90\x80\x80", 1),
            (b"\xF0\x9F\x98\x41", 3),
        ] {
            assert_eq!(verdict([text].into_iter()), (Some(at), false));
        }
        assert_eq!(verdict([&b"\xF0\x9F\x98"[..]].into_iter()), (None, false));
    }

    #[test]
    fn what_is_no_text_is_replaced_and_counted() {
        assert_eq!(mended([&b"caf\xE9 \xFF\xFE!"[..]].into_iter()), ("caf\u{FFFD} \u{FFFD}\u{FFFD}!".into(), 3, 0));
        assert_eq!(mended([&b"\xE2\x82"[..], b"\xAC"].into_iter()), ("\u{20AC}".into(), 0, 0));
        assert_eq!(mended([&b"\xE2\x82"[..], b"x"].into_iter()), ("\u{FFFD}x".into(), 2, 0));
        assert_eq!(mended([&b"x\xF0\x9F\x98"[..]].into_iter()), ("x".into(), 0, 3));
        assert_eq!(mended([&[0xFF; 100][..]].into_iter()), ("\u{FFFD}".repeat(100).into(), 100, 0));
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => "\\PC{0,8}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_cutting_says_the_same(bytes in bytes(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let cut = || cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            let whole = || [bytes.as_slice()].into_iter();
            prop_assert_eq!(verdict(cut()), verdict(whole()));
            prop_assert_eq!(verdict(bytes.chunks(1)), verdict(whole()));
            prop_assert_eq!(verdict(whole()) == (None, true), str::from_utf8(&bytes).is_ok());

            let (text, replaced, held) = mended(whole());
            prop_assert_eq!(mended(cut()), (text.clone(), replaced, held));
            prop_assert_eq!(mended(bytes.chunks(1)), (text.clone(), replaced, held));
            let lossy = String::from_utf8_lossy(&bytes[..bytes.len() - held]);
            prop_assert_eq!(String::from_utf8(text).ok(), Some(lossy.into_owned()));
        }
    }
}
