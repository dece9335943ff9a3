//! Recordings, read line by line: those of this program, of every version of the original, and of its relatives.
//!
//! Versions 0.3 to 0.8 wrote a line with the encoding first, `binary` or `base64`, the latter with payloads as they were on the
//! wire; their strings are Python's, in either quote. Without that line, what `RFB` is in base64 gives the encoding away, as it
//! does in noVNC's reader. The earliest ones have no semicolon behind the last bracket.
//!
//! Pure: lines go in, entries come out. It holds no line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::escape::{StringError, unescape};
use super::format::{Entry, Side};

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Something stands behind the array.
    #[error("something follows the end of the recording")]
    AfterEnd,
    /// The payload of an entry should be base64.
    #[error("the payload is not base64")]
    Base64(#[source] base64::DecodeError),
    /// The encoding is not one of the two that there were.
    #[error("'{0}' is not an encoding: it is 'binary' or 'base64'")]
    Encoding(String),
    /// A string is there, and is no entry.
    #[error("the string is not an entry: one begins with '{{TIME{{' or '}}TIME}}'")]
    Entry,
    /// Something else where an entry should be.
    #[error("not an entry: an entry is a string and a comma")]
    Line,
    /// Something else where the array should begin.
    #[error("not a recording: it begins with 'var VNC_frame_data = ['")]
    NotARecording,
    /// The string of an entry.
    #[error("the entry's string is broken")]
    String(#[source] StringError),
}

/// How payloads are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Each byte a character.
    Binary,
    /// Base64, the text that was on the wire.
    Base64,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The end of the recording.
    End,
    /// An entry.
    Entry(Entry),
    /// Nothing that matters.
    Nothing,
}

/// Reads a file's lines in their order.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    place: Place,
    /// None: not said, and no entry has given it away yet.
    encoding: Option<Encoding>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    BeforeArray,
    InArray,
    /// The last entry was there, and perhaps the bracket.
    AfterEnd,
}

impl Parser {
    /// Reads the next line, with or without its end.
    pub fn line(&mut self, line: &[u8]) -> Result<Line, Mistake> {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"//") || line.starts_with(b"/*") && line.ends_with(b"*/") {
            return Ok(Line::Nothing);
        }
        match self.place {
            Place::BeforeArray => self.before(line),
            Place::InArray => self.inside(line),
            Place::AfterEnd if is_end_of_array(line) => Ok(Line::Nothing),
            Place::AfterEnd => Err(Mistake::AfterEnd),
        }
    }

    /// How payloads are written, once that is known.
    pub fn encoding(&self) -> Option<Encoding> {
        self.encoding
    }

    /// Whether the array has begun.
    pub fn has_begun(&self) -> bool {
        self.place != Place::BeforeArray
    }

    /// Whether the recording is whole.
    pub fn has_ended(&self) -> bool {
        self.place == Place::AfterEnd
    }

    fn before(&mut self, line: &[u8]) -> Result<Line, Mistake> {
        let (name, value) = assignment(line).ok_or(Mistake::NotARecording)?;
        match (name, value) {
            (b"VNC_frame_data", b"[") => self.place = Place::InArray,
            (b"VNC_frame_encoding", [b'\'' | b'"', ..]) => {
                let (text, rest) = unescape(value).map_err(Mistake::String)?;
                self.encoding = Some(match (text.as_slice(), rest.trim_ascii()) {
                    (b"binary", b";" | b"") => Encoding::Binary,
                    (b"base64", b";" | b"") => Encoding::Base64,
                    _ => return Err(Mistake::Encoding(String::from_utf8_lossy(&text).into_owned())),
                });
            }
            _ => return Err(Mistake::NotARecording),
        }
        Ok(Line::Nothing)
    }

    fn inside(&mut self, line: &[u8]) -> Result<Line, Mistake> {
        if is_end_of_array(line) {
            self.place = Place::AfterEnd;
            return Ok(Line::End);
        }
        if !line.starts_with(b"'") && !line.starts_with(b"\"") {
            return Err(Mistake::Line);
        }
        let (text, rest) = unescape(line).map_err(Mistake::String)?;
        let rest = rest.trim_ascii();
        if text == b"EOF" && (rest.is_empty() || rest == b"," || is_end_of_array(rest)) {
            self.place = Place::AfterEnd;
            return Ok(Line::End);
        }
        if rest != b"," {
            return Err(Mistake::Line);
        }
        self.entry(text).map(Line::Entry)
    }

    fn entry(&mut self, mut text: Vec<u8>) -> Result<Entry, Mistake> {
        let side = match text.first() {
            Some(b'}') => Side::Client,
            Some(b'{') => Side::Target,
            _ => return Err(Mistake::Entry),
        };
        let digits = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let time = std::str::from_utf8(&text[1..=digits]).ok().and_then(|digits| digits.parse().ok());
        // noVNC looks for `{` behind the time, whoever spoke, and there are recordings that it was right for.
        let is_separated = matches!(text.get(digits + 1), Some(b'{' | b'}'));
        let time_ms = time.filter(|_| is_separated).ok_or(Mistake::Entry)?;
        text.drain(..digits + 2);
        let guess = if text.starts_with(b"UkZC") { Encoding::Base64 } else { Encoding::Binary };
        let payload = match *self.encoding.get_or_insert(guess) {
            Encoding::Binary => text,
            Encoding::Base64 => STANDARD.decode(text).map_err(Mistake::Base64)?,
        };
        Ok(Entry { side, time_ms, payload })
    }
}

