//! Bytes as the inside of a JavaScript string in single quotes, and back.
//!
//! Promise: what is written is ASCII without a line break, the text that Python's `unicode_escape` makes with `'` escaped as
//! well, byte for byte as the original wrote it. What is read is any such text, and whatever else has ever stood in a recording:
//! Python's `repr` with either quote, and JavaScript's own escapes. Pure: no file, no clock.

/// The longest that one byte becomes.
pub(super) const ESCAPED_BYTES_MAX: usize = 4;

/// What each byte becomes, in the first `LENGTHS` of four bytes.
static TEXTS: [[u8; ESCAPED_BYTES_MAX]; 256] = tables().0;
static LENGTHS: [u8; 256] = tables().1;

const fn tables() -> ([[u8; ESCAPED_BYTES_MAX]; 256], [u8; 256]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut texts = [[0; ESCAPED_BYTES_MAX]; 256];
    let mut lengths = [0; 256];
    let mut index = 0;
    let mut byte = 0_u8;
    loop {
        (texts[index], lengths[index]) = match byte {
            b'\t' => (*b"\\t  ", 2),
            b'\n' => (*b"\\n  ", 2),
            b'\r' => (*b"\\r  ", 2),
            b'\\' => (*b"\\\\  ", 2),
            b'\'' => (*b"\\'  ", 2),
            b' '..=b'~' => ([byte, b' ', b' ', b' '], 1),
            _ => ([b'\\', b'x', DIGITS[(byte >> 4) as usize], DIGITS[(byte & 0xF) as usize]], 4),
        };
        if byte == u8::MAX {
            return (texts, lengths);
        }
        byte += 1;
        index += 1;
    }
}

/// Writes `bytes` escaped to the beginning of `out`, which has [`ESCAPED_BYTES_MAX`] bytes of room for each, and returns how many
/// bytes that took.
///
/// Each byte copies four and then counts only those that are its own: no branch depends on what the bytes are.
pub(super) fn escape(bytes: &[u8], out: &mut [u8]) -> usize {
    let out = &mut out[..bytes.len() * ESCAPED_BYTES_MAX];
    let mut end = 0;
    for &byte in bytes {
        if let Some(room) = out.get_mut(end..end + ESCAPED_BYTES_MAX) {
            room.copy_from_slice(&TEXTS[usize::from(byte)]);
        }
        end += usize::from(LENGTHS[usize::from(byte)]);
    }
    end
}

/// What is wrong with a string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StringError {
    /// `\x` without two hexadecimal digits, and the like; or a backslash before what is never escaped.
    #[error("'{0}' is no escape sequence")]
    Escape(String),
    /// A character that is no byte.
    #[error("a character that is no byte: a recording has none above U+00FF")]
    NotAByte,
    /// No quote at the end.
    #[error("the string has no closing quote")]
    Unclosed,
}

/// Reads the string that `text` begins with, whose first byte is its quote: its bytes, and what follows its closing quote.
pub(super) fn unescape(text: &[u8]) -> Result<(Vec<u8>, &[u8]), StringError> {
    let (&quote, mut rest) = text.split_first().ok_or(StringError::Unclosed)?;
    let mut bytes = Vec::with_capacity(rest.len());
    loop {
        let plain = rest.iter().position(|&byte| byte == quote || byte == b'\\' || !byte.is_ascii());
        let at = plain.ok_or(StringError::Unclosed)?;
        bytes.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if rest[0] == quote {
            return Ok((bytes, &rest[1..]));
        }
        let (byte, used) = if rest[0] == b'\\' { escaped(rest)? } else { latin(rest)? };
        bytes.push(byte);
        rest = &rest[used..];
    }
}