/// `var NAME = VALUE`, with any word of JavaScript's for it, or none.
fn assignment(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = line.iter().position(|&byte| byte == b'=')?;
    let (name, value) = (line[..equals].trim_ascii(), line[equals + 1..].trim_ascii());
    let name = [&b"var "[..], b"let ", b"const "].iter().find_map(|word| name.strip_prefix(*word)).unwrap_or(name);
    Some((name.trim_ascii(), value))
}

fn is_end_of_array(line: &[u8]) -> bool {
    matches!(line, b"]" | b"];")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::super::format::{FOOTER, HEADER, entry_bytes_max, write_entry};
    use super::*;

    fn entries(file: &str) -> Result<Vec<Entry>, (usize, Mistake)> {
        let mut parser = Parser::default();
        let mut entries = Vec::new();
        for (number, line) in file.lines().enumerate() {
            if let Line::Entry(entry) = parser.line(line.as_bytes()).map_err(|mistake| (number + 1, mistake))? {
                entries.push(entry);
            }
        }
        assert!(parser.has_ended());
        Ok(entries)
    }

    fn said(side: Side, time_ms: u64, payload: &[u8]) -> Entry {
        Entry { side, time_ms, payload: payload.to_vec() }
    }

    fn greeting() -> Vec<Entry> {
        vec![said(Side::Target, 3, b"RFB 003.008\n"), said(Side::Client, 17, b"it's\x00")]
    }

    #[test]
    fn the_recordings_of_every_version_are_read() {
        let now = "var VNC_frame_data = [\n'{3{RFB 003.008\\n',\n'}17}it\\'s\\x00',\n'EOF'];\n";
        let first = "var VNC_frame_data = [\n'{3{RFB 003.008\\n',\n\"}17}it's\\x00\",\n'EOF']\n";
        let binary = format!("var VNC_frame_encoding = 'binary';\n{first}");
        let base64 = "var VNC_frame_encoding = 'base64';\nvar VNC_frame_data = [\n'{3{UkZCIDAwMy4wMDgK',\n\
                      '}17}aXQncwA=',\n'EOF'];\n";
        let unsaid = base64.split_once('\n').unwrap().1;
        let javascript = "var VNC_frame_data = [\n'{3{\\x52\\x46\\x42\\x20003\\x2E008\\x0A',\n\
                          '}17}\\x69t\\x27s\\x00',\n'EOF'\n];\n";
        let separated = now.replace("}17}", "}17{");
        let by_hand = "/* eslint-disable */\n// a desktop\nconst VNC_frame_data = [\r\n\n  '{3{RFB 003.008\\n',\n\
                       '}17}it\\'s\\x00',\n];\n";
        for file in [now, first, &binary, base64, unsaid, javascript, &separated, by_hand] {
            assert_eq!(entries(file), Ok(greeting()), "{file}");
        }
    }

    #[test]
    fn damage_is_told_with_what_should_be_there() {
        let inside = |line: &str| entries(&format!("var VNC_frame_data = [\n{line}\n'EOF'];\n"));
        assert_eq!(entries("<html>\n"), Err((1, Mistake::NotARecording)));
        assert_eq!(entries("x = 1;\n"), Err((1, Mistake::NotARecording)));
        let unknown = Mistake::Encoding("utf16".to_owned());
        assert_eq!(entries("var VNC_frame_encoding = 'utf16';\n"), Err((1, unknown)));
        for line in ["'{x{abc',", "'{3|abc',", "'{{abc',", "'{99999999999999999999{abc',", "'abc',", "'',", "'{3',"] {
            assert_eq!(inside(line), Err((2, Mistake::Entry)), "{line}");
        }
        for line in ["'{3{abc'", "'{3{abc';", "{3{abc,", "'{3{a', '{4{b',"] {
            assert_eq!(inside(line), Err((2, Mistake::Line)), "{line}");
        }
        assert_eq!(inside("'{3{abc"), Err((2, Mistake::String(StringError::Unclosed))));
        assert_eq!(entries("var VNC_frame_data = [\n'EOF'];\n'{3{abc',\n"), Err((3, Mistake::AfterEnd)));
        assert!(matches!(inside("'{3{UkZCx',"), Err((2, Mistake::Base64(_)))));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            said in proptest::collection::vec(
                (any::<bool>(), any::<u64>(), proptest::collection::vec(any::<u8>(), 1..300)), 0..20,
            ),
        ) {
            // What looks like base64 is taken for it, by every reader.
            prop_assume!(said.first().is_none_or(|(_, _, payload)| !payload.starts_with(b"UkZC")));
            let entry = |(client, time_ms, payload): (bool, u64, Vec<u8>)| {
                Entry { side: if client { Side::Client } else { Side::Target }, time_ms, payload }
            };
            let said: Vec<Entry> = said.into_iter().map(entry).collect();
            let mut file = HEADER.to_vec();
            for entry in &said {
                let mut line = vec![0; entry_bytes_max(entry.payload.len())];
                let length = write_entry(&mut line, entry.side, entry.time_ms, &entry.payload);
                file.extend_from_slice(&line[..length]);
            }
            file.extend_from_slice(FOOTER);
            prop_assert_eq!(entries(std::str::from_utf8(&file).unwrap()), Ok(said));
        }

        #[test]
        fn no_line_is_too_much(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..6)) {
            let mut parser = Parser::default();
            parser.line(b"var VNC_frame_data = [").unwrap();
            for line in lines {
                let _ = parser.line(&line);
            }
        }
    }
}