/// The byte of the escape sequence that `text` begins with, and the length of that.
fn escaped(text: &[u8]) -> Result<(u8, usize), StringError> {
    let code = *text.get(1).ok_or(StringError::Unclosed)?;
    let hexadecimal = |digits: usize| {
        let end = 2 + digits;
        let wrong = || StringError::Escape(String::from_utf8_lossy(&text[..end.min(text.len())]).into_owned());
        let digits = text.get(2..end).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(wrong)?;
        let number = u32::from_str_radix(digits, 16).map_err(|_| wrong())?;
        u8::try_from(number).map(|byte| (byte, end)).map_err(|_| StringError::NotAByte)
    };
    Ok(match code {
        b'\\' | b'\'' | b'"' | b'/' => (code, 2),
        b't' => (b'\t', 2),
        b'n' => (b'\n', 2),
        b'r' => (b'\r', 2),
        b'b' => (0x08, 2),
        b'f' => (0x0C, 2),
        b'v' => (0x0B, 2),
        b'0' if !text.get(2).is_some_and(u8::is_ascii_digit) => (0, 2),
        b'x' => return hexadecimal(2),
        b'u' => return hexadecimal(4),
        _ => return Err(StringError::Escape(String::from_utf8_lossy(&text[..2]).into_owned())),
    })
}

/// The byte that a character of two bytes of UTF-8 stands for: under Python 3, `repr` left the printable ones of Latin-1 as they
/// are, and browsers read them so.
fn latin(text: &[u8]) -> Result<(u8, usize), StringError> {
    match text {
        [lead @ 0xC2..=0xC3, follow @ 0x80..=0xBF, ..] => Ok(((lead << 6) | (follow & 0x3F), 2)),
        _ => Err(StringError::NotAByte),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn written(bytes: &[u8]) -> String {
        let mut out = vec![0; bytes.len() * ESCAPED_BYTES_MAX];
        let end = escape(bytes, &mut out);
        out.truncate(end);
        String::from_utf8(out).unwrap()
    }

    /// What the original wrote for each byte, as it was recorded from it.
    #[test]
    fn every_byte_is_written_as_the_original_wrote_it() {
        let all: Vec<u8> = (0..=255).collect();
        let mut expected = String::from(r"\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f");
        expected += r"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f";
        expected +=
            r##" !"#$%&\'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"##;
        for byte in 0x7F..=0xFF {
            write!(expected, "\\x{byte:02x}").unwrap();
        }
        assert_eq!(written(&all), expected);
    }

    #[test]
    fn every_form_that_ever_stood_in_a_recording_is_read() {
        let cases: [(&[u8], &[u8]); 7] = [
            (br#""it's""#, b"it's"),
            (br#"'say \"hi\"'"#, br#"say "hi""#),
            (br"'\x41\u0042\x2e'", b"AB."),
            (br"'\b\f\v\0'", b"\x08\x0C\x0B\0"),
            (b"'caf\xC3\xA9 \xC2\xB5'", b"caf\xE9 \xB5"),
            (b"''", b""),
            (br"'\\x41'", br"\x41"),
        ];
        for (text, bytes) in cases {
            assert_eq!(unescape(text), Ok((bytes.to_vec(), &b""[..])), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_is_no_string_says_why() {
        let escape = |text: &str| Err(StringError::Escape(text.to_owned()));
        assert_eq!(unescape(br"'\x4'"), escape(r"\x4'"));
        assert_eq!(unescape(br"'\q'"), escape(r"\q"));
        assert_eq!(unescape(br"'\01'"), escape(r"\0"));
        assert_eq!(unescape(br"'\u0141'"), Err(StringError::NotAByte));
        assert_eq!(unescape("'€'".as_bytes()), Err(StringError::NotAByte));
        for text in [&b""[..], b"'", b"'abc", b"'abc\\", b"'abc\\'"] {
            assert_eq!(unescape(text), Err(StringError::Unclosed));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..2000), behind in "[,\\]; ]{0,3}") {
            let text = written(&bytes);
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let text = format!("'{text}'{behind}");
            prop_assert_eq!(unescape(text.as_bytes()), Ok((bytes, behind.as_bytes())));
        }
    }
}
